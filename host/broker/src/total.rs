//! Shared byte counter with a limit, such as the waiting bytes of all outboxes.
//!
//! It only counts. When the limit is exceeded, the transport, which knows all connections, selects
//! those to close.

use std::sync::atomic::{AtomicUsize, Ordering};

/// The sum of the bytes of several holders, and its limit.
#[derive(Debug)]
pub struct Total {
    limit: AtomicUsize,
    bytes: AtomicUsize,
}

impl Total {
    /// Creates a counter with a limit in bytes.
    pub const fn new(limit: usize) -> Self {
        Self { limit: AtomicUsize::new(limit), bytes: AtomicUsize::new(0) }
    }

    /// Returns the limit in bytes.
    pub fn limit(&self) -> usize {
        self.limit.load(Ordering::Relaxed)
    }

    /// Replaces the limit.
    pub fn set_limit(&self, limit: usize) {
        self.limit.store(limit, Ordering::Relaxed);
    }

    /// Returns the current sum in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Returns whether the sum exceeds the limit.
    pub fn is_exceeded(&self) -> bool {
        self.bytes() > self.limit()
    }

    /// Replaces a holder's `before` bytes by `after` bytes.
    pub fn replace(&self, before: usize, after: usize) {
        // The sum is exact at any time: additions wrap, and each holder subtracts what it added.
        self.bytes.fetch_add(after.wrapping_sub(before), Ordering::Relaxed);
    }
}

impl Default for Total {
    /// Creates a counter without a limit.
    fn default() -> Self {
        Self::new(usize::MAX)
    }
}
