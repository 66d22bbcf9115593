//! Identity of an authenticated client, independent of the method. [`crate::Tickets`] and
//! [`crate::Jwt`] create it; the rest of the server sees nothing else of authentication.

use std::time::SystemTime;

use serde_json::{Map, Value};

use crate::basis::{Basis, Fingerprint};
use crate::user::User;

/// An authenticated client.
#[derive(Clone, Debug, PartialEq)]
pub struct Authenticated {
    /// The application's id of the user; `None` for anonymous clients, so that no comparison of ids
    /// ever takes one of them for a user.
    pub id: Option<String>,
    /// The user's name, or `anonymous`.
    pub username: String,
    /// The user's roles in the application.
    pub roles: Vec<String>,
    /// The user's organization, if the application has organizations.
    pub organization: Option<String>,
    /// The authentication method.
    pub method: Method,
    /// Further claims about the user.
    pub claims: Map<String, Value>,
    /// The end of the credential and of the session; `None` if it never expires.
    pub expires: Option<SystemTime>,
    /// What the authentication rests on.
    pub basis: Basis,
}

/// Authentication method.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// A ticket of the application.
    Ticket,
    /// A JSON Web Token.
    Jwt,
    /// A certificate of the client.
    Certificate,
    /// WAMP-CRA.
    Cra,
    /// WAMP-SCRAM.
    Scram,
    /// Cryptosign.
    Cryptosign,
}

impl Authenticated {
    /// Creates the identity of a client without a user.
    pub(crate) fn anonymous(roles: Vec<String>, method: Method, secret: Fingerprint) -> Self {
        Self {
            basis: Basis::Ticket { secret, user: None, roles: roles.clone() },
            id: None,
            username: "anonymous".to_owned(),
            roles,
            organization: None,
            method,
            claims: Map::new(),
            expires: None,
        }
    }

    pub(crate) fn user(user: &User, method: Method, secret: Fingerprint) -> Self {
        let fingerprint = (user.username.clone(), Fingerprint::of_user(user));
        Self {
            basis: Basis::Ticket { secret, user: Some(fingerprint), roles: user.roles.clone() },
            id: Some(user.id.clone()),
            username: user.username.clone(),
            roles: user.roles.clone(),
            organization: user.organization.clone(),
            method,
            claims: user.claims.clone(),
            expires: None,
        }
    }

    /// Returns whether the client has no user.
    pub fn is_anonymous(&self) -> bool {
        self.id.is_none()
    }
}

impl Method {
    /// Returns the name for logs and for the details of a session.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ticket => "ticket",
            Self::Jwt => "jwt",
            Self::Certificate => "certificate",
            Self::Cra => "wampcra",
            Self::Scram => "scram",
            Self::Cryptosign => "cryptosign",
        }
    }
}
