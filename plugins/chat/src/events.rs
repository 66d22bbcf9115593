//! Events of a room, as its members receive them.

use jackfield_plugin::{Error, Event};
use serde::{Deserialize, Serialize};

/// An event with its `type`: `{"type": "message", "from": "Alice", "text": "hello"}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum RoomEvent {
    /// The first event of a new member: the own name, and the recent messages.
    History {
        /// The name of the new member.
        you: String,
        /// The recent messages, oldest first.
        messages: Vec<Message>,
    },
    /// A message of a member.
    Message(Message),
    /// A member has joined.
    Joined {
        /// The name of the member.
        who: String,
    },
    /// A member has left.
    Left {
        /// The name of the member.
        who: String,
    },
    /// A member has a new name.
    Renamed {
        /// The old name.
        from: String,
        /// The new name.
        to: String,
    },
}

/// A message, as the room stores and publishes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// The name of the sender at that time.
    pub from: String,
    /// The text.
    pub text: String,
}

impl RoomEvent {
    /// Returns the event with one argument, a form that WAMP v1 clients receive as well.
    pub(crate) fn event(&self) -> Result<Event, Error> {
        Event::of(self)
    }
}
