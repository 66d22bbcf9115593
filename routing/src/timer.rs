//! The timer of a route: how often its handler's timer hook runs, and from when on. The host runs
//! it; `entry` reads it.

use std::time::Duration;

/// When the timer hook of a route's handler runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Timer {
    /// How often; where it says nothing, as often as the handler itself wants it.
    pub every: Option<Duration>,
    /// Since when, and for what.
    pub from: TimerFrom,
}

/// From when on a timer runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TimerFrom {
    /// For each topic, from its first subscriber on, until its last one has left.
    #[default]
    Subscribe,
    /// For the only topic of a channel without variables, from when the route serves on.
    Start,
}

impl TimerFrom {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Subscribe, Self::Start];

    /// What the routing file calls it.
    pub fn key(self) -> &'static str {
        match self {
            Self::Subscribe => "subscribe",
            Self::Start => "start",
        }
    }
}
