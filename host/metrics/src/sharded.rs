//! Sharded value: one copy for each of a few groups of threads, each on a cache line of its own, so
//! that threads that count at the same time do not wait for each other's cache line.

use std::array;
use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::histogram::{Durations, Histogram};

/// The number of copies. A runtime with more threads shares some of them.
const SHARDS: usize = 16;

/// The number that no thread has.
const UNKNOWN: usize = usize::MAX;

static NEXT: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static SHARD: Cell<usize> = const { Cell::new(UNKNOWN) };
}

/// A value with a copy for each group of threads.
#[derive(Debug)]
pub struct Sharded<T> {
    shards: [Shard<T>; SHARDS],
}

/// Two cache lines: processors fetch them in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Shard<T>(T);

/// Counters that are counted by all threads.
pub type Counters<const N: usize> = Sharded<[AtomicU64; N]>;

impl<T> Sharded<T> {
    fn of(make: impl Fn() -> T) -> Self {
        Self { shards: array::from_fn(|_| Shard(make())) }
    }

    /// Returns the copy of this thread.
    #[expect(clippy::indexing_slicing, reason = "the number is taken modulo the length")]
    fn mine(&self) -> &T {
        let number = SHARD.get();
        let number = if number == UNKNOWN { assign() } else { number };
        &self.shards[number % SHARDS].0
    }
}

/// Gives this thread its number.
#[cold]
fn assign() -> usize {
    let number = NEXT.fetch_add(1, Ordering::Relaxed) % SHARDS;
    SHARD.set(number);
    number
}

impl<const N: usize> Default for Counters<N> {
    fn default() -> Self {
        Self::of(|| [const { AtomicU64::new(0) }; N])
    }
}

impl<const N: usize> Counters<N> {
    /// Adds to the counter with this index; an index of none is ignored.
    pub fn add(&self, index: usize, count: u64) {
        if let Some(counter) = self.mine().get(index) {
            counter.fetch_add(count, Ordering::Relaxed);
        }
    }

    /// Returns the sums of all threads.
    pub fn sums(&self) -> [u64; N] {
        let mut sums = [0_u64; N];
        for shard in &self.shards {
            for (sum, counter) in sums.iter_mut().zip(&shard.0) {
                *sum = sum.wrapping_add(counter.load(Ordering::Relaxed));
            }
        }
        sums
    }
}

impl Default for Sharded<Histogram> {
    fn default() -> Self {
        Self::of(Histogram::default)
    }
}

impl Sharded<Histogram> {
    /// Counts a duration.
    pub fn record(&self, took: std::time::Duration) {
        self.mine().record(took);
    }

    /// Returns the durations of all threads.
    pub fn durations(&self) -> Durations {
        let mut sum = Durations::default();
        for shard in &self.shards {
            sum.add(&shard.0.durations());
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::thread;
    use std::time::Duration;

    #[test]
    fn sums_the_counts_of_all_threads() {
        let counters = Arc::new(Counters::<2>::default());
        let times = Arc::new(Sharded::<Histogram>::default());
        let count = || {
            let (counters, times) = (Arc::clone(&counters), Arc::clone(&times));
            thread::spawn(move || {
                for _ in 0..1_000 {
                    counters.add(1, 2);
                    counters.add(7, 1);
                    times.record(Duration::from_millis(2));
                }
            })
        };
        // More threads than copies.
        let threads: Vec<_> = (0..SHARDS + 4).map(|_| count()).collect();
        for thread in threads {
            thread.join().unwrap();
        }
        let times_of_all = 1_000 * (SHARDS as u64 + 4);
        assert_eq!(counters.sums(), [0, 2 * times_of_all]);
        assert_eq!(times.durations().count(), times_of_all);
    }

    #[test]
    fn copies_are_on_cache_lines_of_their_own() {
        assert_eq!(align_of::<Shard<AtomicU64>>(), 128);
        assert_eq!(size_of::<Sharded<[AtomicU64; 1]>>(), SHARDS * 128);
    }
}
