//! Time as a run counts it, and when what is due is due.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Nanoseconds since the run began.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    began: Instant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self { began: Instant::now() }
    }

    /// Saturates after some centuries.
    pub(crate) fn now(self) -> u64 {
        nanoseconds(self.began.elapsed())
    }
}

/// A span in nanoseconds; five centuries where it is longer.
pub(crate) fn nanoseconds(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

/// The measured part of a run. Written by the one who leads the run, read by everybody.
#[derive(Debug)]
pub(crate) struct Course {
    pub(crate) clock: Clock,
    begin: AtomicU64,
    end: AtomicU64,
}

impl Course {
    pub(crate) fn new(clock: Clock) -> Self {
        Self { clock, begin: AtomicU64::new(u64::MAX), end: AtomicU64::new(u64::MAX) }
    }

    /// Nothing is published from the end on.
    pub(crate) fn set(&self, begin: u64, end: u64) {
        self.begin.store(begin, Relaxed);
        self.end.store(end, Relaxed);
    }

    /// Ends it now, if it has not ended.
    pub(crate) fn cut(&self) {
        self.end.fetch_min(self.clock.now(), Relaxed);
    }

    pub(crate) fn begin(&self) -> u64 {
        self.begin.load(Relaxed)
    }

    pub(crate) fn end(&self) -> u64 {
        self.end.load(Relaxed)
    }

    /// What was due before the end may be sent until then, if it is late.
    pub(crate) fn deadline(&self) -> u64 {
        self.end().saturating_add(GRACE)
    }

    /// Whether what is done at that time counts.
    pub(crate) fn measures(&self, time: u64) -> bool {
        time >= self.begin()
    }
}

/// Two seconds: who is later than that does not keep the rate.
const GRACE: u64 = 2_000_000_000;

/// When each of a row of things is due at a fixed rate.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Schedule {
    /// When the first is due, on the run's clock.
    start: u64,
    /// A second.
    rate: f64,
}

impl Schedule {
    pub(crate) const fn new(start: u64, rate: f64) -> Self {
        Self { start, rate }
    }

    /// When the `number`th is due, counted from 0. Computed from the beginning each time, so that
    /// no error adds up.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "exact to a nanosecond for the first 100 days; casts of floats saturate"
    )]
    pub(crate) fn due(self, number: u64) -> u64 {
        self.start.saturating_add((number as f64 * 1e9 / self.rate).round() as u64)
    }

    /// How many are due before a time.
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
        let course = Course::new(Clock::start());
        assert!(!course.measures(course.clock.now()), "nothing counts before it is set");
        course.set(10, u64::MAX);
        assert!(course.measures(10) && !course.measures(9));
        course.cut();
        let end = course.end();
        assert!(end <= course.clock.now());
        course.cut();
        assert_eq!(course.end(), end);
    }
}
