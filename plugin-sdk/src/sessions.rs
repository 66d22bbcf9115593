//! Acts on single sessions, when the hook has returned. An unknown session is ignored: it may
//! have left meanwhile.

use crate::{Event, SessionId, host};

/// Sends an event of `topic` to one session; dropped unless it is subscribed to that topic by
/// then. A session that `on_subscribe` is about to allow counts as subscribed.
pub fn send(session: SessionId, topic: &str, event: Event) {
    host::send(session, topic, event);
}

/// Takes the session out of the topic, as if it had unsubscribed.
pub fn unsubscribe(session: SessionId, topic: &str) {
    host::unsubscribe(session, topic);
}

/// Ends the session; `reason` is a WAMP URI that the client is shown.
pub fn close(session: SessionId, reason: &str, message: &str) {
    host::close(session, reason, message);
}
