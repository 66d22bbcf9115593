//! What the members of a room hear: the events that leave the plugin.

use jackfield_plugin::{Error, Event};
use serde::{Deserialize, Serialize};

/// One event, with its `type`: `{"type": "message", "from": "Alice", "text": "hello"}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum RoomEvent {
    /// Sent to who joins: their own name, and what was said before.
    History {
        /// The name under which the others know them.
        you: String,
        /// The oldest comes first.
        messages: Vec<Message>,
    },
    /// Somebody says something.
    Message(Message),
    /// Somebody has come.
    Joined {
        /// Their name.
        who: String,
    },
    /// Somebody has gone.
    Left {
        /// Their name.
        who: String,
    },
    /// Somebody has another name now.
    Renamed {
        /// The old one.
        from: String,
        /// The new one.
        to: String,
    },
}

/// What somebody said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Their name at that time.
    pub from: String,
    /// Their words.
    pub text: String,
}

impl RoomEvent {
    /// As the one value of an event, so that WAMP v1 clients hear it too.
    pub(crate) fn event(&self) -> Result<Event, Error> {
        Event::of(self)
    }
}
