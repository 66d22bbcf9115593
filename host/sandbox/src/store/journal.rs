//! Undo journal of one running hook's writes to the store. Writes take effect at once, so that
//! other instances see them, and are rolled back unless committed.

use std::sync::{MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::SharedSpace;
use super::space::{CompareAndSet, Space, StoreError, Undo};

/// The store of one running hook. Dropped without `commit`, it rolls back.
#[derive(Debug)]
pub(crate) struct Journal {
    space: SharedSpace,
    writes: Vec<Undo>,
    /// Memory of `writes` in bytes, bounded by the plugin's quota, so that a hook cannot write the
    /// same key without end.
    weight: usize,
}

impl Journal {
    pub(crate) fn new(space: SharedSpace) -> Self {
        Self { space, writes: Vec::new(), weight: 0 }
    }

    /// Keeps the writes of a hook that has returned.
    pub(crate) fn commit(&mut self) {
        self.weight = 0;
        if !self.writes.is_empty() {
            let mut space = lock(&self.space);
            for undo in self.writes.drain(..) {
                space.keep(&undo);
            }
        }
    }

    /// Rolls back the writes of a hook that has failed.
    pub(crate) fn roll_back(&mut self) {
        self.weight = 0;
        if !self.writes.is_empty() {
            let mut space = lock(&self.space);
            let now = Instant::now();
            for undo in self.writes.drain(..).rev() {
                space.undo(undo, now);
            }
        }
    }

    pub(crate) fn get(&self, key: &str) -> Option<Vec<u8>> {
        lock(&self.space).get(key, Instant::now()).map(<[u8]>::to_vec)
    }

    pub(crate) fn set(
        &mut self,
        key: &str,
        value: Vec<u8>,
        ttl: Option<Duration>,
    ) -> Result<(), StoreError> {
        let now = Instant::now();
        let undo = self.writable()?.set(key, value, expiry(now, ttl), now)?;
        self.remember(undo);
        Ok(())
    }

    pub(crate) fn delete(&mut self, key: &str) -> bool {
        let undo = lock(&self.space).delete(key, Instant::now());
        undo.map(|undo| self.remember(undo)).is_some()
    }

    pub(crate) fn increment(&mut self, key: &str, by: i64) -> Result<i64, StoreError> {
        let (sum, undo) = self.writable()?.increment(key, by, Instant::now())?;
        self.remember(undo);
        Ok(sum)
    }

    pub(crate) fn compare_and_set(
        &mut self,
        key: &str,
        expected: Option<&[u8]>,
        value: Option<Vec<u8>>,
        ttl: Option<Duration>,
    ) -> Result<bool, StoreError> {
        let now = Instant::now();
        let expires = expiry(now, ttl);
        let done = self.writable()?.compare_and_set(key, expected, value, expires, now)?;
        let found = done.is_some();
        match done {
            Some(CompareAndSet::Wrote(undo)) => self.remember(undo),
            Some(CompareAndSet::Same) | None => {}
        }
        Ok(found)
    }

    pub(crate) fn entries(&self, prefix: &str, limit: u32) -> Vec<(String, Vec<u8>)> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        lock(&self.space).entries(prefix, limit, Instant::now())
    }

    fn writable(&self) -> Result<MutexGuard<'_, Space>, StoreError> {
        let space = lock(&self.space);
        if self.weight > space.quota() { Err(StoreError::Full) } else { Ok(space) }
    }

    fn remember(&mut self, undo: Undo) {
        self.weight += Space::weight(&undo);
        self.writes.push(undo);
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.roll_back();
    }
}

/// A poisoned space is still consistent.
fn lock(space: &SharedSpace) -> MutexGuard<'_, Space> {
    space.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The expiry time; none if the time to live is beyond the clock's range.
fn expiry(now: Instant, ttl: Option<Duration>) -> Option<Instant> {
    ttl.and_then(|ttl| now.checked_add(ttl))
}
