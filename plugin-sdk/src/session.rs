//! The session on whose behalf a hook runs: who it is and what the user source knows of it.
//!
//! It is a description, made for one call; what can be done to a session is in
//! [`crate::sessions`].

use std::fmt;

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{Error, error::reason};

/// The id of a session, in 1..2^53. WAMP v1 shows it as a decimal string, WAMP v2 as a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SessionId(u64);

/// Who sent the message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    pub(crate) id: SessionId,
    pub(crate) authid: String,
    pub(crate) authrole: String,
    pub(crate) roles: Vec<String>,
    pub(crate) authmethod: String,
    pub(crate) claims: String,
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
    /// The id by which other clients and [`crate::sessions`] know it.
    pub const fn id(&self) -> SessionId {
        self.id
    }

    /// The authenticated identity; for an anonymous session, one that the host made up.
    pub fn authid(&self) -> &str {
        &self.authid
    }

    /// The first of its roles, as WAMP v2 has exactly one.
    pub fn authrole(&self) -> &str {
        &self.authrole
    }

    /// All its roles.
    pub fn roles(&self) -> &[String] {
        &self.roles
    }

    /// Whether `role` is one of its roles.
    pub fn has_role(&self, role: &str) -> bool {
        self.roles.iter().any(|own| own == role)
    }

    /// How it proved its identity: `anonymous`, `ticket`, `jwt` …
    pub fn authmethod(&self) -> &str {
        &self.authmethod
    }

    /// What the user source knows of the user. A type whose fields are all optional also takes
    /// an anonymous session, which has none.
    ///
    /// # Errors
    ///
    /// [`Error::Claims`], if they have another shape.
    pub fn claims<T: DeserializeOwned>(&self) -> Result<T, Error> {
        serde_json::from_str(&self.claims).map_err(|error| Error::Claims(reason(&error)))
    }

    /// The same as text: a JSON object, `{}` when nothing is known.
    pub fn claims_json(&self) -> &str {
        &self.claims
    }
}
