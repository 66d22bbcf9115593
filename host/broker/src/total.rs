//! Shared byte counter with a limit, such as the waiting bytes of all outboxes.
//!
//! It only counts. The transport, which knows all connections, decides what to close when the limit
//! is exceeded.

use std::sync::atomic::{AtomicUsize, Ordering};

/// The sum of several holders' bytes, and its limit.
#[derive(Debug)]
pub struct Total {
    limit: usize,
    bytes: AtomicUsize,
}

impl Total {
    /// An empty counter.
    pub const fn new(limit: usize) -> Self {
        Self { limit, bytes: AtomicUsize::new(0) }
    }

    /// The limit in bytes.
    pub const fn limit(&self) -> usize {
        self.limit
    }

    /// The current sum in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Whether the sum exceeds the limit.
    pub fn is_exceeded(&self) -> bool {
        self.bytes() > self.limit
    }

    /// Replaces a holder's `before` bytes by `after` bytes.
    pub fn replace(&self, before: usize, after: usize) {
        // The sum is exact at any time: additions wrap, and each holder subtracts what it added.
        self.bytes.fetch_add(after.wrapping_sub(before), Ordering::Relaxed);
    }
}

impl Default for Total {
    /// Without a limit.
    fn default() -> Self {
        Self::new(usize::MAX)
    }
}
