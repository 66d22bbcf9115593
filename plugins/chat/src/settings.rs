//! Settings of a room's route: `handler.args`.

use jackfield_plugin::Error;
use serde::Deserialize;

/// The settings, each with a default. Unknown keys are errors of the routing file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Settings {
    /// Number of messages that a room remembers.
    pub(crate) history: usize,
    /// Maximum characters of a message.
    pub(crate) max_length: usize,
    /// Maximum messages of a session at once, and in ten seconds.
    pub(crate) burst: u32,
}

/// Maximum messages of the history, which is sent in one event.
const MAX_HISTORY: usize = 200;
/// Maximum of `max_length`, in characters.
const MAX_MESSAGE_CHARS: usize = 1_000;

impl Default for Settings {
    fn default() -> Self {
        Self { history: 20, max_length: 500, burst: 10 }
    }
}

impl Settings {
    /// Validates the settings.
    pub(crate) fn checked(self) -> Result<Self, Error> {
        if self.history > MAX_HISTORY {
            return Err(format!("handler.args: history can be {MAX_HISTORY} at most").into());
        }
        if !(1..=MAX_MESSAGE_CHARS).contains(&self.max_length) {
            return Err(
                format!("handler.args: max_length has to be 1 to {MAX_MESSAGE_CHARS}").into()
            );
        }
        if self.burst < 1 {
            return Err("handler.args: burst has to be 1 or more".into());
        }
        Ok(self)
    }
}
