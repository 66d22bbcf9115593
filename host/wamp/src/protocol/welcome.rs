//! WELCOME: opens a session and announces the router's features.

use super::{Protocol, State};
use crate::codec::CodecWriter;
use crate::dialect::{Codec, Dialect};
use crate::id::SessionId;
use crate::message::MessageKind;
use crate::v1;

/// The approximate size of WELCOME in JSON; a wrong guess costs one reallocation.
const WELCOME_BYTES: usize = 1024;

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
                let mut message = Vec::with_capacity(WELCOME_BYTES);
                write(welcome, codec, &mut message);
                message
            }
        }
    }
}

/// Appends the message, without a dictionary in between: WELCOME has 40 entries, and a server that
/// restarts sends it to all clients at once.
fn write(welcome: &Welcome<'_>, codec: Codec, out: &mut Vec<u8>) {
    let Welcome { agent, realm, authid, authrole, authmethod, verifier, retry_max_ms, .. } =
        *welcome;
    let texts = [
        ("agent", agent),
        ("realm", realm),
        ("authid", authid),
        ("authrole", authrole),
        ("authmethod", authmethod),
    ];
    let mut writer = CodecWriter::new(codec, out);
    writer.begin_list(3);
    writer.uint(MessageKind::Welcome.code());
    writer.uint(welcome.session.get());
    let extras = usize::from(verifier.is_some()) + usize::from(retry_max_ms.is_some());
    writer.begin_map(1 + texts.len() + extras);
    writer.key("roles");
    write_roles(&mut writer);
    for (key, text) in texts {
        writer.key(key);
        writer.text(text);
    }
    if let Some((key, text)) = verifier {
        writer.key("authextra");
        writer.begin_map(1);
        writer.key(key);
        writer.text(text);
        writer.end_map();
    }
    if let Some(max) = retry_max_ms {
        writer.key("_retry");
        writer.begin_map(1);
        writer.key("max_ms");
        writer.uint(max);
        writer.end_map();
    }
    writer.end_map();
    writer.end_list();
}

fn write_roles(writer: &mut CodecWriter<'_>) {
    writer.begin_map(ROLES.len());
    for (role, features) in ROLES {
        writer.key(role);
        writer.begin_map(1);
        writer.key("features");
        writer.begin_map(features.len());
        for feature in *features {
            writer.key(feature);
            writer.bool(true);
        }
        writer.end_map();
        writer.end_map();
    }
    writer.end_map();
}
