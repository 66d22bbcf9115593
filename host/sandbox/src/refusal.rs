//! Refusals of hooks, and the results of calls.

use serde::{Deserialize, Serialize};

use crate::event::PluginEvent;

/// A refusal, shown to the client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookRefusal {
    /// A URI: not empty, and without white space.
    pub uri: String,
    /// A human-readable sentence.
    pub message: String,
}

/// Result of a call, as a plugin gives it.
pub type CallResult = Result<PluginEvent, HookRefusal>;
