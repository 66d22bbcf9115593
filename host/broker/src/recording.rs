//! Recording: what a publication leaves for the history of its topic.

use std::time::Duration;

use jackfield_wamp::id::SubscriptionId;

use crate::event_frames::EventFrames;

/// The history that a route gives its topics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistoryRule {
    /// The maximum number of events.
    pub events: usize,
    /// The maximum age of an event.
    pub age: Duration,
    /// The maximum size of all events of a topic in bytes.
    pub bytes: usize,
    /// The number of events that a new subscriber gets.
    pub on_subscribe: usize,
}

/// The rule of a publication's topic, and the time of the publication.
#[derive(Clone, Copy, Debug)]
pub struct Recording {
    /// The rule.
    pub rule: HistoryRule,
    /// The time since the Unix epoch.
    pub now: Duration,
    /// Whether the event is saved before it is delivered.
    pub is_durable: bool,
}

/// The frames of an event as they were sent to the subscribers of the exact subscription.
#[derive(Debug)]
pub(crate) struct SentFrames {
    pub(crate) subscription: SubscriptionId,
    pub(crate) frames: EventFrames,
}
