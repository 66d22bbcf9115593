//! Users of the test's sessions.

use serde_json::Value;

use crate::{Session, SessionId};

/// A user who joins the [`Harness`](super::Harness).
#[derive(Debug, Clone)]
pub struct User {
    authid: String,
    is_anonymous: bool,
    roles: Vec<String>,
    authmethod: String,
    claims: Value,
    pub(super) realm: String,
}

/// The realm of users without another one.
pub(super) const DEFAULT_REALM: &str = "realm1";

impl User {
    /// An authenticated user without roles.
    pub fn named(authid: impl Into<String>) -> Self {
        let claims = Value::Object(serde_json::Map::new());
        Self {
            authid: authid.into(),
            is_anonymous: false,
            roles: Vec::new(),
            authmethod: "ticket".into(),
            claims,
            realm: DEFAULT_REALM.to_owned(),
        }
    }

    /// A client without a user. As in the server, its authid is `anonymous-` and the session's id.
    pub fn anonymous() -> Self {
        let user = Self::named("");
        Self { authmethod: "anonymous".into(), is_anonymous: true, ..user }.role("anonymous")
    }

    /// Adds a role.
    #[must_use]
    pub fn role(mut self, role: impl Into<String>) -> Self {
        self.roles.push(role.into());
        self
    }

    /// Sets an authentication method other than `ticket`.
    #[must_use]
    pub fn authmethod(mut self, method: impl Into<String>) -> Self {
        self.authmethod = method.into();
        self
    }

    /// Sets the claims, such as `json!({"id": 7})`.
    #[must_use]
    pub fn claims(mut self, claims: Value) -> Self {
        self.claims = claims;
        self
    }

    /// Sets a realm other than `realm1`. Timers and the host's publications are in `realm1`.
    #[must_use]
    pub fn realm(mut self, realm: impl Into<String>) -> Self {
        self.realm = realm.into();
        self
    }

    pub(crate) fn session(self, id: SessionId) -> Session {
        let authrole = self.roles.first().cloned().unwrap_or_default();
        let authid = if self.is_anonymous { format!("anonymous-{id}") } else { self.authid };
        Session {
            id,
            authid: authid.into(),
            authrole: authrole.into(),
            roles: self.roles.into(),
            authmethod: self.authmethod.into(),
            claims: self.claims.to_string().into(),
        }
    }
}
