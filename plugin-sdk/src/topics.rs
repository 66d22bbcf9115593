//! Events, and who receives them.
//!
//! What a hook publishes leaves when the hook has returned, and not at all when it traps; it goes
//! straight to subscribers and enters no handler.

use crate::{Event, SessionId, host};

/// Publishes to all subscribers of a topic.
pub fn publish(topic: &str, event: Event) {
    host::publish(topic, event, &[], None);
}

/// Publishes to all subscribers of a topic but these.
pub fn publish_except(topic: &str, event: Event, exclude: impl IntoIterator<Item = SessionId>) {
    host::publish(topic, event, &Vec::from_iter(exclude), None);
}

/// Publishes to those subscribers of a topic that are named here.
pub fn publish_to(topic: &str, event: Event, eligible: impl IntoIterator<Item = SessionId>) {
    host::publish(topic, event, &[], Some(&Vec::from_iter(eligible)));
}

/// Who is subscribed to a topic now.
pub fn subscribers(topic: &str) -> Vec<SessionId> {
    host::subscribers(topic)
}

/// How many are subscribed to a topic now.
pub fn count(topic: &str) -> u32 {
    host::count(topic)
}
