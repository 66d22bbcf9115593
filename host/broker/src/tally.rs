//! Tally: counters of publications, such as those of a route, and the part of them that a batch has
//! not added yet.
//!
//! A batch counts in plain integers, and adds them to the shared counters once at its flush.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counters of publications. They are on a cache line of their own: other counters beside them
/// would slow their threads down.
#[derive(Debug, Default)]
#[repr(align(64))]
pub struct PublicationCounts {
    publications: AtomicU64,
    deliveries: AtomicU64,
}

/// Publications that are not added to their counters yet.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    counts: Option<Arc<PublicationCounts>>,
    publications: u64,
    deliveries: u64,
}

impl PublicationCounts {
    /// Returns the number of publications.
    pub fn publications(&self) -> u64 {
        self.publications.load(Ordering::Relaxed)
    }

    /// Returns the number of events that were queued for subscribers.
    pub fn deliveries(&self) -> u64 {
        self.deliveries.load(Ordering::Relaxed)
    }
}

impl Tally {
    /// Counts a publication with so many receivers.
    pub(crate) fn add(&mut self, counts: &Arc<PublicationCounts>, deliveries: usize) {
        if !self.counts.as_ref().is_some_and(|it| Arc::ptr_eq(it, counts)) {
            self.flush();
            self.counts = Some(Arc::clone(counts));
        }
        self.publications += 1;
        self.deliveries += deliveries as u64;
    }

    /// Adds to the counters.
    pub(crate) fn flush(&mut self) {
        if self.publications == 0 {
            return;
        }
        if let Some(counts) = &self.counts {
            counts.publications.fetch_add(self.publications, Ordering::Relaxed);
            counts.deliveries.fetch_add(self.deliveries, Ordering::Relaxed);
        }
        (self.publications, self.deliveries) = (0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adds_to_the_counters_at_a_flush_and_between_sources() {
        let (one, other) = (Arc::default(), Arc::default());
        let read = |counts: &Arc<PublicationCounts>| (counts.publications(), counts.deliveries());
        let mut tally = Tally::default();
        tally.add(&one, 3);
        tally.add(&one, 0);
        assert_eq!(read(&one), (0, 0));
        tally.add(&other, 5);
        assert_eq!((read(&one), read(&other)), ((2, 3), (0, 0)));
        tally.flush();
        tally.flush();
        assert_eq!((read(&one), read(&other)), ((2, 3), (1, 5)));
    }
}
