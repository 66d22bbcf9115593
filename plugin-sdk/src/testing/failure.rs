//! Failures of a plugin: a refusal by the handler, or a fault.

use crate::Refusal;

/// A negative answer for the client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The handler refused.
    #[error("{0}")]
    Refused(#[from] Refusal),
    /// The handler panicked or had too many effects, which is a trap in a component. Everything
    /// that the hook did is undone, and the next call meets a fresh instance.
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

    /// The message of the refusal or of the panic.
    pub fn message(&self) -> &str {
        match self {
            Self::Refused(refusal) => refusal.message(),
            Self::Fault(message) => message,
        }
    }
}
