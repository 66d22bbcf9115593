//! Who a session is. Decided before it joins a realm, and unchanged until it leaves.

use std::collections::BTreeSet;
use std::net::IpAddr;

/// Who a session is, in the words of WAMP v2's WELCOME.Details.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The authenticated identity; for an anonymous session, one that the host made up.
    pub authid: String,
    /// All roles; the first is the `authrole` of WAMP v2.
    pub roles: Vec<String>,
    /// How the session authenticated: `anonymous`, `ticket` …
    pub authmethod: String,
    /// What the user source knows of the user: the text of a JSON object.
    pub claims: String,
    /// The client's address, if the session has no user: its `authid` is made up then, and tells
    /// sessions apart, not clients.
    pub anonymous_from: Option<IpAddr>,
}

impl Identity {
    /// The role of sessions that did not authenticate.
    pub const ANONYMOUS: &'static str = "anonymous";

    /// Nobody in particular, under an authid that the host made up.
    pub fn anonymous(authid: String, from: IpAddr) -> Self {
        Self {
            anonymous_from: Some(from),
            authid,
            roles: vec![Self::ANONYMOUS.to_owned()],
            authmethod: "anonymous".to_owned(),
            claims: "{}".to_owned(),
        }
    }

    /// The role that WAMP v2 shows; a session without roles has the empty one.
    pub fn authrole(&self) -> &str {
        self.roles.first().map_or("", String::as_str)
    }

    /// Whether the session has any of the roles.
    pub fn has_any_role(&self, roles: &BTreeSet<String>) -> bool {
        self.roles.iter().any(|role| roles.contains(role))
    }
}
