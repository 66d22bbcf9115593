//! Calls of procedures by plugins, and the procedures that an operator allows.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::ReplyTo;
use super::tally::Permit;
use crate::event::PluginEvent;

/// A procedure that a plugin may call: `acme.rates.get`, or all that begin with a text, `acme.*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllowedProcedures {
    text: String,
    is_prefix: bool,
}

/// The maximum number of calls of plugins that lead to each other: from `on-call` of the callee, or
/// from `on-result` of the caller.
pub(crate) const MAX_CALL_DEPTH: u8 = 8;

/// A call of a procedure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutgoingCall {
    /// The hook that receives the result.
    pub reply_to: ReplyTo,
    /// The URI of the procedure.
    pub procedure: String,
    /// The arguments.
    pub event: PluginEvent,
    /// The longest wait for the result.
    pub timeout: Duration,
    /// Handed to the hook with the result.
    pub context: Vec<u8>,
    /// How many calls have led to this one: 0 if its hook was not called by a plugin.
    pub depth: u8,
    /// Its place among the calls that wait.
    pub permit: Permit,
}

impl AllowedProcedures {
    /// Whether the procedure is one of them.
    pub(crate) fn contain(&self, procedure: &str) -> bool {
        if self.is_prefix { procedure.starts_with(&self.text) } else { procedure == self.text }
    }
}

impl OutgoingCall {
    /// Size towards the output limit, in bytes.
    pub(crate) fn len(&self) -> usize {
        self.reply_to.len() + self.procedure.len() + self.event.len() + self.context.len()
    }
}

impl FromStr for AllowedProcedures {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (text, is_prefix) = match text.strip_suffix('*') {
            Some(prefix) => (prefix, true),
            None => (text, false),
        };
        let is_plain = !text.contains(|c: char| c == '*' || c.is_whitespace() || c.is_control());
        if is_plain && (is_prefix || !text.is_empty()) {
            return Ok(Self { text: text.to_owned(), is_prefix });
        }
        Err("write a procedure such as acme.rates.get, or the beginning of some: acme.rates.*")
    }
}

impl fmt::Display for AllowedProcedures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.text, if self.is_prefix { "*" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn allows_names_and_beginnings() {
        let check = |allowed: &str, procedure: &str, expected: bool| {
            let allowed: AllowedProcedures = allowed.parse().unwrap();
            assert_eq!(allowed.contain(procedure), expected, "{allowed} {procedure}");
        };
        check("acme.rates.get", "acme.rates.get", true);
        check("acme.rates.get", "acme.rates.get2", false);
        check("acme.rates.get", "acme.rates", false);
        check("acme/rates/*", "acme/rates/eur", true);
        check("acme/rates/*", "acme/rates", false);
        check("acme/rates/*", "acme/ratesx", false);
        check("*", "anything.else", true);
    }

    #[test]
    fn rejects_malformed_procedures() {
        for text in ["", "a*b", "*.get", "a b", "a\nb", "**"] {
            text.parse::<AllowedProcedures>().unwrap_err();
        }
    }
}
