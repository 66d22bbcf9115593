//! Request of a hook call. Everything is borrowed, so that a call allocates next to nothing on its
//! way in.

use std::net::IpAddr;

use crate::audience::RealmId;
use crate::contract::types;

/// Request of a hook call.
#[derive(Debug, Clone, Copy)]
pub struct HookRequest<'a> {
    /// Handed back to [`Audience`](crate::Audience); the plugin does not see it.
    pub realm: RealmId,
    /// One of the handlers of the plugin's manifest.
    pub handler: &'a str,
    /// The name of the route that the topic matched.
    pub route: &'a str,
    /// The concrete URI.
    pub topic: &'a str,
    /// Variables captured by the route's channel, in its order.
    pub attributes: &'a [(&'a str, &'a str)],
    /// The session that sent the message; none when the host itself acts.
    pub session: Option<Caller<'a>>,
    /// The number of sessions subscribed to the topic.
    pub subscribers: u32,
}

/// The session that sent the message.
#[derive(Debug, Clone, Copy)]
pub struct Caller<'a> {
    /// In 1..2^53.
    pub id: u64,
    /// The authenticated identity.
    pub authid: &'a str,
    /// The first of the roles.
    pub authrole: &'a str,
    /// All roles.
    pub roles: &'a [String],
    /// `anonymous`, `ticket` …
    pub authmethod: &'a str,
    /// The text of a JSON object, `{}` without claims.
    pub claims: &'a str,
    /// Key of the client: sessions of one client have the same. The plugin does not see it.
    pub client: u64,
    /// The client's address, if the session is anonymous. The plugin does not see it.
    pub anonymous_from: Option<IpAddr>,
}

impl<'a> HookRequest<'a> {
    /// The roles as the contract needs them; they have to outlive the call.
    pub(crate) fn roles(&self) -> Vec<&'a str> {
        self.session.map_or_else(Vec::new, |s| s.roles.iter().map(String::as_str).collect())
    }

    pub(crate) fn lower<'r>(&'r self, roles: &'r [&'r str]) -> types::Request<'r> {
        types::Request {
            handler: self.handler,
            route: self.route,
            topic: self.topic,
            attributes: self.attributes,
            session: self.session.map(|s| types::Session {
                id: s.id,
                authid: s.authid,
                authrole: s.authrole,
                roles,
                authmethod: s.authmethod,
                claims: s.claims,
            }),
            subscribers: self.subscribers,
        }
    }
}
