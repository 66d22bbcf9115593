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
    /// The earliest time of the next attempt to take it back.
    next_attempt: Instant,
}

/// The time between two attempts to take a version back.
const RETRY_INTERVAL: Duration = Duration::from_secs(15);

impl Probation {
    pub(super) fn new(digest: ContentHash, within: Duration) -> Self {
        let now = Instant::now();
        Self { digest, until: now + within, next_attempt: now }
    }

    /// The digest of the version, in hexadecimal.
    pub(super) fn digest(&self) -> String {
        self.digest.hex().to_string()
    }

    pub(super) fn is_running(&self, now: Instant) -> bool {
        now < self.until
    }

    /// Returns whether the version fails for several clients, and begins an attempt.
    pub(super) fn is_failing(&mut self, entry: &PluginEntry, now: Instant) -> bool {
        let is_failing = now >= self.next_attempt
            && entry.digest() == self.digest
            && entry.circuits().any(|it| it.opened_for_all > 0);
        if is_failing {
            self.next_attempt = now + RETRY_INTERVAL;
        }
        is_failing
    }
}
