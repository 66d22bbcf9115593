//! What the operator may set for a room's route, in `handler.args`.

use jackfield_plugin::Error;
use serde::Deserialize;

/// Each has a default; a misspelt name is an error that the operator sees at once.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Settings {
    /// How many messages a room remembers.
    pub(crate) history: usize,
    /// How many characters a message may have.
    pub(crate) longest: usize,
    /// How many messages a session may send in ten seconds.
    pub(crate) burst: i64,
}

/// The history leaves in one event, which has to stay well below what a hook may send at once.
const MAX_HISTORY: usize = 200;
const MAX_LONGEST: usize = 1_000;

impl Default for Settings {
    fn default() -> Self {
        Self { history: 20, longest: 500, burst: 10 }
    }
}

impl Settings {
    /// The same, if a room can work with them.
    pub(crate) fn checked(self) -> Result<Self, Error> {
        if self.history > MAX_HISTORY {
            return Err(format!("handler.args: history can be {MAX_HISTORY} at most").into());
        }
        if !(1..=MAX_LONGEST).contains(&self.longest) {
            return Err(format!("handler.args: longest has to be 1 to {MAX_LONGEST}").into());
        }
        if self.burst < 1 {
            return Err("handler.args: burst has to be 1 or more".into());
        }
        Ok(self)
    }
}
