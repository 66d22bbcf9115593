//! Symbolic messages: the name of a WAMP message, its URI and its arguments, without ids. Messages
//! of both versions have the same names.

use std::fmt;

use super::pattern::{Bindings, Difference};
use super::value::Value;

/// The version of WAMP that a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    V1,
    V2,
}

/// A kind of message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Verb {
    Subscribe,
    Unsubscribe,
    Publish,
    Call,
    Cancel,
    Register,
    Unregister,
    Yield,
    Error,
    Subscribed,
    Unsubscribed,
    Published,
    Event,
    Result,
    Registered,
    Unregistered,
    Invocation,
    Interrupt,
    Abort,
    Goodbye,
}

/// Whether a part of a message has to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    No,
    May,
    Must,
}

/// The parts of a message in a script.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    /// A topic, a procedure, or the URI of an error or reason.
    pub(super) uri: Need,
    /// A dictionary of options or details.
    pub(super) options: bool,
    /// A list of arguments, and then a dictionary of keyword arguments.
    pub(super) arguments: bool,
    /// A text in place of the arguments, as in errors.
    pub(super) text: bool,
}

/// A message without ids; an expected one may have patterns.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Symbol {
    pub(super) verb: Verb,
    pub(super) uri: Option<Value>,
    /// Options or details.
    pub(super) options: Option<Value>,
    /// The human-readable text of an error or of a reason.
    pub(super) text: Option<Value>,
    /// The positional arguments, a list.
    pub(super) args: Option<Value>,
    /// The keyword arguments, a dictionary.
    pub(super) kwargs: Option<Value>,
}

/// The messages that clients send.
const SENT: &[Verb] = &[
    Verb::Subscribe,
    Verb::Unsubscribe,
    Verb::Publish,
    Verb::Call,
    Verb::Cancel,
    Verb::Register,
    Verb::Unregister,
    Verb::Yield,
    Verb::Error,
];

/// The messages that clients receive.
const RECEIVED: &[Verb] = &[
    Verb::Subscribed,
    Verb::Unsubscribed,
    Verb::Published,
    Verb::Event,
    Verb::Result,
    Verb::Error,
    Verb::Registered,
    Verb::Unregistered,
    Verb::Invocation,
    Verb::Interrupt,
    Verb::Abort,
    Verb::Goodbye,
];

/// Those of version 1.
const SENT_V1: &[Verb] = &[Verb::Subscribe, Verb::Unsubscribe, Verb::Publish, Verb::Call];
const RECEIVED_V1: &[Verb] = &[Verb::Event, Verb::Result, Verb::Error];

impl Version {
    /// Returns the messages that a client of this version sends.
    pub(super) const fn sent(self) -> &'static [Verb] {
        match self {
            Self::V1 => SENT_V1,
            Self::V2 => SENT,
        }
    }

    /// Returns the messages that a client of this version receives.
    pub(super) const fn received(self) -> &'static [Verb] {
        match self {
            Self::V1 => RECEIVED_V1,
            Self::V2 => RECEIVED,
        }
    }
}

impl Verb {
    /// Returns the message's name in the specification of version 2.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Subscribe => "SUBSCRIBE",
            Self::Unsubscribe => "UNSUBSCRIBE",
            Self::Publish => "PUBLISH",
            Self::Call => "CALL",
            Self::Cancel => "CANCEL",
            Self::Register => "REGISTER",
            Self::Unregister => "UNREGISTER",
            Self::Yield => "YIELD",
            Self::Error => "ERROR",
            Self::Subscribed => "SUBSCRIBED",
            Self::Unsubscribed => "UNSUBSCRIBED",
            Self::Published => "PUBLISHED",
            Self::Event => "EVENT",
            Self::Result => "RESULT",
            Self::Registered => "REGISTERED",
            Self::Unregistered => "UNREGISTERED",
            Self::Invocation => "INVOCATION",
            Self::Interrupt => "INTERRUPT",
            Self::Abort => "ABORT",
            Self::Goodbye => "GOODBYE",
        }
    }

    /// Returns the parts of the message.
    pub(super) const fn shape(self) -> Shape {
        let (uri, options, arguments) = match self {
            Self::Subscribe | Self::Register | Self::Abort | Self::Goodbye => {
                (Need::Must, true, false)
            }
            Self::Unsubscribe | Self::Unregister => (Need::Must, false, false),
            Self::Publish | Self::Call | Self::Event | Self::Invocation | Self::Error => {
                (Need::Must, true, true)
            }
            Self::Cancel | Self::Interrupt => (Need::No, true, false),
            Self::Yield | Self::Result => (Need::No, true, true),
            Self::Subscribed | Self::Published | Self::Registered => (Need::May, false, false),
            Self::Unsubscribed | Self::Unregistered => (Need::May, true, false),
        };
        let text = matches!(self, Self::Error | Self::Abort | Self::Goodbye);
        Shape { uri, options, arguments, text }
    }
}

impl Symbol {
    pub(super) const fn new(verb: Verb) -> Self {
        Self { verb, uri: None, options: None, text: None, args: None, kwargs: None }
    }

    /// Returns the URI, or an empty text.
    pub(super) fn uri(&self) -> &str {
        self.uri.as_ref().and_then(Value::as_text).unwrap_or_default()
    }

    /// Returns the symbol with the values of its variables; the name of one without a value is the
    /// error.
    pub(super) fn resolve(&self, bindings: &Bindings) -> Result<Self, String> {
        let resolve =
            |part: &Option<Value>| part.as_ref().map(|value| bindings.resolve(value)).transpose();
        Ok(Self {
            verb: self.verb,
            uri: resolve(&self.uri)?,
            options: resolve(&self.options)?,
            text: resolve(&self.text)?,
            args: resolve(&self.args)?,
            kwargs: resolve(&self.kwargs)?,
        })
    }

    /// Compares a received message of the same kind with this expected one. Options and texts that
    /// are not written are not compared. Arguments that are not written are none, except those of
    /// an error.
    pub(super) fn compare(&self, actual: &Self, bindings: &mut Bindings) -> Result<(), Difference> {
        let mut part = |name: &str, expected: &Option<Value>, actual: &Option<Value>| {
            let Some(expected) = expected else { return Ok(()) };
            let missing = Value::Null;
            let result = bindings.compare(expected, actual.as_ref().unwrap_or(&missing));
            result.map_err(|it| it.within(name))
        };
        part("the URI", &self.uri, &actual.uri)?;
        part("the details ", &self.options, &actual.options)?;
        part("the text", &self.text, &actual.text)?;
        let is_loose = self.verb.shape().text && self.args.is_none();
        if !self.verb.shape().arguments || is_loose {
            return Ok(());
        }
        let none = (Some(Value::list(Vec::new())), Some(Value::map(Vec::new())));
        let or = |part: &Option<Value>, none: &Option<Value>| part.clone().or(none.clone());
        part("args", &or(&self.args, &none.0), &or(&actual.args, &none.0))?;
        // `[...]` alone stands for any arguments.
        let is_open =
            matches!(&self.args, Some(Value::List { items, open: true }) if items.is_empty());
        if is_open && self.kwargs.is_none() {
            return Ok(());
        }
        part("kwargs", &or(&self.kwargs, &none.1), &or(&actual.kwargs, &none.1))
    }

    /// Returns a received message for people: with the parts that the expected one has. Without an
    /// expected one, it has neither details nor the list that only repeats the text of an error.
    #[must_use]
    pub(super) fn shown_like(&self, expected: Option<&Self>) -> Self {
        let mut shown = self.clone();
        if expected.is_none_or(|it| it.options.is_none()) {
            shown.options = None;
        }
        if expected.is_some_and(|it| it.verb == self.verb && it.uri.is_none()) {
            shown.uri = None;
        }
        if shown.text.is_some() {
            if expected.is_some_and(|it| it.verb == self.verb && it.args.is_some()) {
                shown.text = None;
            } else {
                (shown.args, shown.kwargs) = (None, None);
            }
        }
        shown
    }
}

/// Writes it as in a script.
impl fmt::Display for Symbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.verb.name())?;
        match &self.uri {
            Some(Value::Text(uri)) if is_word(uri) => write!(f, " {uri}")?,
            Some(uri) => write!(f, " {uri}")?,
            None => {}
        }
        let is_empty = |value: &Value| value.items().is_empty() && value.entries().is_empty();
        let options = self.options.iter().filter(|it| !is_empty(it) || self.args.is_none());
        let parts = options.chain(&self.text).chain(&self.args).chain(&self.kwargs);
        parts.into_iter().try_for_each(|part| write!(f, " {part}"))
    }
}

/// Returns whether a URI can stand in a script without quotes.
fn is_word(uri: &str) -> bool {
    let begins = |c: char| !"\"[{$#_".contains(c);
    uri.starts_with(begins)
        && uri.chars().all(|c| !c.is_whitespace() && jackfield_text::is_printable(c))
}
