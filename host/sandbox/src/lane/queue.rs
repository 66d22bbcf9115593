//! Length of the queue of a lane: the calls that wait for it.

use std::sync::atomic::{AtomicUsize, Ordering};

/// The number of calls that wait for a lane. A call that gets the lane at once does not count.
#[derive(Debug, Default)]
pub(super) struct Queue(AtomicUsize);

/// A call that waits, until it is dropped.
pub(super) struct QueuedCall<'a>(&'a AtomicUsize);

impl Queue {
    pub(super) fn enter(&self) -> QueuedCall<'_> {
        self.0.fetch_add(1, Ordering::Relaxed);
        QueuedCall(&self.0)
    }

    pub(super) fn len(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl Drop for QueuedCall<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
