//! Counts of a history, for operators.

use std::sync::atomic::{AtomicU64, Ordering};

/// Numbers of a history.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HistoryNumbers {
    /// Topics whose position is known.
    pub topics: usize,
    /// The memory of all topics in bytes.
    pub bytes: usize,
    /// The limit of the memory in bytes.
    pub limit: usize,
    /// Topics that have lost events or their position, because the memory was used up.
    pub evictions: u64,
    /// Clients that returned with a position and got all that they had missed.
    pub recovered: u64,
    /// Clients that returned with a position and were told that events may be missing.
    pub not_recovered: u64,
    /// Events that were sent again.
    pub replayed: u64,
}

/// Counters, changed seldom: at a subscription, and when memory is used up.
#[derive(Debug, Default)]
pub(super) struct HistoryCounts {
    evictions: AtomicU64,
    recovered: AtomicU64,
    not_recovered: AtomicU64,
    replayed: AtomicU64,
}

impl HistoryCounts {
    pub(super) fn evicted(&self) {
        self.evictions.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a replay. `is_recovered` is `None` for a subscriber without a position.
    pub(super) fn replayed(&self, events: usize, is_recovered: Option<bool>) {
        self.replayed.fetch_add(events as u64, Ordering::Relaxed);
        let outcome = match is_recovered {
            Some(true) => &self.recovered,
            Some(false) => &self.not_recovered,
            None => return,
        };
        outcome.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn numbers(&self) -> HistoryNumbers {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        HistoryNumbers {
            evictions: read(&self.evictions),
            recovered: read(&self.recovered),
            not_recovered: read(&self.not_recovered),
            replayed: read(&self.replayed),
            ..HistoryNumbers::default()
        }
    }
}
