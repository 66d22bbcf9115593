//! Who a client turned out to be, by whichever way it came in.
//!
//! This is all that the rest of the server sees of authentication. Made by [`crate::Tickets`] and
//! [`crate::Jwt`].

use std::time::SystemTime;

use serde_json::{Map, Value};

use crate::user::User;

/// A client whose claim to be somebody was proven.
#[derive(Clone, Debug, PartialEq)]
pub struct Authenticated {
    /// What the application calls the user; none for those who proved only that they may connect,
    /// so that no comparison of identifiers ever takes one of them for a user.
    pub id: Option<String>,
    /// The name of the user; `anonymous` for those without one.
    pub username: String,
    /// What the user is allowed to be, in the application's own words.
    pub roles: Vec<String>,
    /// The organization that the user works for, where the application knows such a thing.
    pub organization: Option<String>,
    /// How it was proven.
    pub method: Method,
    /// Whatever else the application says of the user.
    pub claims: Map<String, Value>,
    /// When the proof ceases to be good, and the session with it; none if it never does.
    pub expires: Option<SystemTime>,
}

/// How a client proved who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// By a ticket of the application's.
    Ticket,
    /// By a JSON Web Token.
    Jwt,
}

impl Authenticated {
    /// Somebody whom the application let in without saying who it is.
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

    /// Whether nobody knows who this is.
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
