//! Rate limit of a plugin's log lines: a token bucket, and reports of the lines beyond. Pure: time is a
//! parameter.

use std::time::{Duration, Instant};

use jackfield_metrics::TokenBucket;

use crate::policy::LogRate;

/// Rate limit of one plugin.
#[derive(Debug)]
pub(crate) struct LogRateLimit {
    lines: TokenBucket,
    suppressed: u64,
    reported: Option<Instant>,
}

/// Interval between reports of suppressed lines.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);

impl LogRateLimit {
    pub(crate) fn new(rate: LogRate, now: Instant) -> Self {
        let lines = TokenBucket::full(rate.per_second, rate.burst, now);
        Self { lines, suppressed: 0, reported: None }
    }

    /// Takes a token for a line. Counts the line as suppressed if there is none.
    pub(crate) fn admit(&mut self, now: Instant) -> bool {
        let is_admitted = self.lines.take(now);
        self.suppressed += u64::from(!is_admitted);
        is_admitted
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
