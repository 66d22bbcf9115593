//! The setting `state`: how the store of a plugin is kept.

use jackfield_sandbox::StateMode;
use serde::Deserialize;

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum RawState {
    Memory,
    Written,
    Synced,
}

impl From<RawState> for StateMode {
    fn from(raw: RawState) -> Self {
        match raw {
            RawState::Memory => Self::Memory,
            RawState::Written => Self::Written,
            RawState::Synced => Self::Synced,
        }
    }
}
