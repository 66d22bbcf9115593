//! Token bucket for a plugin's log lines. Pure: time is a parameter.

use std::time::{Duration, Instant};

use crate::policy::LogRate;

/// Token bucket of one plugin.
#[derive(Debug)]
pub(crate) struct LogRateLimit {
    rate: LogRate,
    /// Available lines, in thousandths.
    level: u64,
    refilled: Instant,
    suppressed: u64,
    reported: Option<Instant>,
}

/// One line, in thousandths.
const LINE: u64 = 1_000;
/// Interval between reports of suppressed lines.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);

impl LogRateLimit {
    pub(crate) fn new(rate: LogRate, now: Instant) -> Self {
        let level = u64::from(rate.burst) * LINE;
        Self { rate, level, refilled: now, suppressed: 0, reported: None }
    }

    /// Takes a token for a line. Counts the line as suppressed if there is none.
    pub(crate) fn admit(&mut self, now: Instant) -> bool {
        self.refill(now);
        if self.level >= LINE {
            self.level -= LINE;
            true
        } else {
            self.suppressed += 1;
            false
        }
    }

    /// The number of suppressed lines since the last report, once per interval.
    pub(crate) fn report(&mut self, now: Instant) -> Option<u64> {
        let due =
            self.reported.is_none_or(|at| now.saturating_duration_since(at) >= REPORT_INTERVAL);
        if self.suppressed == 0 || !due {
            return None;
        }
        self.reported = Some(now);
        Some(std::mem::take(&mut self.suppressed))
    }

    fn refill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.refilled);
        let passed = u64::try_from(passed.as_millis()).unwrap_or(u64::MAX);
        // A whole millisecond at least, so that nothing is lost in rounding.
        if passed > 0 {
            let full = u64::from(self.rate.burst) * LINE;
            let gain = passed.saturating_mul(u64::from(self.rate.per_second));
            self.level = self.level.saturating_add(gain).min(full);
            self.refilled = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes `lines` at each time in milliseconds; `expect` is how many of them pass and what is
    /// reported afterwards.
    fn check(rate: (u32, u32), steps: &[(u64, u32, u32, Option<u64>)]) {
        let start = Instant::now();
        let mut log_rate_limit =
            LogRateLimit::new(LogRate { per_second: rate.0, burst: rate.1 }, start);
        for &(time, lines, passed, reported) in steps {
            let now = start + Duration::from_millis(time);
            let found = (0..lines).filter(|_| log_rate_limit.admit(now)).count();
            assert_eq!(found, passed as usize, "lines at {time} ms of {steps:?}");
            assert_eq!(log_rate_limit.report(now), reported, "report at {time} ms of {steps:?}");
        }
    }

    #[test]
    fn passes_a_burst_and_then_limits_the_rate() {
        check(
            (10, 20),
            &[(0, 30, 20, Some(10)), (1000, 30, 10, Some(20)), (9000, 30, 20, Some(10))],
        );
        check((10, 20), &[(0, 20, 20, None), (99, 1, 0, Some(1)), (100, 1, 1, None)]);
    }

    #[test]
    fn reports_suppressed_lines_once_a_second() {
        check(
            (1, 1),
            &[(0, 5, 1, Some(4)), (10, 5, 0, None), (999, 5, 0, None), (1000, 1, 1, Some(10))],
        );
    }

    #[test]
    fn a_rate_of_zero_suppresses_everything() {
        check((0, 0), &[(0, 3, 0, Some(3)), (5000, 1, 0, Some(1))]);
    }
}
