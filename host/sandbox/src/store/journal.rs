//! What one hook under way has written to the store. It writes at once, so that other instances
//! see it, and takes everything back unless it is told that the hook has returned.

use std::sync::{MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::SharedSpace;
use super::space::{CompareAndSet, Refused, Space, Undo};

/// The store as one hook sees it. Dropped or begun anew without `commit`, it takes everything
/// back.
#[derive(Debug)]
pub(crate) struct Journal {
    space: SharedSpace,
    writes: Vec<Undo>,
    /// Bytes that `writes` takes. They are bounded by the plugin's quota, so that a hook which
    /// writes the same key over and over is refused at some point.
    weight: usize,
}

impl Journal {
    pub(crate) fn new(space: SharedSpace) -> Self {
        Self { space, writes: Vec::new(), weight: 0 }
    }

    /// The hook has returned: what it wrote stays.
    pub(crate) fn commit(&mut self) {
        self.weight = 0;
        if !self.writes.is_empty() {
            let mut space = lock(&self.space);
            for undo in self.writes.drain(..) {
                space.keep(&undo);
            }
        }
    }

    /// The hook has failed: what it wrote is taken back.
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
    ) -> Result<(), Refused> {
        let now = Instant::now();
        let undo = self.writable()?.set(key, value, expiry(now, ttl), now)?;
        self.remember(undo);
        Ok(())
    }

    pub(crate) fn delete(&mut self, key: &str) -> bool {
        let undo = lock(&self.space).delete(key, Instant::now());
        undo.map(|undo| self.remember(undo)).is_some()
    }

    pub(crate) fn increment(&mut self, key: &str, by: i64) -> Result<i64, Refused> {
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
    ) -> Result<bool, Refused> {
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

    fn writable(&self) -> Result<MutexGuard<'_, Space>, Refused> {
        let space = lock(&self.space);
        if self.weight > space.quota() { Err(Refused::Full) } else { Ok(space) }
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

/// A thread that panicked while it held the lock, which none does, would leave a space that is
/// still sound.
fn lock(space: &SharedSpace) -> MutexGuard<'_, Space> {
    space.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A time to live that reaches past what the clock can count is for ever.
fn expiry(now: Instant, ttl: Option<Duration>) -> Option<Instant> {
    ttl.and_then(|ttl| now.checked_add(ttl))
}
