//! Pings for silent clients. Proxies forget silent connections, and networks fail without a word.

use std::time::Duration;

use tokio::time::{Instant, Interval, MissedTickBehavior};

/// Pings a silent client, and notices when it does not answer.
pub(super) struct Keepalive {
    interval: Interval,
    timeout: Duration,
    heard: Instant,
}

impl Keepalive {
    pub(super) fn new(interval: Duration, timeout: Duration) -> Self {
        let now = Instant::now();
        let mut interval = tokio::time::interval_at(now + interval, interval);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { interval, timeout, heard: now }
    }

    /// Any message is a sign of life.
    pub(super) fn heard(&mut self) {
        self.heard = Instant::now();
    }

    /// Waits until it is time for a ping. False if the client has been silent for too long.
    pub(super) async fn tick(&mut self) -> bool {
        let now = self.interval.tick().await;
        now.duration_since(self.heard) < self.interval.period() + self.timeout
    }
}
