//! History of a route's topics: the recent events that the server keeps. `entry` reads it; the host
//! keeps them.

use std::time::Duration;

/// The recent events that the server keeps of each topic of a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct History {
    /// The maximum number of events.
    pub events: usize,
    /// The maximum age of an event.
    pub age: Duration,
    /// The maximum memory of a topic's events in bytes.
    pub bytes: usize,
    /// The number of events that a new subscriber gets; 0 is `none`, 1 is `last`.
    pub on_subscribe: usize,
    /// Whether the events survive a crash of the server.
    pub durable: bool,
}

impl History {
    /// The keys in routing files.
    pub const KEYS: [&str; 5] = ["events", "age", "bytes", "on_subscribe", "durable"];
}

impl Default for History {
    fn default() -> Self {
        Self {
            events: 100,
            age: Duration::from_mins(10),
            bytes: 1 << 20,
            on_subscribe: 0,
            durable: false,
        }
    }
}
