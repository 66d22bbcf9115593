//! Undo journal of one running hook's writes to the store. Writes take effect at once, so that
//! other instances see them, and are rolled back unless committed.

use std::sync::MutexGuard;
use std::time::{Duration, Instant};

use super::SharedSpace;
use super::durable::Receipt;
use super::moment::Behind;
use super::space::{CompareAndSet, Space, SpaceError, Undo};
use crate::fault::FaultKind;

/// The store of one running hook. Dropped without `commit`, it rolls back.
#[derive(Debug)]
pub(crate) struct Journal {
    space: SharedSpace,
    writes: Vec<Undo>,
    /// Memory of `writes` in bytes, bounded by the plugin's quota, so that a hook cannot write the
    /// same key without end.
    weight: usize,
    /// Whether the hook has used the store at all.
    is_used: bool,
    /// The number of the layout that the plugin writes.
    schema: u32,
    /// The incarnation of the space that the instance knows.
    incarnation: u64,
    /// The store behind an overlay, from which keys come as they are used.
    behind: Option<Behind>,
}

impl Journal {
    pub(crate) fn new(space: SharedSpace, schema: u32) -> Self {
        let incarnation = space.incarnation();
        let writes = Vec::new();
        Self { space, writes, weight: 0, is_used: false, schema, incarnation, behind: None }
    }

    /// An overlay over the store that is behind it.
    pub(crate) fn over(space: SharedSpace, schema: u32, behind: Behind) -> Self {
        let mut journal = Self::new(space, schema);
        journal.behind = Some(behind);
        journal
    }

    /// Fetches a key that is about to be used into an overlay.
    pub(crate) fn fetch(&mut self, key: &str) {
        if let Some(behind) = &mut self.behind {
            behind.fetch(key, &mut self.space.lock());
        }
    }

    /// Fetches keys that are about to be listed into an overlay.
    pub(crate) fn fetch_all(&mut self, prefix: &str, limit: u32) {
        if let Some(behind) = &mut self.behind {
            behind.fetch_all(prefix, limit, &mut self.space.lock());
        }
    }

    pub(crate) fn incarnation(&self) -> u64 {
        self.incarnation
    }

    /// Whether the space is still the one that the instance knows.
    pub(crate) fn is_current(&self) -> bool {
        self.space.incarnation() == self.incarnation
    }

    /// Keeps the writes of a hook that has returned. The receipt tells when all that it has written
    /// and read is saved; there is none if it is already, or is never saved.
    ///
    /// # Errors
    /// The space is on hold, or was read again from the file since the instance was made.
    pub(crate) fn commit(&mut self) -> Result<Option<Receipt>, FaultKind> {
        if !self.is_used {
            return Ok(None);
        }
        self.is_used = false;
        self.weight = 0;
        if self.writes.is_empty() && self.space.durable.is_none() {
            return Ok(None);
        }
        let mut space = self.space.lock();
        if let Some(durable) = &self.space.durable
            && durable.incarnation() != self.incarnation
        {
            return Err(durable.failed());
        }
        for undo in self.writes.drain(..) {
            space.keep(&undo);
        }
        match &self.space.durable {
            Some(durable) => durable.settle(&self.space, &mut space, self.incarnation, self.schema),
            None => Ok(None),
        }
    }

    /// Rolls back the writes of a hook that has failed. If some are on their way to the file, with
    /// those of a hook that has ended meanwhile, so is what undoes them.
    pub(crate) fn roll_back(&mut self) {
        self.is_used = false;
        self.weight = 0;
        if !self.writes.is_empty() {
            let mut space = self.space.lock();
            let now = Instant::now();
            let is_taken = self.writes.iter().any(|undo| space.is_taken(undo));
            for undo in self.writes.drain(..).rev() {
                space.undo(undo, now);
            }
            if let Some(durable) = self.space.durable.as_ref().filter(|_| is_taken) {
                // Of a space that was read again meanwhile, nothing was undone. No hook waits for
                // the receipt.
                let _ = durable.settle(&self.space, &mut space, self.incarnation, self.schema);
            }
        }
    }

    /// What a key holds, for a probe of the call: not a use of the store.
    pub(crate) fn peek(&self, key: &str) -> Option<Vec<u8>> {
        self.space.lock().get(key, Instant::now()).map(<[u8]>::to_vec)
    }

    /// What is left of the quota, in bytes.
    pub(crate) fn room(&self) -> usize {
        let space = self.space.lock();
        space.quota().saturating_sub(space.used())
    }

    pub(crate) fn get(&mut self, key: &str) -> Option<Vec<u8>> {
        self.is_used = true;
        self.space.lock().get(key, Instant::now()).map(<[u8]>::to_vec)
    }

    pub(crate) fn set(
        &mut self,
        key: &str,
        value: Vec<u8>,
        ttl: Option<Duration>,
    ) -> Result<(), SpaceError> {
        let now = Instant::now();
        let undo = self.writable()?.set(key, value, expiry(now, ttl), now)?;
        self.remember(undo);
        Ok(())
    }

    pub(crate) fn delete(&mut self, key: &str) -> bool {
        self.is_used = true;
        let undo = self.space.lock().delete(key, Instant::now());
        undo.map(|undo| self.remember(undo)).is_some()
    }

    pub(crate) fn increment(&mut self, key: &str, by: i64) -> Result<i64, SpaceError> {
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
    ) -> Result<bool, SpaceError> {
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

    pub(crate) fn entries(&mut self, prefix: &str, limit: u32) -> Vec<(String, Vec<u8>)> {
        self.is_used = true;
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        self.space.lock().entries(prefix, limit, Instant::now())
    }

    fn writable(&mut self) -> Result<MutexGuard<'_, Space>, SpaceError> {
        self.is_used = true;
        let space = self.space.lock();
        if self.weight > space.quota() { Err(SpaceError::Full) } else { Ok(space) }
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

/// The expiry time; none if the time to live is beyond the clock's range.
fn expiry(now: Instant, ttl: Option<Duration>) -> Option<Instant> {
    ttl.and_then(|ttl| now.checked_add(ttl))
}
