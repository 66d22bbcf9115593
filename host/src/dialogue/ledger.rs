//! Ledger of a session: the ids of its requests, subscriptions, registrations and calls. It turns
//! symbolic messages into messages with ids, and received messages into symbolic ones.
//!
//! It reads every message of the session, so that symbolic and raw lines can be mixed.

use std::collections::{HashMap, VecDeque};

use jackfield_wamp::message::MessageKind;

use super::symbol::{Symbol, Verb, Version};
use super::value::Value;

mod v1;
mod v2;

/// The ids of one session.
#[derive(Debug)]
pub(super) struct Ledger {
    version: Version,
    last_request: u64,
    requests: HashMap<u64, Pending>,
    /// The topic of each subscription.
    subscriptions: HashMap<u64, String>,
    /// The procedure of each registration.
    registrations: HashMap<u64, String>,
    /// Invocations without a final answer, the oldest first.
    invocations: VecDeque<u64>,
    /// Open calls, the oldest first.
    calls: Vec<u64>,
}

/// A request without an answer.
#[derive(Clone, Debug)]
struct Pending {
    uri: String,
    /// The subscription or registration that it ends.
    target: Option<u64>,
    /// Whether the line was symbolic, so that its acknowledgement needs no line.
    is_symbolic: bool,
}

/// A received message.
#[derive(Clone, Debug)]
pub(super) struct Received {
    pub(super) message: Value,
    /// `None` for messages without a symbolic form.
    pub(super) symbol: Option<Symbol>,
    /// Whether it acknowledges a symbolic request, so that no line has to expect it.
    pub(super) is_acknowledgement: bool,
}

impl Ledger {
    pub(super) fn new(version: Version) -> Self {
        Self {
            version,
            last_request: 0,
            requests: HashMap::new(),
            subscriptions: HashMap::new(),
            registrations: HashMap::new(),
            invocations: VecDeque::new(),
            calls: Vec::new(),
        }
    }

    /// Returns a message with ids.
    ///
    /// # Errors
    /// A sentence, if the session has no such subscription, registration, invocation or call.
    pub(super) fn encode(&mut self, symbol: &Symbol) -> Result<Value, String> {
        match self.version {
            Version::V1 => Ok(self.encode_v1(symbol)),
            Version::V2 => self.encode_v2(symbol),
        }
    }

    /// Notes a message that the session sends.
    pub(super) fn sent(&mut self, message: &Value, is_symbolic: bool) {
        if self.version == Version::V1 {
            return;
        }
        let items = message.items();
        let id = |at: usize| items.get(at).and_then(Value::as_id);
        let (Some(code), Some(request)) = (id(0), id(1)) else { return };
        let Some(kind) = MessageKind::from_code(code) else { return };
        let (uri, target) = match kind {
            MessageKind::Subscribe
            | MessageKind::Register
            | MessageKind::Publish
            | MessageKind::Call => (items.get(3).and_then(Value::as_text), None),
            MessageKind::Unsubscribe | MessageKind::Unregister => (None, id(2)),
            MessageKind::Yield => {
                let options = items.get(2).and_then(|options| options.get("progress"));
                if options != Some(&Value::Bool(true)) {
                    self.invocations.retain(|it| *it != request);
                }
                return;
            }
            MessageKind::Error => {
                self.invocations.retain(|it| Some(*it) != id(2));
                return;
            }
            _ => return,
        };
        if kind == MessageKind::Call {
            self.calls.push(request);
        }
        self.last_request = self.last_request.max(request);
        let uri = uri.unwrap_or_default().to_owned();
        self.requests.insert(request, Pending { uri, target, is_symbolic });
    }

    /// Notes a message that the session has received.
    pub(super) fn received(&mut self, message: Value) -> Received {
        let (symbol, is_acknowledgement) = match self.version {
            Version::V1 => (Self::decode_v1(&message), false),
            Version::V2 => self.decode_v2(&message),
        };
        Received { message, symbol, is_acknowledgement }
    }

    fn next_request(&mut self) -> Value {
        self.last_request += 1;
        Value::number(self.last_request)
    }
}

/// Returns a message of an error or a reason.
fn with_text(verb: Verb, uri: Option<&Value>, text: Option<&Value>) -> Symbol {
    Symbol { uri: uri.cloned(), text: text.cloned(), ..Symbol::new(verb) }
}

#[cfg(test)]
mod tests;
