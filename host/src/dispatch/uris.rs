//! Checks of the topics and patterns in requests, before a route is looked up.

use jackfield_broker::{MAX_WILDCARD_COMPONENTS, Session};
use jackfield_wamp::dialect::Dialect;
use jackfield_wamp::uri::{self, MatchPolicy};

use super::Refusal;

/// The maximum size of a topic or pattern. The broker stores each as long as a session is
/// subscribed, and a client may subscribe to a thousand.
const MAX_BYTES: usize = 1024;

/// Checks a topic or a pattern. Version 1 has no rules for the text, and some of its topics are not
/// URIs of version 2; the maximum size applies to both.
pub(super) fn check(from: &Session, text: &str, policy: MatchPolicy) -> Result<(), Refusal> {
    if text.len() > MAX_BYTES {
        let message = format!("a topic has at most {MAX_BYTES} bytes, this one {}", text.len());
        return Err(Refusal::invalid_uri(message));
    }
    let components = text.bytes().filter(|&byte| byte == b'.').count() + 1;
    if policy == MatchPolicy::Wildcard && components > MAX_WILDCARD_COMPONENTS {
        let message = format!(
            "a wildcard has at most {MAX_WILDCARD_COMPONENTS} components, this one {components}"
        );
        return Err(Refusal::invalid_uri(message));
    }
    match from.dialect {
        Dialect::V2(_) if !uri::is_pattern(text, policy) => {
            Err(Refusal::invalid_uri(format!("`{text}` is not a valid URI here")))
        }
        Dialect::V1 | Dialect::V2(_) => Ok(()),
    }
}

/// Refuses publications to reserved URIs in both versions: a client could forge events of the
/// router.
pub(super) fn check_reserved(topic: &str) -> Result<(), Refusal> {
    if uri::is_reserved(topic) {
        let message = format!("`{topic}` is the router's own; clients may only listen there");
        return Err(Refusal::invalid_uri(message));
    }
    Ok(())
}

/// Returns a topic for an answer or a log line; a text that is too long is not repeated.
pub(super) fn shown(topic: &str) -> &str {
    if topic.len() > MAX_BYTES { "(too long)" } else { topic }
}
