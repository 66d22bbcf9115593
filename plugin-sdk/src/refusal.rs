//! Why something is refused, in a form that the client is shown. Every hook that can refuse may
//! do so by returning it as an `Err`.

use std::fmt;

/// A WAMP error URI and one sentence for a person.
///
/// ```
/// use jackfield_plugin::Refusal;
///
/// let refusal = Refusal::not_authorized("Only members may read this.");
/// assert_eq!(refusal.to_string(), "wamp.error.not_authorized: Only members may read this.");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub(crate) uri: String,
    pub(crate) message: String,
}

impl Refusal {
    /// The session may not do this.
    pub const NOT_AUTHORIZED: &'static str = "wamp.error.not_authorized";
    /// What the client sent does not have the right shape.
    pub const INVALID_ARGUMENT: &'static str = "wamp.error.invalid_argument";
    /// There is nothing of this name to call.
    pub const NO_SUCH_PROCEDURE: &'static str = "wamp.error.no_such_procedure";
    /// The handler failed through no fault of the client.
    pub const RUNTIME_ERROR: &'static str = "wamp.error.runtime_error";

    /// Any WAMP error URI, those of the application included: `acme.error.flood`.
    pub fn new(uri: impl Into<String>, message: impl Into<String>) -> Self {
        Self { uri: uri.into(), message: message.into() }
    }

    /// `wamp.error.not_authorized`: the session may not do this.
    pub fn not_authorized(message: impl Into<String>) -> Self {
        Self::new(Self::NOT_AUTHORIZED, message)
    }

    /// `wamp.error.invalid_argument`: what the client sent does not have the right shape.
    pub fn invalid_argument(message: impl Into<String>) -> Self {
        Self::new(Self::INVALID_ARGUMENT, message)
    }

    /// `wamp.error.no_such_procedure`: the handler answers other methods, and not this one.
    pub fn no_such_procedure(procedure: &str) -> Self {
        Self::new(Self::NO_SUCH_PROCEDURE, format!("There is no procedure {procedure}."))
    }

    /// The error URI.
    pub fn uri(&self) -> &str {
        &self.uri
    }

    /// The sentence for a person.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.uri, self.message)
    }
}

impl std::error::Error for Refusal {}
