//! Refusals: errors that the client receives. Every hook that can refuse returns one as an `Err`.

use std::fmt;

/// A WAMP error URI and a message for people, one sentence.
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
    /// The arguments of the client do not have the right shape.
    pub const INVALID_ARGUMENT: &'static str = "wamp.error.invalid_argument";
    /// No procedure has this name.
    pub const NO_SUCH_PROCEDURE: &'static str = "wamp.error.no_such_procedure";
    /// The handler failed through no fault of the client.
    pub const RUNTIME_ERROR: &'static str = "wamp.error.runtime_error";

    /// Creates a refusal with any WAMP error URI, such as the application's own `acme.error.flood`.
    pub fn new(uri: impl Into<String>, message: impl Into<String>) -> Self {
        Self { uri: uri.into(), message: message.into() }
    }

    /// Creates a `wamp.error.not_authorized`: the session may not do this.
    pub fn not_authorized(message: impl Into<String>) -> Self {
        Self::new(Self::NOT_AUTHORIZED, message)
    }

    /// Creates a `wamp.error.invalid_argument`: the arguments do not have the right shape.
    pub fn invalid_argument(message: impl Into<String>) -> Self {
        Self::new(Self::INVALID_ARGUMENT, message)
    }

    /// Creates a `wamp.error.no_such_procedure`: the handler does not answer this procedure.
    pub fn no_such_procedure(procedure: &str) -> Self {
        Self::new(Self::NO_SUCH_PROCEDURE, format!("There is no procedure {procedure}."))
    }

    /// The error URI.
    pub fn uri(&self) -> &str {
        &self.uri
    }

    /// The message for people.
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
