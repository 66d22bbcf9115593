//! Counts by client: how many connections each has, with a maximum.
//!
//! A client without a connection has no entry, so that the table is as small as the number of
//! connections. Used by [`crate::connection_limit`] for addresses, and by connections for users.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The connections of each client, by a key of clients.
#[derive(Debug)]
pub(crate) struct ClientCounts<K: Eq + Hash> {
    /// Changes with the settings. Clients above it keep their connections.
    limit: AtomicUsize,
    /// Held for one change.
    counts: Mutex<HashMap<K, usize>>,
}

/// One connection of a client. Dropping it makes room for another.
#[derive(Debug)]
pub(crate) struct ClientPermit<K: Eq + Hash> {
    counts: Arc<ClientCounts<K>>,
    key: K,
}

impl<K: Clone + Eq + Hash> ClientCounts<K> {
    /// Creates an empty table with a maximum for each client.
    pub(crate) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit: AtomicUsize::new(limit), counts: Mutex::default() })
    }

    /// Returns the maximum of one client.
    pub(crate) fn limit(&self) -> usize {
        self.limit.load(Ordering::Relaxed)
    }

    /// Replaces the maximum of one client.
    pub(crate) fn set_limit(&self, limit: usize) {
        self.limit.store(limit, Ordering::Relaxed);
    }

    /// Counts one more connection of a client; `None` if it has the maximum.
    pub(crate) fn acquire(self: &Arc<Self>, key: K) -> Option<ClientPermit<K>> {
        let mut counts = self.lock();
        let count = counts.entry(key.clone()).or_default();
        // An entry is never left at 0: the limit is at least 1.
        if *count >= self.limit().max(1) {
            return None;
        }
        *count += 1;
        drop(counts);
        Some(ClientPermit { counts: Arc::clone(self), key })
    }
}

impl<K: Eq + Hash> ClientCounts<K> {
    fn lock(&self) -> MutexGuard<'_, HashMap<K, usize>> {
        // Each change is one statement.
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Eq + Hash> Drop for ClientPermit<K> {
    fn drop(&mut self) {
        let mut counts = self.counts.lock();
        if let Some(count) = counts.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_each_client_and_forgets_it_at_its_end() {
        let counts = ClientCounts::new(2);
        let [one, two] = [1, 2].map(|_| counts.acquire("ann").unwrap());
        assert!(counts.acquire("ann").is_none());
        let other = counts.acquire("bob").unwrap();
        counts.set_limit(1);
        assert!(counts.acquire("bob").is_none());
        counts.set_limit(2);
        drop(one);
        let three = counts.acquire("ann").unwrap();
        assert!(counts.acquire("ann").is_none());
        drop((two, three, other));
        assert!(counts.lock().is_empty());
    }
}
