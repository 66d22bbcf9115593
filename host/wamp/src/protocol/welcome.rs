//! WELCOME: opens a session and announces the router's features.

use super::{Protocol, State, encode};
use crate::dialect::Dialect;
use crate::id::SessionId;
use crate::message::{self, Message};
use crate::v1;
use crate::value::{Dict, Value};

/// Announced roles and features, which clients rely on. WAMP v2 specification, section "Feature
/// Announcement".
const ROLES: &[(&str, &[&str])] = &[
    (
        "broker",
        &[
            "event_history",
            "event_retention",
            "pattern_based_subscription",
            "payload_passthru_mode",
            "publication_trustlevels",
            "publisher_exclusion",
            "publisher_identification",
            "session_meta_api",
            "subscriber_blackwhite_listing",
            "subscription_meta_api",
            "subscription_revocation",
            "x_event_recovery",
        ],
    ),
    (
        "dealer",
        &[
            "call_canceling",
            "call_reroute",
            "call_timeout",
            "call_trustlevels",
            "caller_identification",
            "pattern_based_registration",
            "payload_passthru_mode",
            "progressive_call_invocations",
            "progressive_call_results",
            "registration_meta_api",
            "registration_revocation",
            "session_meta_api",
            "sharded_registration",
            "shared_registration",
            "testament_meta_api",
        ],
    ),
];

/// Identity of the client in the new session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "named as in the specification")]
pub struct Welcome<'a> {
    pub session: SessionId,
    pub realm: &'a str,
    pub authid: &'a str,
    pub authrole: &'a str,
    pub authmethod: &'a str,
    /// The software's name and version, "Jackfield/0.1.0".
    pub agent: &'a str,
    /// The entry of `authextra` by which the router proves itself: WAMP-SCRAM.
    pub verifier: Option<(&'a str, &'a str)>,
    /// The window in milliseconds in which the client should reconnect after a lost connection, at a
    /// random moment: `_retry` of version 2. Version 1 has no place for it.
    pub retry_max_ms: Option<u64>,
}

impl Protocol {
    /// Opens the session with WELCOME: in version 1 for a new connection, sent together with the
    /// HTTP response; in version 2 the answer to HELLO or AUTHENTICATE. Requests are accepted from
    /// now on.
    pub fn welcome(&mut self, welcome: &Welcome<'_>) -> Vec<u8> {
        self.state = State::Open;
        match self.dialect {
            Dialect::V1 => v1::welcome(welcome.session, welcome.agent),
            Dialect::V2(codec) => {
                let message =
                    message::Welcome { session: welcome.session, details: details(welcome) };
                encode(codec, &Message::Welcome(message))
            }
        }
    }
}

fn details(welcome: &Welcome<'_>) -> Dict {
    let retry = welcome.retry_max_ms.map(|max| Value::Map(Dict::from_iter([("max_ms", max)])));
    let details = [
        ("roles", Value::Map(roles())),
        ("agent", welcome.agent.into()),
        ("realm", welcome.realm.into()),
        ("authid", welcome.authid.into()),
        ("authrole", welcome.authrole.into()),
        ("authmethod", welcome.authmethod.into()),
    ];
    let extra = welcome.verifier.map(|entry| Value::Map(Dict::from_iter([entry])));
    let extra = extra.map(|extra| ("authextra", extra));
    let retry = retry.map(|retry| ("_retry", retry));
    details.into_iter().chain(extra).chain(retry).collect()
}

fn roles() -> Dict {
    let features = |names: &[&str]| Value::Map(names.iter().map(|name| (*name, true)).collect());
    let role = |names: &[&str]| Value::Map(Dict::from_iter([("features", features(names))]));
    ROLES.iter().map(|(name, features)| (*name, role(features))).collect()
}
