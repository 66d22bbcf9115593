//! Admission control by number: a semaphore of `limits.connections` permits, and a small reserve.
//!
//! A connection with a permit of the reserve gets HTTP answers, and 503 for a WebSocket: at the
//! limit, health checks and the API still work, and clients get the reason of the refusal.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The maximum number of connections over the limit that get an answer.
pub(crate) const MAX_RESERVED: usize = 64;

/// The permits of all connections. Cloning shares them.
#[derive(Clone)]
pub(crate) struct ConnectionLimit {
    limit: usize,
    ordinary: Arc<Semaphore>,
    reserved: Arc<Semaphore>,
}

/// The permit of one connection. Dropping it frees it for another.
pub(crate) struct ConnectionPermit {
    limit: usize,
    is_reserved: bool,
    _permit: OwnedSemaphorePermit,
}

impl ConnectionLimit {
    pub(crate) fn new(limit: usize) -> Self {
        let [ordinary, reserved] = [limit, MAX_RESERVED].map(|it| Arc::new(Semaphore::new(it)));
        Self { limit, ordinary, reserved }
    }

    /// Returns `limits.connections`, or the number that the limit of open files allows.
    pub(crate) const fn limit(&self) -> usize {
        self.limit
    }

    /// The number of connections, of the reserve too.
    pub(crate) fn used(&self) -> usize {
        let free = self.ordinary.available_permits() + self.reserved.available_permits();
        (self.limit + MAX_RESERVED).saturating_sub(free)
    }

    /// Takes a permit, or one of the reserve; `None` if both are used up.
    pub(crate) fn acquire(&self) -> Option<ConnectionPermit> {
        let take = |permits: &Arc<Semaphore>, is_reserved| {
            let permit = Arc::clone(permits).try_acquire_owned().ok()?;
            Some(ConnectionPermit { limit: self.limit, is_reserved, _permit: permit })
        };
        take(&self.ordinary, false).or_else(|| take(&self.reserved, true))
    }
}

impl ConnectionPermit {
    /// Returns whether the limit was reached, so that only HTTP is answered.
    pub(crate) const fn is_reserved(&self) -> bool {
        self.is_reserved
    }

    /// Returns the limit that was reached.
    pub(crate) const fn limit(&self) -> usize {
        self.limit
    }
}
