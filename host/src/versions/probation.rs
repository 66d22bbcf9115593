//! Probation of a new version: it is taken back if it keeps failing soon after it began to serve.
//!
//! The circuit breaker tells who causes faults. A circuit of a topic or of a whole handler opens
//! only after faults of several clients, so one client alone cannot cause a roll-back.

use std::time::{Duration, Instant};

use crate::generation::PluginEntry;
use crate::site::ContentHash;

/// A version that may be taken back.
#[derive(Debug)]
pub(super) struct Probation {
    digest: ContentHash,
    until: Instant,
}

impl Probation {
    pub(super) fn new(digest: ContentHash, within: Duration) -> Self {
        Self { digest, until: Instant::now() + within }
    }

    pub(super) fn is_running(&self, now: Instant) -> bool {
        now < self.until
    }

    /// Returns whether the version fails for several clients.
    pub(super) fn is_failing(&self, entry: &PluginEntry) -> bool {
        entry.digest() == self.digest && entry.circuits().any(|it| it.opened_for_all > 0)
    }
}
