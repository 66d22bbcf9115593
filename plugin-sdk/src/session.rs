//! Sessions: the identity of a client, and the claims of its user.
//!
//! A [`Session`] describes the client for one call; [`crate::sessions`] acts on sessions.

use std::fmt;

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{Error, error::reason, lazy::Lazy};

/// The id of a session, in 1..2^53. WAMP v1 shows it as a decimal string, WAMP v2 as a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SessionId(u64);

/// The client that a hook runs for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    pub(crate) id: SessionId,
    pub(crate) authid: Lazy<String>,
    pub(crate) authrole: Lazy<String>,
    pub(crate) roles: Lazy<Vec<String>>,
    pub(crate) authmethod: Lazy<String>,
    pub(crate) claims: Lazy<String>,
}

impl SessionId {
    /// The number itself.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl From<u64> for SessionId {
    fn from(id: u64) -> Self {
        Self(id)
    }
}

impl From<SessionId> for u64 {
    fn from(id: SessionId) -> Self {
        id.0
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, formatter)
    }
}

impl Session {
    /// The id that other clients see and [`crate::sessions`] takes.
    pub const fn id(&self) -> SessionId {
        self.id
    }

    /// The authenticated identity; for an anonymous session, a generated one.
    pub fn authid(&self) -> &str {
        self.authid.get()
    }

    /// The first role: WAMP v2 has exactly one.
    pub fn authrole(&self) -> &str {
        self.authrole.get()
    }

    /// All roles.
    pub fn roles(&self) -> &[String] {
        self.roles.get()
    }

    /// Whether the session has the role.
    pub fn has_role(&self, role: &str) -> bool {
        self.roles().iter().any(|own| own == role)
    }

    /// The authentication method: `anonymous`, `ticket`, `jwt` …
    pub fn authmethod(&self) -> &str {
        self.authmethod.get()
    }

    /// Whether the session has no user. Its [`Session::authid`] is then `anonymous-` and its id; the
    /// authentication method may be another one than `anonymous`, such as an anonymous ticket.
    pub fn is_anonymous(&self) -> bool {
        self.authid().strip_prefix("anonymous-").is_some_and(|id| id == self.id.to_string())
    }

    /// The claims of the user, from the user source or the token. An anonymous session has none,
    /// which a type with only optional fields accepts.
    ///
    /// # Errors
    ///
    /// [`Error::Claims`], if they have another shape.
    pub fn claims<T: DeserializeOwned>(&self) -> Result<T, Error> {
        serde_json::from_str(self.claims.get()).map_err(|error| Error::Claims(reason(&error)))
    }

    /// The claims as the text of a JSON object, `{}` without any.
    pub fn claims_json(&self) -> &str {
        self.claims.get()
    }
}
