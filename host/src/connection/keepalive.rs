//! Pings for silent clients. Proxies forget silent connections, and networks fail without a word.

use std::pin::Pin;
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep};

use crate::wire::Wire;

/// Pings a client every so often, and notices when nothing comes back.
pub(super) struct Keepalive {
    interval: Duration,
    timeout: Duration,
    /// Kept over turns: a timer costs when it is set, not while it runs.
    timer: Pin<Box<Sleep>>,
    /// A ping is out; the timer says until when something has to come.
    waiting: bool,
}

/// What it is time for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// Send a ping.
    Ping,
    /// Nothing has come since the last ping.
    Silence,
}

impl Keepalive {
    pub(super) fn new(interval: Duration, timeout: Duration) -> Self {
        Self { interval, timeout, timer: Box::pin(sleep(interval)), waiting: false }
    }

    /// Waits until something is due. It may be dropped and called again.
    pub(super) async fn due(&mut self, wire: &Wire) -> Due {
        loop {
            self.timer.as_mut().await;
            let heard = wire.take_heard();
            if !self.waiting {
                self.waiting = true;
                self.set(self.timeout);
                return Due::Ping;
            }
            if !heard {
                return Due::Silence;
            }
            self.waiting = false;
            self.set(self.interval.saturating_sub(self.timeout));
        }
    }

    fn set(&mut self, wait: Duration) {
        self.timer.as_mut().reset(Instant::now() + wait);
    }
}
