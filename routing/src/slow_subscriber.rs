//! Policy of a route for subscribers that do not keep up. `entry` reads it; the host applies it.

/// Policy for a subscriber whose queue is full of events of others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlowSubscriber {
    /// Disconnects it with a reason.
    Disconnect,
    /// Drops the event for this subscriber.
    Drop,
    /// Keeps only the newest event of the topic that waits for this subscriber.
    Latest,
}

impl SlowSubscriber {
    /// All policies.
    pub const ALL: [Self; 3] = [Self::Disconnect, Self::Drop, Self::Latest];

    /// Returns the value in routing files.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Disconnect => "disconnect",
            Self::Drop => "drop",
            Self::Latest => "latest",
        }
    }
}
