//! Scripts: parsed lines. The format is in docs/dialogues.md; the parser is in `parse`.

use std::ops::Range;
use std::time::Duration;

use super::symbol::{Symbol, Version};
use super::value::Value;

/// A script without errors.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Script {
    pub(super) lines: Vec<Line>,
}

/// A line, or several that belong together.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Line {
    /// Its number, counted from 1.
    pub(super) number: usize,
    /// Its bytes in the text.
    pub(super) range: Range<usize>,
    pub(super) action: Action,
}

/// The meaning of a line.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Action {
    /// A client connects.
    Join(Declaration),
    /// A client sends a message.
    Send(String, Sent),
    /// A client has received a message, or nothing.
    Expect(String, Expected),
    /// A client leaves with GOODBYE.
    Leave(String),
    /// The connection of a client ends.
    Disconnect(String),
    /// Time passes.
    Wait(Duration),
}

/// A client.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Declaration {
    pub(super) name: String,
    pub(super) version: Version,
    /// The authenticated user; `None` for an anonymous client.
    pub(super) user: Option<String>,
    pub(super) roles: Vec<String>,
    /// The claims of the user, a dictionary.
    pub(super) claims: Option<Value>,
    /// The realm; `None` for the first one of the settings.
    pub(super) realm: Option<String>,
    /// Whether the script has all messages, from HELLO on.
    pub(super) is_raw: bool,
}

/// A sent message.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Sent {
    Symbol(Symbol),
    /// A message as a list.
    Raw(Value),
    /// The text of a frame, which may be no message.
    Frame(String),
}

/// An expectation.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Expected {
    Symbol(Symbol),
    /// A message as a list.
    Raw(Value),
    /// No message is there.
    Nothing,
    /// The connection is closed.
    Closed,
}

impl Declaration {
    pub(super) fn anonymous(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            version: Version::V2,
            user: None,
            roles: Vec::new(),
            claims: None,
            realm: None,
            is_raw: false,
        }
    }
}
