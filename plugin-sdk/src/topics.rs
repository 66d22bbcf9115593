//! Publications to topics, and their subscribers.
//!
//! Events that a hook publishes are sent when it has returned, and not at all if it traps. They go
//! straight to subscribers and enter no handler.

use crate::{Event, SessionId, host};

/// Publishes to all subscribers of a topic.
pub fn publish(topic: &str, event: Event) {
    host::publish(topic, event, &[], None);
}

/// Publishes to all subscribers of a topic except these sessions.
pub fn publish_except(topic: &str, event: Event, exclude: impl IntoIterator<Item = SessionId>) {
    host::publish(topic, event, &Vec::from_iter(exclude), None);
}

/// Publishes to those of these sessions that subscribe to the topic.
pub fn publish_to(topic: &str, event: Event, eligible: impl IntoIterator<Item = SessionId>) {
    host::publish(topic, event, &[], Some(&Vec::from_iter(eligible)));
}

/// The sessions subscribed to a topic.
pub fn subscribers(topic: &str) -> Vec<SessionId> {
    host::subscribers(topic)
}

/// The number of sessions subscribed to a topic.
pub fn count(topic: &str) -> u32 {
    host::count(topic)
}
