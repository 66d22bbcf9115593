//! Request of a hook call. Everything is borrowed, so that a call allocates next to nothing on its
//! way in.

use std::net::IpAddr;

use crate::audience::RealmId;
use crate::contract::v0_1::old::types;

/// Request of a hook call.
#[derive(Debug, Clone, Copy)]
pub struct HookRequest<'a> {
    /// Handed back to [`Audience`](crate::Audience); the plugin does not see it.
    pub realm: RealmId,
    /// One of the handlers of the plugin's manifest.
    pub handler: &'a str,
    /// The name of the route that the topic matched, one of those that the lanes were started with.
    pub route: &'a str,
    /// The concrete URI.
    pub topic: &'a str,
    /// Variables captured by the route's channel, in its order.
    pub attributes: &'a [(&'a str, &'a str)],
    /// The session that sent the message; none when the host itself acts.
    pub session: Option<Caller<'a>>,
    /// The login of a client that has no session yet. The plugin does not see it.
    pub login: Option<LoginFrom>,
    /// The number of sessions subscribed to the topic.
    pub subscribers: u32,
    /// How many calls of plugins have led to this hook: 0 if a client or a timer has. The plugin does
    /// not see it.
    pub depth: u8,
}

/// The origin of a login, which faults are counted for.
#[derive(Debug, Clone, Copy)]
pub struct LoginFrom {
    /// The client's address; none at a Unix socket.
    pub address: Option<IpAddr>,
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

/// The event of a hook, as the host has it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EventTexts<'a> {
    /// The text of a JSON array.
    pub(crate) args: &'a str,
    /// The text of a JSON object.
    pub(crate) kwargs: &'a str,
}

impl<'a> EventTexts<'a> {
    /// The event of hooks that have none.
    pub(crate) const NONE: EventTexts<'static> = EventTexts { args: "[]", kwargs: "{}" };

    /// The event as version 0.1 of the contract needs it.
    pub(crate) fn lower(self) -> types::EventParam<'a> {
        types::EventParam { args: self.args, kwargs: self.kwargs }
    }
}

/// The number of a route, as `configure` and the hooks of a plugin get it: its position among the
/// routes that the lanes were started with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RouteId(u32);

impl RouteId {
    /// The number of the route at this position; none beyond 2^32 routes.
    pub(crate) fn new(position: usize) -> Option<Self> {
        u32::try_from(position).ok().map(Self)
    }

    pub(crate) fn number(self) -> u32 {
        self.0
    }
}

impl<'a> HookRequest<'a> {
    /// The roles as version 0.1 of the contract needs them; they have to outlive the call.
    pub(crate) fn roles(&self) -> Vec<&'a str> {
        self.session.map_or_else(Vec::new, |s| s.roles.iter().map(String::as_str).collect())
    }

    /// The request as version 0.1 of the contract needs it.
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
