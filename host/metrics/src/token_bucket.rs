//! Token bucket: a number of tokens at once, and a number a second. Pure: time is a parameter.

use std::time::{Duration, Instant};

/// One token, in parts: a refill adds fractions of one.
const TOKEN: u64 = 1_000_000;

/// The tokens that there are.
#[derive(Clone, Copy, Debug)]
pub struct TokenBucket {
    per_second: u32,
    burst: u32,
    /// In parts of a token.
    level: u64,
    refilled: Instant,
}

impl TokenBucket {
    /// A full bucket, with `burst` tokens, which gains `per_second` tokens a second.
    pub fn full(per_second: u32, burst: u32, now: Instant) -> Self {
        Self { per_second, burst, level: u64::from(burst) * TOKEN, refilled: now }
    }

    /// Takes a token, if there is one.
    pub fn take(&mut self, now: Instant) -> bool {
        self.refill(now);
        let has_token = self.level >= TOKEN;
        if has_token {
            self.level -= TOKEN;
        }
        has_token
    }

    /// Whether the bucket is full at this time.
    pub fn is_full(&self, now: Instant) -> bool {
        let mut then = *self;
        then.refill(now);
        then.level == u64::from(self.burst) * TOKEN
    }

    fn refill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.refilled);
        // Whole microseconds, so that no part of a token is lost in rounding.
        let micros = u64::try_from(passed.as_micros()).unwrap_or(u64::MAX);
        // A token has as many parts as a second has microseconds.
        let gain = micros.saturating_mul(u64::from(self.per_second));
        self.level = self.level.saturating_add(gain).min(u64::from(self.burst) * TOKEN);
        self.refilled += Duration::from_micros(micros);
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::disallowed_methods, reason = "a test needs a beginning")]

    use super::*;

    /// Takes all tokens at each time in milliseconds; `expect` is how many there are.
    fn check(per_second: u32, burst: u32, steps: &[(u64, usize)]) {
        let start = Instant::now();
        let mut bucket = TokenBucket::full(per_second, burst, start);
        assert!(bucket.is_full(start));
        for &(time, expect) in steps {
            let now = start + Duration::from_millis(time);
            let taken = std::iter::from_fn(|| bucket.take(now).then_some(())).count();
            assert_eq!(taken, expect, "at {time} ms of {steps:?}");
            assert!(!bucket.is_full(now));
        }
    }

    #[test]
    fn gives_a_burst_and_then_the_rate() {
        check(10, 10, &[(0, 10), (99, 0), (100, 1), (350, 2), (400, 1), (60_000, 10), (60_000, 0)]);
        check(10, 20, &[(0, 20), (1_000, 10), (9_000, 20)]);
        check(1, 20, &[(0, 20), (999, 0), (1_000, 1), (3_600_000, 20)]);
    }

    #[test]
    fn loses_no_part_of_a_token() {
        let start = Instant::now();
        let mut bucket = TokenBucket::full(10, 1, start);
        let taken = (0..1_000).filter(|millis| bucket.take(start + Duration::from_millis(*millis)));
        assert_eq!(taken.count(), 10);
    }
}
