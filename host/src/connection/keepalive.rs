//! Keepalive: pings to silent clients, and the end of lost connections. Proxies drop silent
//! connections, and networks fail without notice.
//!
//! Two events end a connection: no bytes arrive after a ping, or the socket accepts no bytes while
//! output waits. A PHP publisher of WAMP v1 never reads after its WELCOME, so it never answers; the
//! connection decides whether silence matters ([`Keepalive::has_answered`]).

use std::pin::Pin;
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep};

use crate::frame::PING_BYTES;
use crate::transport::ClientTransport;

/// Pings a client at an interval, and detects silence.
pub(super) struct Keepalive {
    interval: Duration,
    timeout: Duration,
    /// Kept over turns: setting a timer is expensive, running it is not.
    timer: Pin<Box<Sleep>>,
    awaited: Awaited,
    /// Whether the client has ever answered a ping.
    answered: bool,
    /// When the last ping was sent, until it is answered.
    pinged: Option<Instant>,
}

/// The event that has to occur before the timer fires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Awaited {
    /// None: the next round begins then.
    Nothing,
    /// Any bytes from the client: a ping is pending.
    Answer,
    /// The socket has to accept more than these bytes. There is no ping: it would wait behind them.
    Progress { written: u64 },
}

/// The action that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// Send a ping.
    Ping,
    /// No bytes have arrived since the last ping.
    Silence,
    /// The socket has accepted no bytes for the timeout, while output waited.
    Stall,
}

impl Keepalive {
    pub(super) fn new(interval: Duration, timeout: Duration) -> Self {
        let timer = Box::pin(sleep(interval));
        Self { interval, timeout, timer, awaited: Awaited::Nothing, answered: false, pinged: None }
    }

    /// Replaces the times. The current wait goes on, unless the new interval is over earlier.
    pub(super) fn set_times(&mut self, interval: Duration, timeout: Duration) {
        (self.interval, self.timeout) = (interval, timeout);
        let longest = match self.awaited {
            Awaited::Nothing => interval,
            Awaited::Answer | Awaited::Progress { .. } => timeout,
        };
        if self.timer.deadline() > Instant::now() + longest {
            self.set(longest);
        }
    }

    /// Records a pong. Returns the time since the ping; none if the client answers more often than it
    /// is asked.
    pub(super) fn answered(&mut self) -> Option<Duration> {
        self.answered = true;
        self.pinged.take().map(|at| at.elapsed())
    }

    /// Returns whether the client has ever answered a ping.
    pub(super) fn has_answered(&self) -> bool {
        self.answered
    }

    /// Returns the maximum time for which a client may read nothing.
    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Waits until an action is due. Cancel-safe: it may be dropped and called again.
    pub(super) async fn due(&mut self, wire: &ClientTransport) -> Due {
        loop {
            self.timer.as_mut().await;
            let heard = wire.take_received();
            let awaited = std::mem::replace(&mut self.awaited, Awaited::Nothing);
            let rest = self.interval.saturating_sub(self.timeout);
            match awaited {
                Awaited::Nothing => {
                    self.set(self.timeout);
                    if let Some(written) = stuck(wire) {
                        self.awaited = Awaited::Progress { written };
                    } else {
                        self.awaited = Awaited::Answer;
                        if !wire.outbox().is_blocked() {
                            self.pinged = Some(Instant::now());
                            return Due::Ping;
                        }
                    }
                }
                Awaited::Answer => {
                    self.set(rest);
                    if !heard {
                        return Due::Silence;
                    }
                }
                Awaited::Progress { written } => {
                    self.set(rest);
                    if stuck(wire) == Some(written) {
                        return Due::Stall;
                    }
                }
            }
        }
    }

    fn set(&mut self, wait: Duration) {
        self.timer.as_mut().reset(Instant::now() + wait);
    }
}

/// Returns the bytes that the socket has accepted so far, if it is blocked and more than a ping
/// waits.
fn stuck(wire: &ClientTransport) -> Option<u64> {
    let outbox = wire.outbox();
    (outbox.is_blocked() && outbox.held_bytes() > PING_BYTES).then(|| outbox.pressure().written)
}
