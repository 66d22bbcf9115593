//! Messages of version 2.

use std::collections::HashMap;

use jackfield_wamp::message::MessageKind;

use super::{Ledger, Symbol, Value, Verb, with_text};

impl Ledger {
    pub(super) fn encode_v2(&mut self, symbol: &Symbol) -> Result<Value, String> {
        let options = symbol.options.clone().unwrap_or_else(|| Value::map(Vec::new()));
        let uri = Value::text(symbol.uri());
        let mut items = match symbol.verb {
            Verb::Subscribe | Verb::Register | Verb::Call => {
                vec![self.next_request(), options, uri]
            }
            Verb::Publish => vec![self.next_request(), acknowledged(options), uri],
            Verb::Unsubscribe => {
                let id = newest(&self.subscriptions, symbol.uri())
                    .ok_or_else(|| format!("it is not subscribed to `{}`", symbol.uri()))?;
                vec![self.next_request(), Value::number(id)]
            }
            Verb::Unregister => {
                let id = newest(&self.registrations, symbol.uri())
                    .ok_or_else(|| format!("it has not registered `{}`", symbol.uri()))?;
                vec![self.next_request(), Value::number(id)]
            }
            Verb::Cancel => {
                let id = self.calls.last().ok_or("it has no open call")?;
                vec![Value::number(*id), options]
            }
            Verb::Yield => vec![Value::number(self.invocation()?), options],
            // The parser lets no other message pass.
            _ => {
                let code = Value::number(MessageKind::Invocation.code());
                vec![code, Value::number(self.invocation()?), options, uri]
            }
        };
        let text = symbol.text.clone().map(|text| Value::list(vec![text]));
        items.extend(text.or_else(|| symbol.args.clone()));
        items.extend(symbol.kwargs.clone());
        items.insert(0, Value::number(kind(symbol.verb).code()));
        Ok(Value::list(items))
    }

    fn invocation(&self) -> Result<u64, String> {
        self.invocations.front().copied().ok_or_else(|| "it has no open invocation".to_owned())
    }

    /// Returns the symbolic form, and whether the message acknowledges a symbolic request.
    pub(super) fn decode_v2(&mut self, message: &Value) -> (Option<Symbol>, bool) {
        let items = message.items();
        let kind = items.first().and_then(Value::as_id).and_then(MessageKind::from_code);
        let Some(kind) = kind else { return (None, false) };
        let at = |at: usize| items.get(at);
        let id = |at: usize| items.get(at).and_then(Value::as_id).unwrap_or_default();
        let arguments = |verb: Verb, uri: Option<Value>, from: usize| Symbol {
            uri,
            options: at(from - 1).cloned(),
            args: at(from).cloned(),
            kwargs: at(from + 1).cloned(),
            ..Symbol::new(verb)
        };
        let symbol = match kind {
            MessageKind::Subscribed
            | MessageKind::Published
            | MessageKind::Registered
            | MessageKind::Unsubscribed
            | MessageKind::Unregistered => return self.acknowledged(kind, id(1), items),
            MessageKind::Event => {
                let topic = at(3).and_then(|details| details.get("topic")).cloned();
                let topic = topic.or_else(|| self.subscriptions.get(&id(1)).map(Value::text));
                arguments(Verb::Event, topic, 4)
            }
            MessageKind::Result => {
                let progress = at(2).and_then(|details| details.get("progress"));
                if progress != Some(&Value::Bool(true)) {
                    self.calls.retain(|call| *call != id(1));
                }
                arguments(Verb::Result, None, 3)
            }
            MessageKind::Error => {
                self.calls.retain(|call| *call != id(2));
                self.requests.remove(&id(2));
                let texts = at(5).map_or(&[][..], Value::items);
                let text = texts.first().or_else(|| at(3)?.get("message"));
                Symbol { text: text.cloned(), ..arguments(Verb::Error, at(4).cloned(), 5) }
            }
            MessageKind::Invocation => {
                self.invocations.push_back(id(1));
                let procedure = at(3).and_then(|details| details.get("procedure")).cloned();
                let procedure =
                    procedure.or_else(|| self.registrations.get(&id(2)).map(Value::text));
                arguments(Verb::Invocation, procedure, 4)
            }
            MessageKind::Interrupt => {
                Symbol { options: at(2).cloned(), ..Symbol::new(Verb::Interrupt) }
            }
            MessageKind::Abort | MessageKind::Goodbye => {
                let verb = if kind == MessageKind::Abort { Verb::Abort } else { Verb::Goodbye };
                let text = at(1).and_then(|details| details.get("message"));
                Symbol { options: at(1).cloned(), ..with_text(verb, at(2), text) }
            }
            _ => return (None, false),
        };
        (Some(symbol), false)
    }

    /// Notes the answer to a request, or a revocation, which has no request.
    fn acknowledged(
        &mut self,
        kind: MessageKind,
        request: u64,
        items: &[Value],
    ) -> (Option<Symbol>, bool) {
        let pending = self.requests.remove(&request);
        let is_symbolic = pending.as_ref().is_some_and(|it| it.is_symbolic);
        let target = pending.as_ref().and_then(|it| it.target);
        let mut uri = pending.map(|it| it.uri);
        let id = items.get(2).and_then(Value::as_id);
        let details = items.get(2).filter(|it| matches!(it, Value::Map { .. }));
        let revoked = |key: &str| details.and_then(|it| it.get(key)).and_then(Value::as_id);
        let verb = match kind {
            MessageKind::Subscribed => {
                self.subscriptions.extend(id.zip(uri.clone()));
                Verb::Subscribed
            }
            MessageKind::Registered => {
                self.registrations.extend(id.zip(uri.clone()));
                Verb::Registered
            }
            MessageKind::Unsubscribed => {
                uri = take(&mut self.subscriptions, target.or(revoked("subscription")));
                Verb::Unsubscribed
            }
            MessageKind::Unregistered => {
                uri = take(&mut self.registrations, target.or(revoked("registration")));
                Verb::Unregistered
            }
            _ => Verb::Published,
        };
        let (uri, options) = (uri.map(Value::Text), details.cloned());
        (Some(Symbol { uri, options, ..Symbol::new(verb) }), is_symbolic)
    }
}

/// Returns the newest id of a URI: ids of the same URI with other policies differ.
fn newest(names: &HashMap<u64, String>, uri: &str) -> Option<u64> {
    names.iter().filter(|(_, name)| *name == uri).map(|(id, _)| *id).max()
}

/// Removes an id, and returns its URI.
fn take(names: &mut HashMap<u64, String>, id: Option<u64>) -> Option<String> {
    names.remove(&id?)
}

/// Adds `acknowledge: true`, unless the options say something else: a refused publication is only
/// answered if its publisher asks for it.
fn acknowledged(options: Value) -> Value {
    let Value::Map { mut entries, open } = options else { return options };
    if !entries.iter().any(|(key, _)| key == "acknowledge") {
        entries.push(("acknowledge".to_owned(), Value::Bool(true)));
    }
    Value::Map { entries, open }
}

fn kind(verb: Verb) -> MessageKind {
    match verb {
        Verb::Subscribe => MessageKind::Subscribe,
        Verb::Unsubscribe => MessageKind::Unsubscribe,
        Verb::Publish => MessageKind::Publish,
        Verb::Call => MessageKind::Call,
        Verb::Cancel => MessageKind::Cancel,
        Verb::Register => MessageKind::Register,
        Verb::Unregister => MessageKind::Unregister,
        Verb::Yield => MessageKind::Yield,
        Verb::Error => MessageKind::Error,
        Verb::Subscribed => MessageKind::Subscribed,
        Verb::Unsubscribed => MessageKind::Unsubscribed,
        Verb::Published => MessageKind::Published,
        Verb::Event => MessageKind::Event,
        Verb::Result => MessageKind::Result,
        Verb::Registered => MessageKind::Registered,
        Verb::Unregistered => MessageKind::Unregistered,
        Verb::Invocation => MessageKind::Invocation,
        Verb::Interrupt => MessageKind::Interrupt,
        Verb::Abort => MessageKind::Abort,
        Verb::Goodbye => MessageKind::Goodbye,
    }
}
