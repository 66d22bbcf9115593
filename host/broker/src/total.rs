//! A limit on the sum of what many hold: the bytes that wait in all outboxes together, for example.
//!
//! It only counts. Who has to go when it is exceeded is decided by the transport, which knows all
//! connections.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes that many holders have together, and their limit.
#[derive(Debug)]
pub struct Total {
    limit: usize,
    bytes: AtomicUsize,
}

impl Total {
    /// Nothing yet, of at most `limit` bytes.
    pub const fn new(limit: usize) -> Self {
        Self { limit, bytes: AtomicUsize::new(0) }
    }

    /// Bytes at most.
    pub const fn limit(&self) -> usize {
        self.limit
    }

    /// Bytes now.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Whether it is more than the limit.
    pub fn is_exceeded(&self) -> bool {
        self.bytes() > self.limit
    }

    /// A holder has `after` bytes instead of `before`.
    pub fn replace(&self, before: usize, after: usize) {
        // The sum is exact at any time, as additions wrap and each holder takes back what it added.
        self.bytes.fetch_add(after.wrapping_sub(before), Ordering::Relaxed);
    }
}

impl Default for Total {
    /// Without a limit.
    fn default() -> Self {
        Self::new(usize::MAX)
    }
}
