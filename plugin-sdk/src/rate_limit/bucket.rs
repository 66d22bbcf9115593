//! Token bucket as one number, the time at which it is full (generic cell rate algorithm). Pure: the
//! time is a parameter.

use std::time::Duration;

/// The size of a bucket and the time that a token takes, in microseconds.
#[derive(Debug, Clone, Copy)]
pub struct Bucket {
    per_token: u64,
    capacity: u64,
}

/// The time by which two lanes may read the clock in another order than they take tokens, in
/// microseconds.
const MAX_SKEW: u64 = 1_000_000;

impl Bucket {
    pub(super) fn new(burst: u32, period: Duration) -> Self {
        let burst = u64::from(burst.max(1));
        // A period of 292 000 years is no limit of practice, and leaves room for sums.
        let period = u64::try_from(period.as_micros()).unwrap_or(u64::MAX).min(u64::MAX / 2);
        let per_token = (period / burst).max(1);
        Self { per_token, capacity: per_token.saturating_mul(burst) }
    }

    /// Takes a token. Returns the time at which the bucket will be full again, or the time until there
    /// is a token.
    pub(super) fn take(self, full_at: Option<u64>, now: u64) -> Result<u64, Duration> {
        let empty = now.saturating_add(self.capacity);
        // A later time than that of an empty bucket is from a clock that was set back since, and says
        // nothing: no client waits for the clock to reach it.
        let is_sound = |at: &u64| *at <= empty.saturating_add(MAX_SKEW);
        let full_at = full_at.filter(is_sound).unwrap_or(now).clamp(now, empty);
        let next = full_at.saturating_add(self.per_token);
        if next > empty { Err(Duration::from_micros(next - empty)) } else { Ok(next) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;

    #[test]
    fn refuses_beyond_the_burst_and_refills_evenly() {
        let bucket = Bucket::new(2, Duration::from_secs(10));
        let one = bucket.take(None, 100 * SECOND).unwrap();
        let two = bucket.take(Some(one), 100 * SECOND).unwrap();
        assert_eq!(bucket.take(Some(two), 100 * SECOND), Err(Duration::from_secs(5)));
        assert_eq!(bucket.take(Some(two), 104 * SECOND), Err(Duration::from_secs(1)));
        let three = bucket.take(Some(two), 105 * SECOND).unwrap();
        assert_eq!(three, 115 * SECOND);
        assert!(bucket.take(Some(three), 105 * SECOND).is_err());
        assert_eq!(bucket.take(Some(three), 1_000 * SECOND), Ok(1_005 * SECOND));
    }

    #[test]
    fn a_clock_that_is_set_back_fills_the_bucket() {
        let bucket = Bucket::new(2, Duration::from_secs(10));
        let full_at = bucket.take(None, 1_000_000 * SECOND).unwrap();
        assert_eq!(bucket.take(Some(full_at), 5 * SECOND), Ok(10 * SECOND));
        // Another lane, which has read the clock a moment before, does not.
        let empty = bucket.take(Some(full_at), 1_000_000 * SECOND).unwrap();
        let wait = bucket.take(Some(empty), 1_000_000 * SECOND - 1).unwrap_err();
        assert_eq!(wait, Duration::from_secs(5));
    }

    #[test]
    fn accepts_extreme_values() {
        for (burst, period) in [
            (0, Duration::ZERO),
            (u32::MAX, Duration::MAX),
            (1, Duration::MAX),
            (u32::MAX, Duration::ZERO),
        ] {
            let bucket = Bucket::new(burst, period);
            for now in [0, 1, u64::MAX] {
                let _ = bucket.take(None, now).and_then(|full_at| bucket.take(Some(full_at), now));
                let _ = bucket.take(Some(u64::MAX), now);
            }
        }
    }
}
