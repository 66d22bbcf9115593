//! Histogram of durations with fixed buckets, about three per decade from ten microseconds to ten
//! seconds. All histograms of the server have the same buckets, so that they can be compared.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The upper bounds of the buckets: in nanoseconds, and as text in seconds. Longer durations are in
/// one more bucket.
pub const BUCKETS: [(u64, &str); 13] = [
    (10_000, "0.00001"),
    (30_000, "0.00003"),
    (100_000, "0.0001"),
    (300_000, "0.0003"),
    (1_000_000, "0.001"),
    (3_000_000, "0.003"),
    (10_000_000, "0.01"),
    (30_000_000, "0.03"),
    (100_000_000, "0.1"),
    (300_000_000, "0.3"),
    (1_000_000_000, "1"),
    (3_000_000_000, "3"),
    (10_000_000_000, "10"),
];

/// The number of buckets, with the one for longer durations.
const COUNT: usize = BUCKETS.len() + 1;

/// A histogram that several threads may write.
#[derive(Debug, Default)]
pub struct Histogram {
    counts: [AtomicU64; COUNT],
    nanoseconds: AtomicU64,
}

/// The counts of a histogram at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Durations {
    counts: [u64; COUNT],
    nanoseconds: u64,
}

impl Histogram {
    /// Counts a duration.
    pub fn record(&self, took: Duration) {
        let nanoseconds = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let bucket = BUCKETS.iter().position(|(bound, _)| nanoseconds <= *bound);
        if let Some(count) = self.counts.get(bucket.unwrap_or(BUCKETS.len())) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.nanoseconds.fetch_add(nanoseconds, Ordering::Relaxed);
    }

    /// Returns the counts.
    pub fn durations(&self) -> Durations {
        Durations {
            counts: self.counts.each_ref().map(|count| count.load(Ordering::Relaxed)),
            nanoseconds: self.nanoseconds.load(Ordering::Relaxed),
        }
    }
}

impl Durations {
    /// Adds the counts of another histogram.
    pub fn add(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(other.counts) {
            *count = count.wrapping_add(more);
        }
        self.nanoseconds = self.nanoseconds.wrapping_add(other.nanoseconds);
    }

    /// Returns the number of durations.
    pub fn count(&self) -> u64 {
        self.counts.iter().fold(0, |sum, count| sum.wrapping_add(*count))
    }

    /// Returns the sum of the durations, in seconds.
    pub fn seconds(&self) -> f64 {
        Duration::from_nanos(self.nanoseconds).as_secs_f64()
    }

    /// Returns each upper bound with the number of durations up to it; the last one has all.
    pub fn cumulative(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let bounds = BUCKETS.iter().map(|(_, text)| *text).chain(["+Inf"]);
        let mut sum = 0_u64;
        bounds.zip(self.counts).map(move |(bound, count)| {
            sum = sum.wrapping_add(count);
            (bound, sum)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_durations_by_their_upper_bound() {
        let histogram = Histogram::default();
        for nanoseconds in [0, 10_000, 10_001, 10_000_000_000, 10_000_000_001] {
            histogram.record(Duration::from_nanos(nanoseconds));
        }
        histogram.record(Duration::MAX);
        let durations = histogram.durations();
        let cumulative: Vec<_> = durations.cumulative().collect();
        assert_eq!(cumulative[0], ("0.00001", 2));
        assert_eq!(cumulative[1], ("0.00003", 3));
        assert_eq!(cumulative[12], ("10", 4));
        assert_eq!(cumulative[13], ("+Inf", 6));
        assert_eq!(durations.count(), 6);
    }

    #[test]
    fn writes_the_bounds_in_seconds() {
        let mut before = 0;
        for (nanoseconds, text) in BUCKETS {
            assert!(nanoseconds > before, "{text}");
            before = nanoseconds;
            let seconds: f64 = text.parse().unwrap();
            assert!((seconds - Duration::from_nanos(nanoseconds).as_secs_f64()).abs() < 1e-12);
        }
    }
}
