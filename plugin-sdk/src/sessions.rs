//! Actions on single sessions. They happen when the hook has returned; an unknown session is
//! ignored, because it may have left meanwhile.

use crate::{Event, SessionId, host};

/// Sends an event of `topic` to one session. It is dropped unless the session is then subscribed to
/// the topic; a session that `on_subscribe` is about to allow counts as subscribed.
pub fn send(session: SessionId, topic: &str, event: Event) {
    host::send(session, topic, event);
}

/// Ends the session's subscription to the topic, as if it had unsubscribed.
pub fn unsubscribe(session: SessionId, topic: &str) {
    host::unsubscribe(session, topic);
}

/// Ends the session. The client receives `reason`, a WAMP URI, and the message.
pub fn close(session: SessionId, reason: &str, message: &str) {
    host::close(session, reason, message);
}
