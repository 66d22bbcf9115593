//! Timer of a route: interval and start of its handler's timer hook. `entry` reads it; the host
//! runs it.

use std::time::Duration;

/// Timer of a handler's hook: interval and start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Timer {
    /// The interval; the handler's own if none.
    pub every: Option<Duration>,
    /// Start of the timer.
    pub from: TimerFrom,
}

/// Start of a timer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TimerFrom {
    /// Per topic, from its first subscriber until its last one has left.
    #[default]
    Subscribe,
    /// For the only topic of a channel without variables, from the route's activation.
    Start,
}

impl TimerFrom {
    /// Both variants.
    pub const ALL: [Self; 2] = [Self::Subscribe, Self::Start];

    /// Returns the value in routing files.
    pub fn key(self) -> &'static str {
        match self {
            Self::Subscribe => "subscribe",
            Self::Start => "start",
        }
    }
}
