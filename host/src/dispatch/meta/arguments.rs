//! Arguments of the procedures of the meta API. An error names the argument and its value.

use jackfield_wamp::uri::{self, MatchPolicy};
use serde_json::{Map, Value, json};

use crate::dispatch::{Refusal, uris};

/// The maximum number of characters of a value that an error repeats.
const MAX_SHOWN: usize = 64;
/// The maximum number of roles of a list: each is compared with those of all sessions.
const MAX_ROLES: usize = 100;
/// The maximum length of the reason and of the message of a close: each session that ends gets them.
const MAX_CLOSE_BYTES: usize = 1024;

/// The arguments of a call.
pub(super) struct Arguments {
    args: Vec<Value>,
    kwargs: Map<String, Value>,
}

impl Arguments {
    pub(super) fn parse(args: &str, kwargs: &str) -> Result<Self, Refusal> {
        let wrong = |error: serde_json::Error| Refusal::invalid_argument(error.to_string());
        let args = serde_json::from_str(args).map_err(wrong)?;
        Ok(Self { args, kwargs: serde_json::from_str(kwargs).map_err(wrong)? })
    }

    /// Writes the arguments for another node.
    pub(super) fn to_json(&self) -> Value {
        json!([self.args, self.kwargs])
    }

    /// Reads the arguments of another node.
    pub(super) fn from_json(mut value: Value) -> Option<Self> {
        let parts = value.as_array_mut()?;
        let (kwargs, args) = (parts.pop()?, parts.pop()?);
        match (args, kwargs) {
            (Value::Array(args), Value::Object(kwargs)) => Some(Self { args, kwargs }),
            _ => None,
        }
    }

    /// Returns the first argument, an id.
    pub(super) fn id(&self, name: &str) -> Result<u64, Refusal> {
        let value = self.args.first();
        let id = value.and_then(Value::as_u64).or_else(|| {
            let number = value.and_then(Value::as_f64)?;
            // JavaScript's binary encoders write large integers as floats.
            serde_json::from_str(&format!("{number:.0}")).ok().filter(|_| number.fract() == 0.0)
        });
        id.ok_or_else(|| wrong(&format!("the first argument, {name},"), "an id", value))
    }

    /// Returns the first argument, a text.
    pub(super) fn text(&self, name: &str) -> Result<&str, Refusal> {
        let value = self.args.first();
        let text = value.and_then(Value::as_str);
        text.ok_or_else(|| wrong(&format!("the first argument, {name},"), "a string", value))
    }

    /// Returns the first argument, a list of roles; `None` without one.
    pub(super) fn roles(&self) -> Result<Option<Vec<&str>>, Refusal> {
        let value = self.args.first();
        let roles = match value {
            None | Some(Value::Null) => return Ok(None),
            Some(Value::Array(list)) => list.iter().map(Value::as_str).collect(),
            Some(_) => None,
        };
        let roles: Option<Vec<&str>> = roles;
        let roles = roles.filter(|roles| roles.len() <= MAX_ROLES);
        let expected = format!("a list of up to {MAX_ROLES} strings");
        roles.map(Some).ok_or_else(|| wrong("the first argument, the roles,", &expected, value))
    }

    /// Returns the policy of the second argument, `{match}`.
    pub(super) fn policy(&self) -> Result<MatchPolicy, Refusal> {
        let value = match self.args.get(1) {
            None | Some(Value::Null) => return Ok(MatchPolicy::Exact),
            Some(Value::Object(options)) => options.get("match"),
            value => return Err(wrong("the second argument", "a dictionary", value)),
        };
        match value {
            None | Some(Value::Null) => Ok(MatchPolicy::Exact),
            value => {
                let policy = value.and_then(Value::as_str).and_then(MatchPolicy::from_name);
                let policies = "\"exact\", \"prefix\" or \"wildcard\"";
                policy.ok_or_else(|| wrong("`match` of the second argument", policies, value))
            }
        }
    }

    /// Refuses more positional arguments than a procedure has: they are meant for another one.
    pub(super) fn at_most(&self, count: usize) -> Result<(), Refusal> {
        let Some(further) = self.args.get(count) else { return Ok(()) };
        Err(wrong(&format!("argument {}", count + 1), "left out", Some(further)))
    }

    /// Returns the positional arguments behind the first.
    pub(super) fn rest(&self) -> &[Value] {
        self.args.get(1..).unwrap_or_default()
    }

    /// Returns a keyword argument; null is none.
    pub(super) fn keyword(&self, name: &str) -> Option<&Value> {
        self.kwargs.get(name).filter(|value| !value.is_null())
    }

    /// Returns the keyword arguments `reason` and `message` of a close.
    pub(super) fn close(&self) -> Result<(Option<&str>, &str), Refusal> {
        let text = |name: &str| match self.kwargs.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) if text.len() <= MAX_CLOSE_BYTES => Ok(Some(text.as_str())),
            value => {
                let expected = format!("a string of up to {MAX_CLOSE_BYTES} bytes");
                Err(wrong(&format!("the keyword argument `{name}`"), &expected, value))
            }
        };
        let reason = text("reason")?;
        if let Some(reason) = reason.filter(|it| !uri::is_uri(it)) {
            let message = format!("the reason `{}` is not a valid URI", uris::shown(reason));
            return Err(Refusal::invalid_uri(message));
        }
        Ok((reason, text("message")?.unwrap_or_default()))
    }
}

/// Returns the refusal of an argument.
pub(super) fn wrong(what: &str, expected: &str, found: Option<&Value>) -> Refusal {
    let found = found.map_or_else(
        || "nothing".to_owned(),
        |value| {
            let text = value.to_string();
            let shown: String = text.chars().take(MAX_SHOWN).collect();
            if shown.len() < text.len() { format!("{shown}\u{2026}") } else { shown }
        },
    );
    Refusal::invalid_argument(format!("{what} must be {expected}, found {found}"))
}
