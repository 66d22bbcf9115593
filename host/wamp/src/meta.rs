//! URIs of the meta API: procedures and topics of the router itself. WAMP v2 specification, sections
//! "Session Meta API", "Registration Meta API" and "Subscription Meta API".

/// Procedures that the router answers, and the maximum numbers of their positional arguments.
pub const PROCEDURES: [(&str, usize); 21] = [
    ("wamp.session.count", 1),
    ("wamp.session.list", 1),
    ("wamp.session.get", 1),
    ("wamp.session.kill", 1),
    ("wamp.session.kill_by_authid", 1),
    ("wamp.session.kill_by_authrole", 1),
    ("wamp.session.kill_all", 0),
    ("wamp.session.add_testament", 3),
    ("wamp.session.flush_testaments", 0),
    ("wamp.subscription.list", 0),
    ("wamp.subscription.lookup", 2),
    ("wamp.subscription.match", 1),
    ("wamp.subscription.get", 1),
    ("wamp.subscription.list_subscribers", 1),
    ("wamp.subscription.count_subscribers", 1),
    ("wamp.registration.list", 0),
    ("wamp.registration.lookup", 2),
    ("wamp.registration.match", 1),
    ("wamp.registration.get", 1),
    ("wamp.registration.list_callees", 1),
    ("wamp.registration.count_callees", 1),
];

/// A session has joined the realm.
pub const ON_JOIN: &str = "wamp.session.on_join";
/// A session has left the realm.
pub const ON_LEAVE: &str = "wamp.session.on_leave";
