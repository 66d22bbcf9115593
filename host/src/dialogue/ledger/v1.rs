//! Messages of version 1, which have few ids.

use super::{Ledger, Symbol, Value, Verb, with_text};

impl Ledger {
    pub(super) fn encode_v1(&mut self, symbol: &Symbol) -> Value {
        let topic = Value::text(symbol.uri());
        let args = symbol.args.as_ref().map_or(&[][..], Value::items);
        let mut items = match symbol.verb {
            Verb::Call => {
                let Value::Number(id) = self.next_request() else { return Value::Null };
                vec![Value::number(2), Value::Text(id), topic]
            }
            Verb::Subscribe => vec![Value::number(5), topic],
            Verb::Unsubscribe => vec![Value::number(6), topic],
            // The parser lets no other message pass.
            _ => vec![Value::number(7), topic],
        };
        match symbol.verb {
            Verb::Publish => items.push(args.first().cloned().unwrap_or(Value::Null)),
            Verb::Call => items.extend(args.iter().cloned()),
            _ => {}
        }
        Value::list(items)
    }

    /// Returns the symbolic form of EVENT, CALLRESULT and CALLERROR.
    pub(super) fn decode_v1(message: &Value) -> Option<Symbol> {
        let items = message.items();
        let one = |value: Option<&Value>| value.map(|it| Value::list(vec![it.clone()]));
        match items.first()?.as_id()? {
            3 => Some(Symbol { args: one(items.get(2)), ..Symbol::new(Verb::Result) }),
            4 => {
                let error = with_text(Verb::Error, items.get(2), items.get(3));
                Some(Symbol { options: items.get(4).cloned(), ..error })
            }
            8 => {
                let (uri, args) = (items.get(1).cloned(), one(items.get(2)));
                Some(Symbol { uri, args, ..Symbol::new(Verb::Event) })
            }
            _ => None,
        }
    }
}
