//! Identity of an authenticated client, whatever its method. Made by [`crate::Tickets`] and
//! [`crate::Jwt`]; the rest of the server sees nothing else of authentication.

use std::time::SystemTime;

use serde_json::{Map, Value};

use crate::user::User;

/// An authenticated client.
#[derive(Clone, Debug, PartialEq)]
pub struct Authenticated {
    /// What the application calls the user; none for those who proved only that they may connect,
    /// so that no comparison of identifiers ever takes one of them for a user.
    pub id: Option<String>,
    /// The user's name, or `anonymous`.
    pub username: String,
    /// The user's roles in the application.
    pub roles: Vec<String>,
    /// The user's organization, if the application has organizations.
    pub organization: Option<String>,
    /// How it was proven.
    pub method: Method,
    /// Further claims about the user.
    pub claims: Map<String, Value>,
    /// When the proof ceases to be good, and the session with it; none if it never does.
    pub expires: Option<SystemTime>,
}

/// Authentication method.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// By a ticket of the application's.
    Ticket,
    /// By a JSON Web Token.
    Jwt,
}

impl Authenticated {
    /// Admitted by the application without a user.
    pub(crate) fn anonymous(roles: Vec<String>, method: Method) -> Self {
        Self {
            id: None,
            username: "anonymous".to_owned(),
            roles,
            organization: None,
            method,
            claims: Map::new(),
            expires: None,
        }
    }

    pub(crate) fn user(user: &User, method: Method) -> Self {
        Self {
            id: Some(user.id.clone()),
            username: user.username.clone(),
            roles: user.roles.clone(),
            organization: user.organization.clone(),
            method,
            claims: user.claims.clone(),
            expires: None,
        }
    }

    /// Whether the client has no user.
    pub fn is_anonymous(&self) -> bool {
        self.id.is_none()
    }
}

impl Method {
    /// As logs and the details of a session call it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ticket => "ticket",
            Self::Jwt => "jwt",
        }
    }
}
