//! Users of the test's sessions.

use serde_json::Value;

use crate::{Session, SessionId};

/// A user who joins the [`Harness`](super::Harness).
#[derive(Debug, Clone)]
pub struct User {
    authid: String,
    roles: Vec<String>,
    authmethod: String,
    claims: Value,
}

impl User {
    /// An authenticated user without roles.
    pub fn named(authid: impl Into<String>) -> Self {
        let claims = Value::Object(serde_json::Map::new());
        Self { authid: authid.into(), roles: Vec::new(), authmethod: "ticket".into(), claims }
    }

    /// An anonymous user.
    pub fn anonymous() -> Self {
        Self { authmethod: "anonymous".into(), ..Self::named("anonymous") }.role("anonymous")
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

    pub(crate) fn session(self, id: SessionId) -> Session {
        let authrole = self.roles.first().cloned().unwrap_or_default();
        Session {
            id,
            authid: self.authid.into(),
            authrole: authrole.into(),
            roles: self.roles.into(),
            authmethod: self.authmethod.into(),
            claims: self.claims.to_string().into(),
        }
    }
}
