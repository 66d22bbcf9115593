//! Clock of a run, its measured period, and schedules at a fixed rate.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// A clock that counts nanoseconds since the run began.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    began: Instant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self { began: Instant::now() }
    }

    /// Nanoseconds since the run began; saturates after centuries.
    pub(crate) fn now(self) -> u64 {
        nanoseconds(self.began.elapsed())
    }
}

/// Returns a duration in nanoseconds; saturates after centuries.
pub(crate) fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// The measured period of a run. Written by the coordinator, read by every worker.
#[derive(Debug)]
pub(crate) struct MeasuredPeriod {
    pub(crate) clock: Clock,
    begin: AtomicU64,
    end: AtomicU64,
}

impl MeasuredPeriod {
    pub(crate) fn new(clock: Clock) -> Self {
        Self { clock, begin: AtomicU64::new(u64::MAX), end: AtomicU64::new(u64::MAX) }
    }

    /// Sets the period. Nothing is sent after its end.
    pub(crate) fn set(&self, begin: u64, end: u64) {
        self.begin.store(begin, Relaxed);
        self.end.store(end, Relaxed);
    }

    /// Ends the period now, unless it has ended.
    pub(crate) fn cut(&self) {
        self.end.fetch_min(self.clock.now(), Relaxed);
    }

    pub(crate) fn begin(&self) -> u64 {
        self.begin.load(Relaxed)
    }

    pub(crate) fn end(&self) -> u64 {
        self.end.load(Relaxed)
    }

    /// Returns the deadline for late messages that were due before the end.
    pub(crate) fn deadline(&self) -> u64 {
        self.end().saturating_add(GRACE_NS)
    }

    /// Returns whether the time is after the warm-up.
    pub(crate) fn measures(&self, time: u64) -> bool {
        time >= self.begin()
    }
}

/// Maximum lateness after the end, in nanoseconds; beyond it the rate is not kept.
const GRACE_NS: u64 = 2_000_000_000;

/// Due times at a fixed rate.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Schedule {
    /// Due time of the first event, on the run's clock.
    start: u64,
    /// Events per second.
    rate: f64,
}

impl Schedule {
    pub(crate) const fn new(start: u64, rate: f64) -> Self {
        Self { start, rate }
    }

    /// Due time of event `number`, counted from 0. Computed from the start each time, so that no
    /// error accumulates.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "exact to a nanosecond for the first 100 days; casts of floats saturate"
    )]
    pub(crate) fn due(self, number: u64) -> u64 {
        self.start.saturating_add((number as f64 * 1e9 / self.rate).round() as u64)
    }

    /// Returns the number of events due before a time.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "as above"
    )]
    pub(crate) fn before(self, time: u64) -> u64 {
        (time.saturating_sub(self.start) as f64 * self.rate / 1e9).ceil() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn due_times_do_not_drift() {
        let schedule = Schedule::new(1_000, 3.0);
        let due = [0, 1, 2, 3, 3_000_000].map(|number| schedule.due(number));
        assert_eq!(
            due,
            [1_000, 333_334_333, 666_667_667, 1_000_001_000, 1_000_000_000_001_000],
            "each is rounded by itself"
        );
        assert_eq!(Schedule::new(0, 2e6).due(7), 3_500);
        let before = [0, 1_000, 1_001, 500_001_000].map(|time| schedule.before(time));
        assert_eq!(before, [0, 0, 1, 2]);
        assert_eq!(Schedule::new(5, 1e-12).due(u64::MAX), u64::MAX, "and it never overflows");
    }

    #[test]
    fn a_run_ends_once() {
        let period = MeasuredPeriod::new(Clock::start());
        assert!(!period.measures(period.clock.now()), "nothing counts before it is set");
        period.set(10, u64::MAX);
        assert!(period.measures(10) && !period.measures(9));
        period.cut();
        let end = period.end();
        assert!(end <= period.clock.now());
        period.cut();
        assert_eq!(period.end(), end);
    }
}
