//! Redaction of recordings: texts and numbers of users become `x` and `1` of the same length.
//!
//! The shape stays, so that a redacted call can be replayed: both versions get the same redacted
//! event. Kept are structure, `true`, `false` and `null`, and the names of members that look like
//! names of a program. Not redacted are topics, attributes, the identity and roles of a session, keys
//! of a store, and error URIs.

use jackfield_sandbox::{CallInput, CallOutcome, FaultRecord, HookAnswer, HostAnswers, StoreValue};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Number, Value};

/// The parts that are redacted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Redaction {
    /// Events, results, messages, and values of a store.
    pub(crate) payload: bool,
    /// The claims of sessions.
    pub(crate) claims: bool,
}

/// Members of an outcome that are no payload.
const KEPT: &[&str] = &[
    "call",
    "eligible",
    "exclude",
    "fault",
    "handler",
    "key",
    "kind",
    "method",
    "origin",
    "plugin",
    "procedure",
    "reason",
    "session",
    "timeout_ms",
    "topic",
    "ttl_ms",
    "uri",
];
/// The longest name of a member that is kept, in bytes.
const MAX_NAME_BYTES: usize = 32;

impl Redaction {
    /// Redacts a request.
    pub(super) fn input(self, mut input: CallInput) -> CallInput {
        if self.claims
            && let Some(session) = &mut input.session
        {
            session.claims = json_text(&session.claims);
        }
        if self.payload {
            input.args = json_text(&input.args);
            input.kwargs = json_text(&input.kwargs);
        }
        input
    }

    /// Redacts answers of the host.
    pub(super) fn answers(self, mut answers: HostAnswers) -> HostAnswers {
        if self.payload {
            for value in answers.store.values.values_mut().flatten() {
                *value = stored(value);
            }
        }
        answers
    }

    /// Redacts an outcome.
    pub(super) fn outcome(self, outcome: CallOutcome) -> CallOutcome {
        if !self.payload {
            return outcome;
        }
        let redacted = serde_json::to_value(&outcome).map(|value| members(value, ""));
        // A type of ours, whose shape stays.
        redacted.and_then(serde_json::from_value).unwrap_or_else(|_| nothing())
    }
}

fn nothing() -> CallOutcome {
    let fault = FaultRecord { fault: "redacted".to_owned(), message: String::new() };
    CallOutcome { answer: HookAnswer::Fault(fault), effects: Vec::new(), writes: Vec::new() }
}

/// Redacts the members of an outcome that are payload, whatever further ones there may be.
fn members(value: Value, name: &str) -> Value {
    match value {
        value if KEPT.contains(&name) => value,
        Value::Object(map) => {
            let member = |(name, value): (String, Value)| {
                let value = members(value, &name);
                (name, value)
            };
            Value::Object(map.into_iter().map(member).collect())
        }
        Value::Array(items) => items.into_iter().map(|item| members(item, name)).collect(),
        Value::String(text) if ["args", "kwargs", "value"].contains(&name) => {
            Value::String(json_text(&text))
        }
        Value::String(text) => Value::String(crossed(&text)),
        other => other,
    }
}

fn stored(value: &StoreValue) -> StoreValue {
    let text = String::from_utf8_lossy(&value.0);
    StoreValue(json_text(&text).into_bytes())
}

/// The text of JSON with redacted values; another text is redacted as a whole.
fn json_text(text: &str) -> String {
    match serde_json::from_str(text) {
        Ok(value) => shape(value).to_string(),
        Err(_) => crossed(text),
    }
}

fn shape(value: Value) -> Value {
    match value {
        Value::Null | Value::Bool(_) => value,
        Value::Number(number) => Value::Number(ones(&number)),
        Value::String(text) => Value::String(crossed(&text)),
        Value::Array(items) => items.into_iter().map(shape).collect(),
        Value::Object(map) => {
            let member = |(name, value): (String, Value)| (member_name(name), shape(value));
            Value::Object(map.into_iter().map(member).collect::<Map<_, _>>())
        }
    }
}

/// A name that could be data, such as that of a user, is redacted.
fn member_name(name: String) -> String {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let starts = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if starts && name.len() <= MAX_NAME_BYTES && name.chars().all(is_name) {
        name
    } else {
        crossed(&name)
    }
}

fn crossed(text: &str) -> String {
    "x".repeat(text.chars().count())
}

/// A number of the same sign and length.
fn ones(number: &Number) -> Number {
    let digits = |text: String| text.replace(|c: char| c.is_ascii_digit(), "1");
    if let Some(whole) = number.as_i64() {
        digits(whole.to_string()).parse::<i64>().unwrap_or(1).into()
    } else if let Some(whole) = number.as_u64() {
        digits(whole.to_string()).parse::<u64>().unwrap_or(1).into()
    } else {
        let sign = if number.as_f64().is_some_and(|it| it < 0.0) { -1.5 } else { 1.5 };
        Number::from_f64(sign).unwrap_or_else(|| 1.into())
    }
}

#[cfg(test)]
mod tests {
    use jackfield_sandbox::{Effect, HookRefusal, PluginEvent, StoreWrite};

    use super::*;

    #[test]
    fn keeps_the_shape_and_nothing_else() {
        let text = r#"{"text":"Grüße","n":-407,"f":2.75,"big":18446744073709551615,"on":true,
            "ann@example.com":null,"list":[[],{},0,"\u0000AQID"]}"#;
        let shown = json_text(text);
        let expected = r#"{"text":"xxxxx","n":-111,"f":1.5,"big":11111111111111111111,"on":true,"xxxxxxxxxxxxxxx":null,"list":[[],{},1,"xxxxx"]}"#;
        assert_eq!(shown, expected);
        assert_eq!(json_text(&shown), shown, "it is redacted once");
        assert_eq!(json_text("a secret"), "xxxxxxxx");
        assert_eq!(json_text("42"), "11");
        assert_eq!(json_text("-9223372036854775808"), "-1111111111111111111");
    }

    #[test]
    fn redacts_claims_and_events_each_for_itself() {
        let input = CallInput {
            hook: jackfield_sandbox::Hook::Publish,
            realm: String::new(),
            handler: String::new(),
            route: String::new(),
            topic: "t/7".into(),
            attributes: vec![("id".into(), "7".into())],
            session: Some(jackfield_sandbox::CallerRecord {
                id: 1,
                authid: "ann".into(),
                authrole: "member".into(),
                roles: vec![],
                authmethod: "ticket".into(),
                claims: r#"{"email":"ann@example.com"}"#.into(),
            }),
            subscribers: 0,
            args: r#"["text"]"#.into(),
            kwargs: "{}".into(),
        };
        let of = |payload, claims| Redaction { payload, claims }.input(input.clone());
        let claims = |input: &CallInput| input.session.as_ref().unwrap().claims.clone();
        assert_eq!(of(false, false), input);
        let redacted = of(true, false);
        assert_eq!((redacted.args.as_str(), claims(&redacted)), (r#"["xxxx"]"#, claims(&input)));
        let redacted = of(false, true);
        assert_eq!(redacted.args, input.args);
        assert_eq!(claims(&redacted), r#"{"email":"xxxxxxxxxxxxxxx"}"#);
    }

    #[test]
    fn redacts_payload_wherever_an_outcome_has_it() {
        let event = PluginEvent::from_texts("[\"secret\"]".into(), "{\"a\":7}".into()).unwrap();
        let refusal = HookRefusal { uri: "a.b".into(), message: "secret".into() };
        let value = |bytes: &[u8]| Some(StoreValue(bytes.to_vec()));
        let outcome = CallOutcome {
            answer: HookAnswer::Deny(refusal),
            effects: vec![
                Effect::Send { session: 7, topic: "t".into(), event },
                Effect::Close { session: 7, reason: "a.b".into(), message: "secret".into() },
            ],
            writes: vec![
                StoreWrite { key: "k".into(), value: value(b"\"secret\""), ttl_ms: Some(7) },
                StoreWrite { key: "b".into(), value: value(b"\xff\xfe secret"), ttl_ms: None },
            ],
        };
        let all = Redaction { payload: true, claims: true };
        let text = serde_json::to_string(&all.outcome(outcome.clone())).unwrap();
        assert!(!text.contains("secret") && !text.contains("c2Vjc"), "{text}");
        for kept in [r#""uri":"a.b""#, r#""session":7"#, r#""topic":"t""#, r#""ttl_ms":7"#] {
            assert!(text.contains(kept), "{text}");
        }
        let none = Redaction { payload: false, claims: true };
        assert_eq!(none.outcome(outcome.clone()), outcome);
    }
}
