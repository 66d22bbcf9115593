//! URIs of the meta API: procedures and topics of the router itself. WAMP v2 specification, sections
//! "Session Meta API", "Registration Meta API" and "Subscription Meta API".

/// Procedures that the router answers.
pub const PROCEDURES: [&str; 21] = [
    "wamp.session.count",
    "wamp.session.list",
    "wamp.session.get",
    "wamp.session.kill",
    "wamp.session.kill_by_authid",
    "wamp.session.kill_by_authrole",
    "wamp.session.kill_all",
    "wamp.session.add_testament",
    "wamp.session.flush_testaments",
    "wamp.subscription.list",
    "wamp.subscription.lookup",
    "wamp.subscription.match",
    "wamp.subscription.get",
    "wamp.subscription.list_subscribers",
    "wamp.subscription.count_subscribers",
    "wamp.registration.list",
    "wamp.registration.lookup",
    "wamp.registration.match",
    "wamp.registration.get",
    "wamp.registration.list_callees",
    "wamp.registration.count_callees",
];

/// A session has joined the realm.
pub const ON_JOIN: &str = "wamp.session.on_join";
/// A session has left the realm.
pub const ON_LEAVE: &str = "wamp.session.on_leave";
