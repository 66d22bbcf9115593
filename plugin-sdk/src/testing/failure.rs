//! How a dialogue with a plugin can go wrong: by its decision, or by a mistake in it.

use crate::Refusal;

/// Why the client got no.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The handler refused.
    #[error("{0}")]
    Refused(#[from] Refusal),
    /// The handler panicked, or did too much: in a component a trap. All that the hook did is
    /// taken back, and the next one meets a fresh instance.
    #[error("the handler failed: {0}")]
    Fault(String),
}

impl Failure {
    /// The error URI, if the handler refused.
    pub fn uri(&self) -> Option<&str> {
        match self {
            Self::Refused(refusal) => Some(refusal.uri()),
            Self::Fault(_) => None,
        }
    }

    /// The sentence for a person, or what the panic said.
    pub fn message(&self) -> &str {
        match self {
            Self::Refused(refusal) => refusal.message(),
            Self::Fault(message) => message,
        }
    }
}
