//! The keys and values of one plugin. Pure: the time is a parameter, and nothing locks here.
//!
//! Every write says how to take it back ([`Undo`]), in a way that respects what others wrote in
//! the meantime: instances of one plugin share a space, and one may fail while the others go on.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::Arc;
use std::time::Instant;

/// The keys and values of one plugin.
#[derive(Debug, Default)]
pub(crate) struct Space {
    entries: BTreeMap<Arc<str>, Entry>,
    /// The keys that have a time to live, by when it ends.
    expiries: BTreeSet<(Instant, Arc<str>)>,
    /// Keys deleted by hooks that are still under way, with the version of the deletion.
    deleted: HashMap<Arc<str>, u64>,
    /// Bytes in use, as `Entry::cost` counts them.
    used: usize,
    quota: usize,
    /// The version of the last write.
    version: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    value: Box<[u8]>,
    expires: Option<Instant>,
    /// The last write to it.
    version: u64,
    /// The last write that was not an increment.
    base: u64,
}

/// How to take one write back.
#[derive(Debug)]
pub(crate) struct Undo {
    key: Arc<str>,
    /// The version that the write gave to the key.
    version: u64,
    /// What the key held before.
    earlier: Option<Entry>,
    /// The deletion that this write covered up, if its hook was still under way: perhaps the same
    /// hook, which deletes and writes again.
    deletion: Option<u64>,
    /// What an increment added.
    added: Option<i64>,
}

/// Why a write is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    Full,
    NotANumber,
}

/// Longest key, in bytes.
const MAX_KEY: usize = 1 << 10;
/// Longest value, in bytes.
const MAX_VALUE: usize = 1 << 20;
/// What an entry costs beside its key and its value.
const OVERHEAD: usize = 128;
/// Most deletions that are put back when a write is undone. The hook that deleted may be over by
/// then, and nobody would clear them away.
const MAX_DELETED: usize = 1 << 12;

impl Space {
    pub(crate) fn set_quota(&mut self, quota: usize) {
        self.quota = quota;
    }

    pub(crate) fn get(&mut self, key: &str, now: Instant) -> Option<&[u8]> {
        self.expire(now);
        self.entries.get(key).map(|e| &*e.value)
    }

    pub(crate) fn set(
        &mut self,
        key: &str,
        value: Vec<u8>,
        expires: Option<Instant>,
        now: Instant,
    ) -> Result<Undo, Refused> {
        self.expire(now);
        if key.len() > MAX_KEY || value.len() > MAX_VALUE {
            return Err(Refused::Full);
        }
        let freed = self.entries.get(key).map_or(0, |e| cost(key, &e.value));
        let used = (self.used - freed).saturating_add(cost(key, &value));
        if used > self.quota {
            return Err(Refused::Full);
        }
        let version = self.next_version();
        let entry = Entry { value: value.into_boxed_slice(), expires, version, base: version };
        let deletion = self.deleted.get(key).copied();
        let (key, earlier) = self.put(key, entry);
        Ok(Undo { key, version, earlier, deletion, added: None })
    }

    /// None if there was nothing to delete.
    pub(crate) fn delete(&mut self, key: &str, now: Instant) -> Option<Undo> {
        self.expire(now);
        let (key, earlier) = self.remove(key)?;
        let version = self.next_version();
        self.deleted.insert(Arc::clone(&key), version);
        Some(Undo { key, version, earlier: Some(earlier), deletion: None, added: None })
    }

    /// Adds, and returns the sum.
    pub(crate) fn increment(
        &mut self,
        key: &str,
        by: i64,
        now: Instant,
    ) -> Result<(i64, Undo), Refused> {
        self.expire(now);
        let Some(entry) = self.entries.get(key) else {
            let undo = self.set(key, decimal(by).into(), None, now)?;
            return Ok((by, Undo { added: Some(by), ..undo }));
        };
        let sum = number(&entry.value).and_then(|n| n.checked_add(by));
        let sum = sum.ok_or(Refused::NotANumber)?;
        let (base, expires) = (entry.base, entry.expires);
        let version = self.next_version();
        let (key, earlier) = self.put(key, Entry { value: decimal(sum), expires, version, base });
        Ok((sum, Undo { key, version, earlier, deletion: None, added: Some(by) }))
    }

    /// Writes `value`, or deletes, if the key holds `expected`; none if it does not.
    pub(crate) fn compare_and_set(
        &mut self,
        key: &str,
        expected: Option<&[u8]>,
        value: Option<Vec<u8>>,
        expires: Option<Instant>,
        now: Instant,
    ) -> Result<Option<CompareAndSet>, Refused> {
        if self.get(key, now) != expected {
            return Ok(None);
        }
        Ok(Some(match value {
            Some(value) => CompareAndSet::Wrote(self.set(key, value, expires, now)?),
            None => self.delete(key, now).map_or(CompareAndSet::Same, CompareAndSet::Wrote),
        }))
    }

    /// At most `limit` keys that begin with `prefix`, in order, with their values.
    pub(crate) fn entries(
        &mut self,
        prefix: &str,
        limit: usize,
        now: Instant,
    ) -> Vec<(String, Vec<u8>)> {
        self.expire(now);
        self.entries
            .range::<str, _>((Bound::Included(prefix), Bound::Unbounded))
            .take_while(|(key, _)| key.starts_with(prefix))
            .take(limit)
            .map(|(key, entry)| (key.to_string(), entry.value.to_vec()))
            .collect()
    }

    /// Takes a write back. Several of one hook are taken back in reverse order.
    pub(crate) fn undo(&mut self, undo: Undo, now: Instant) {
        self.expire(now);
        let Undo { key, version, earlier, deletion, added } = undo;
        let present = self.entries.get(&key);
        let holds = present.map(|e| e.version).or_else(|| self.deleted.get(&key).copied());
        if holds == Some(version) {
            self.remove(&key);
            self.deleted.remove(&key);
            match earlier.filter(|e| e.expires.is_none_or(|at| now < at)) {
                Some(earlier) => drop(self.put(&key, earlier)),
                None => self.uncover(key, deletion),
            }
            return;
        }
        // Somebody else wrote since. If they only added, what this write added goes, and theirs
        // stays; if they replaced the value, nothing of this write is left.
        let (Some(by), Some(entry)) = (added, present) else { return };
        let base = earlier.map_or(version, |e| e.base);
        let sum = number(&entry.value).and_then(|n| n.checked_sub(by));
        let (Some(sum), true) = (sum, entry.base == base) else { return };
        let expires = entry.expires;
        let version = self.next_version();
        self.put(&key, Entry { value: decimal(sum), expires, version, base });
    }

    /// Bytes that it takes to remember how to take the write back.
    pub(crate) fn weight(undo: &Undo) -> usize {
        undo.earlier.as_ref().map_or(OVERHEAD, |earlier| cost(&undo.key, &earlier.value))
    }

    pub(crate) fn quota(&self) -> usize {
        self.quota
    }

    /// The write stays: nothing needs to be remembered of it.
    pub(crate) fn keep(&mut self, undo: &Undo) {
        if self.deleted.get(&undo.key) == Some(&undo.version) {
            self.deleted.remove(&undo.key);
        }
    }

    /// Puts a deletion back that a write had covered up.
    fn uncover(&mut self, key: Arc<str>, deletion: Option<u64>) {
        if let Some(version) = deletion.filter(|_| self.deleted.len() < MAX_DELETED) {
            self.deleted.insert(key, version);
        }
    }

    fn put(&mut self, key: &str, entry: Entry) -> (Arc<str>, Option<Entry>) {
        let (key, earlier) = match self.remove(key) {
            Some((key, earlier)) => (key, Some(earlier)),
            None => (Arc::from(key), None),
        };
        self.deleted.remove(&key);
        self.used += cost(&key, &entry.value);
        if let Some(at) = entry.expires {
            self.expiries.insert((at, Arc::clone(&key)));
        }
        self.entries.insert(Arc::clone(&key), entry);
        (key, earlier)
    }

    fn remove(&mut self, key: &str) -> Option<(Arc<str>, Entry)> {
        let (key, entry) = self.entries.remove_entry(key)?;
        self.used -= cost(&key, &entry.value);
        if let Some(at) = entry.expires {
            self.expiries.remove(&(at, Arc::clone(&key)));
        }
        Some((key, entry))
    }

    fn expire(&mut self, now: Instant) {
        while let Some((_, key)) = self.expiries.first().filter(|(at, _)| *at <= now) {
            let key = Arc::clone(key);
            self.remove(&key);
        }
    }

    fn next_version(&mut self) -> u64 {
        self.version += 1;
        self.version
    }
}

/// What a compare-and-set that found what it expected did.
#[derive(Debug)]
pub(crate) enum CompareAndSet {
    Wrote(Undo),
    /// There was nothing, and nothing was wanted.
    Same,
}

fn cost(key: &str, value: &[u8]) -> usize {
    key.len() + value.len() + OVERHEAD
}

fn decimal(number: i64) -> Box<[u8]> {
    number.to_string().into_bytes().into_boxed_slice()
}

fn number(value: &[u8]) -> Option<i64> {
    std::str::from_utf8(value).ok()?.parse().ok()
}

#[cfg(test)]
mod tests;
