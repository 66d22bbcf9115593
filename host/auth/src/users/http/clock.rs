//! The clock of cached users. Tests move it forward without waiting.

use std::time::{Duration, Instant};

/// Returns the time.
#[cfg(not(test))]
pub(super) fn now() -> Instant {
    Instant::now()
}

/// Returns the time since an instant.
pub(super) fn age(instant: Instant) -> Duration {
    now().saturating_duration_since(instant)
}

#[cfg(test)]
pub(super) use skipping::{now, skip};

#[cfg(test)]
mod skipping {
    use std::cell::Cell;

    use super::{Duration, Instant};

    thread_local! {
        /// A test and its tasks share a thread.
        static SKIPPED: Cell<Duration> = const { Cell::new(Duration::ZERO) };
    }

    pub(in super::super) fn now() -> Instant {
        Instant::now() + SKIPPED.get()
    }

    pub(in super::super) fn skip(time: Duration) {
        SKIPPED.set(SKIPPED.get() + time);
    }
}
