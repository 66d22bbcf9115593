//! Shutdown: the request to stop, for all tasks. Connections, HTTP and the listener wait for it.
//!
//! `server` makes it when [`crate::signals`] or a failed start asks for it. It comes in two steps:
//! first the shutdown is announced to load balancers, while everything goes on; then it is requested.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use jackfield_broker::{CloseCause, CloseReason};
use jackfield_config::ShutdownTimes;
use jackfield_wamp::error_uri;
use tokio::sync::watch;

/// The time over which sessions end, for each session: the answers to its reconnect take about as long.
const SPREAD_PER_SESSION: Duration = Duration::from_millis(20);

/// The shortest window for reconnects that clients are told. They have such a random delay anyway.
const MIN_RETRY_WINDOW: Duration = Duration::from_secs(1);

/// Whether the server has to stop, and how long that may take.
pub(crate) struct Shutdown {
    stage: watch::Sender<Stage>,
    /// Change with the settings.
    times: ArcSwap<ShutdownTimes>,
}

/// The stages of a server's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    /// The server serves.
    None,
    /// Health checks say that it stops; everything else goes on.
    Announced,
    /// Every task has to stop.
    Requested,
}

impl Shutdown {
    pub(crate) fn new(times: ShutdownTimes) -> Self {
        Self { stage: watch::Sender::new(Stage::None), times: ArcSwap::from_pointee(times) }
    }

    pub(crate) fn times(&self) -> ShutdownTimes {
        **self.times.load()
    }

    /// Replaces the times of a shutdown that has not begun.
    pub(crate) fn set_times(&self, times: ShutdownTimes) {
        self.times.store(Arc::new(times));
    }

    /// Lets health checks say that the server stops.
    pub(crate) fn announce(&self) {
        self.reach(Stage::Announced);
    }

    /// Asks every task to stop.
    pub(crate) fn request(&self) {
        self.reach(Stage::Requested);
    }

    fn reach(&self, stage: Stage) {
        self.stage.send_modify(|reached| *reached = stage.max(*reached));
    }

    /// Returns whether health checks say that the server stops.
    pub(crate) fn is_announced(&self) -> bool {
        *self.stage.borrow() >= Stage::Announced
    }

    /// Returns whether the server has to stop.
    pub(crate) fn is_requested(&self) -> bool {
        *self.stage.borrow() == Stage::Requested
    }

    /// Waits until the server has to stop.
    pub(crate) async fn requested(&self) {
        // The sender is `self`, so it exists.
        let mut stage = self.stage.subscribe();
        let _requested = stage.wait_for(|stage| *stage == Stage::Requested).await.is_ok();
    }

    /// Returns the time over which this many sessions are ended.
    pub(crate) fn spread(&self, sessions: usize) -> Duration {
        let gaps = u32::try_from(sessions.saturating_sub(1)).unwrap_or(u32::MAX);
        SPREAD_PER_SESSION.saturating_mul(gaps).min(self.times().spread)
    }

    /// Returns the window over which the clients of this many sessions spread their reconnects after
    /// a lost connection. None if they are not spread.
    pub(crate) fn retry_window(&self, sessions: usize) -> Option<Duration> {
        let window = self.spread(sessions).max(MIN_RETRY_WINDOW).min(self.times().spread);
        (!window.is_zero()).then_some(window)
    }
}

/// Returns the close reason of sessions at a shutdown.
pub(crate) fn close_reason() -> CloseReason {
    CloseReason {
        cause: CloseCause::Shutdown,
        reason: error_uri::CLOSE_SYSTEM_SHUTDOWN.to_owned(),
        message: "the server is shutting down".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shutdown(spread: Duration) -> Shutdown {
        Shutdown::new(ShutdownTimes { spread, ..ShutdownTimes::default() })
    }

    #[test]
    fn few_sessions_end_within_a_short_time() {
        let shutdown = shutdown(Duration::from_secs(10));
        let spread = |sessions| shutdown.spread(sessions).as_millis();
        assert_eq!([0, 1, 2, 51].map(spread), [0, 0, 20, 1_000]);
        assert_eq!([501, 10_000, usize::MAX].map(spread), [10_000; 3]);
    }

    #[test]
    fn clients_are_told_a_window_of_at_least_a_second() {
        let window = |spread, sessions| {
            let window = shutdown(Duration::from_millis(spread)).retry_window(sessions);
            window.map(|it| it.as_millis())
        };
        assert_eq!(window(10_000, 1), Some(1_000));
        assert_eq!(window(10_000, 101), Some(2_000));
        assert_eq!(window(10_000, 10_000), Some(10_000));
        assert_eq!(window(500, 10_000), Some(500));
        assert_eq!(window(0, 10_000), None);
    }

    #[test]
    fn a_request_is_not_taken_back_by_an_announcement() {
        let shutdown = shutdown(Duration::ZERO);
        shutdown.announce();
        assert!(shutdown.is_announced() && !shutdown.is_requested());
        shutdown.request();
        shutdown.announce();
        assert!(shutdown.is_announced() && shutdown.is_requested());
    }
}
