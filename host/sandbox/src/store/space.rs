//! Key-value space of one plugin. Pure: time is a parameter, and nothing locks.
//!
//! Every write returns an [`Undo`] that respects later writes of others: instances of one plugin
//! share a space, and one may fail while others go on.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ops::Bound;
use std::sync::Arc;
use std::time::Instant;

use super::entry::{
    MAX_KEY_BYTES, MAX_VALUE_BYTES, OVERHEAD_BYTES, StoreEntry, StoreFault, StorePage, StoreRange,
    cost,
};
use super::history::{Held, History};

/// The keys and values of one plugin.
#[derive(Debug, Default)]
pub(crate) struct Space {
    entries: BTreeMap<Arc<str>, Entry>,
    /// Keys with a time to live, by expiry.
    expiries: BTreeSet<(Instant, Arc<str>)>,
    /// Keys deleted by running hooks, with the version of the deletion.
    deleted: HashMap<Arc<str>, u64>,
    /// Bytes in use, as `Entry::cost` counts them.
    used: usize,
    quota: usize,
    /// The version of the last write.
    version: u64,
    /// The version of the last write before the last [`Space::take_changes`].
    taken: u64,
    /// Keys written since [`Space::take_changes`], also by running hooks; none if nothing is saved.
    changed: Option<HashSet<Arc<str>>>,
    /// What keys held before, while an earlier moment is pinned.
    history: History,
}

/// A changed key, and its value with its expiry; none if it is gone.
pub(crate) type Change = (Arc<str>, Option<(Arc<[u8]>, Option<Instant>)>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    value: Arc<[u8]>,
    expires: Option<Instant>,
    /// Version of the last write.
    version: u64,
    /// Version of the last write other than an increment.
    base: u64,
}

/// Undo record of one write.
#[derive(Debug)]
pub(crate) struct Undo {
    key: Arc<str>,
    /// The version that the write gave to the key.
    version: u64,
    /// The entry before.
    earlier: Option<Entry>,
    /// The deletion that this write replaced, of a running hook, which may be the same.
    deletion: Option<u64>,
    /// The amount of an increment.
    added: Option<i64>,
}

/// A write is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SpaceError {
    Full,
    NotANumber,
}

/// Deletions restored by undo. Their hooks may be over, so that nothing would clear them.
const MAX_DELETIONS: usize = 1 << 12;

impl Space {
    pub(crate) fn set_quota(&mut self, quota: usize) {
        self.quota = quota;
    }

    /// Notes changes from now on.
    pub(crate) fn note_changes(&mut self) {
        self.changed.get_or_insert_default();
    }

    /// The keys written since the last call, with what they hold now.
    pub(crate) fn take_changes(&mut self) -> Vec<Change> {
        let changed = self.changed.as_mut().map(std::mem::take).unwrap_or_default();
        self.taken = self.version;
        let change = |key: Arc<str>| {
            let held = self.entries.get(&key).map(|it| (Arc::clone(&it.value), it.expires));
            (key, held)
        };
        changed.into_iter().map(change).collect()
    }

    /// Replaces all entries by saved ones. Running hooks cannot undo anything of them: their
    /// versions are new.
    pub(crate) fn restore(
        &mut self,
        entries: impl Iterator<Item = (String, Arc<[u8]>, Option<Instant>)>,
        now: Instant,
    ) {
        self.history.lose();
        self.entries.clear();
        self.expiries.clear();
        self.deleted.clear();
        self.used = 0;
        if let Some(changed) = &mut self.changed {
            changed.clear();
        }
        for (key, value, expires) in entries {
            let version = self.next_version();
            self.put(&key, Entry { value, expires, version, base: version });
        }
        if let Some(changed) = &mut self.changed {
            changed.clear();
        }
        // Expired ones are changes, so that the file is rid of them as well.
        self.expire(now);
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
    ) -> Result<Undo, SpaceError> {
        self.expire(now);
        if key.len() > MAX_KEY_BYTES || value.len() > MAX_VALUE_BYTES {
            return Err(SpaceError::Full);
        }
        let freed = self.entries.get(key).map_or(0, |e| cost(key, &e.value));
        let used = (self.used - freed).saturating_add(cost(key, &value));
        if used > self.quota {
            return Err(SpaceError::Full);
        }
        let version = self.next_version();
        let entry = Entry { value: value.into(), expires, version, base: version };
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
    ) -> Result<(i64, Undo), SpaceError> {
        self.expire(now);
        let Some(entry) = self.entries.get(key) else {
            let undo = self.set(key, by.to_string().into_bytes(), None, now)?;
            return Ok((by, Undo { added: Some(by), ..undo }));
        };
        let sum = number(&entry.value).and_then(|n| n.checked_add(by));
        let sum = sum.ok_or(SpaceError::NotANumber)?;
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
    ) -> Result<Option<CompareAndSet>, SpaceError> {
        if self.get(key, now) != expected {
            return Ok(None);
        }
        Ok(Some(match value {
            Some(value) => CompareAndSet::Wrote(self.set(key, value, expires, now)?),
            None => self.delete(key, now).map_or(CompareAndSet::Same, CompareAndSet::Wrote),
        }))
    }

    pub(crate) fn history(&self) -> &History {
        &self.history
    }

    pub(crate) fn history_mut(&mut self) -> &mut History {
        &mut self.history
    }

    /// Bytes in use.
    pub(crate) fn used(&self) -> usize {
        self.used
    }

    /// What a key holds, even if it is about to expire.
    pub(crate) fn held(&self, key: &str) -> Option<Held> {
        self.entries.get(key).map(Entry::held)
    }

    /// The keys with a prefix from a key on, in order, and what they hold, even if it is to expire.
    pub(crate) fn range<'s>(
        &'s self,
        prefix: &'s str,
        from: Bound<&'s str>,
    ) -> impl Iterator<Item = (&'s Arc<str>, Held)> {
        let range = self.entries.range::<str, _>((from, Bound::Unbounded));
        let range = range.take_while(move |(key, _)| key.starts_with(prefix));
        range.map(|(key, entry)| (key, entry.held()))
    }

    /// Sets a key beyond the quota, which grows by as much.
    pub(crate) fn admit(&mut self, key: &str, (value, expires): Held) {
        self.quota = self.quota.saturating_add(cost(key, &value));
        let version = self.next_version();
        self.put(key, Entry { value, expires, version, base: version });
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

    /// The entry of a key.
    pub(crate) fn entry(&mut self, key: &str, now: Instant) -> Option<StoreEntry> {
        self.expire(now);
        self.entries.get_key_value(key).map(|(key, entry)| entry.shared(key, now))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The entries of a range.
    pub(crate) fn page(&mut self, range: StoreRange<'_>, now: Instant) -> StorePage {
        self.expire(now);
        let StoreRange { prefix, after, limit } = range;
        let from = match after.filter(|after| *after >= prefix) {
            Some(after) => Bound::Excluded(after),
            None => Bound::Included(prefix),
        };
        let mut found = self
            .entries
            .range::<str, _>((from, Bound::Unbounded))
            .take_while(|(key, _)| key.starts_with(prefix));
        let entries = found.by_ref().take(limit).map(|(key, entry)| entry.shared(key, now));
        let entries = entries.collect();
        let (has_more, count) = (found.next().is_some(), self.entries.len());
        StorePage { entries, has_more, count, used: self.used, quota: self.quota }
    }

    /// Writes all entries, each key once, or none; `replaces` removes all others. Returns the number
    /// of entries that were removed. Running hooks undo nothing of it.
    pub(crate) fn import(
        &mut self,
        entries: Vec<StoreEntry>,
        replaces: bool,
        now: Instant,
    ) -> Result<usize, StoreFault> {
        self.expire(now);
        let freed = |entry: &StoreEntry| {
            self.entries.get(&entry.key).map_or(0, |held| cost(&entry.key, &held.value))
        };
        let freed = if replaces { self.used } else { entries.iter().map(freed).sum() };
        let added = entries.iter().map(StoreEntry::cost).fold(0, usize::saturating_add);
        let needed = (self.used - freed).saturating_add(added);
        if needed > self.quota {
            return Err(StoreFault::Full { needed, quota: self.quota });
        }
        let mut removed = 0;
        if replaces {
            self.deleted.clear();
            let kept: HashSet<&str> = entries.iter().map(|entry| &*entry.key).collect();
            let others = self.entries.keys().filter(|key| !kept.contains(&***key)).cloned();
            for key in others.collect::<Vec<_>>() {
                removed += usize::from(self.remove(&key).is_some());
            }
        }
        for StoreEntry { key, value, ttl } in entries {
            let version = self.next_version();
            let expires = ttl.and_then(|ttl| now.checked_add(ttl));
            self.put(&key, Entry { value, expires, version, base: version });
        }
        Ok(removed)
    }

    /// Undoes a write. Writes of one hook are undone in reverse order.
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
        // Another hook has written since. If it only incremented, this write's increment is
        // subtracted; if it replaced the value, nothing is left to undo.
        let (Some(by), Some(entry)) = (added, present) else { return };
        let base = earlier.map_or(version, |e| e.base);
        let sum = number(&entry.value).and_then(|n| n.checked_sub(by));
        let (Some(sum), true) = (sum, entry.base == base) else { return };
        let expires = entry.expires;
        let version = self.next_version();
        self.put(&key, Entry { value: decimal(sum), expires, version, base });
    }

    /// Whether the changes of a write were taken already.
    pub(crate) fn is_taken(&self, undo: &Undo) -> bool {
        undo.version <= self.taken
    }

    /// Memory of an undo record, in bytes.
    pub(crate) fn weight(undo: &Undo) -> usize {
        undo.earlier.as_ref().map_or(OVERHEAD_BYTES, |earlier| cost(&undo.key, &earlier.value))
    }

    pub(crate) fn quota(&self) -> usize {
        self.quota
    }

    /// Leaves so much of the quota, as if other keys had the rest. In bytes.
    pub(crate) fn leave(&mut self, room: usize) {
        self.quota = self.quota.max(self.used.saturating_add(room));
        self.used = self.quota - room;
    }

    /// Commits a write.
    pub(crate) fn keep(&mut self, undo: &Undo) {
        if self.deleted.get(&undo.key) == Some(&undo.version) {
            self.deleted.remove(&undo.key);
        }
    }

    /// Restores a deletion that a write had replaced.
    fn uncover(&mut self, key: Arc<str>, deletion: Option<u64>) {
        if let Some(version) = deletion.filter(|_| self.deleted.len() < MAX_DELETIONS) {
            self.deleted.insert(key, version);
        }
    }

    fn put(&mut self, key: &str, entry: Entry) -> (Arc<str>, Option<Entry>) {
        let (key, earlier) = if let Some((key, earlier)) = self.remove(key) {
            (key, Some(earlier))
        } else {
            let key = Arc::from(key);
            if self.history.is_pinned() {
                self.history.note(&key, None);
            }
            (key, None)
        };
        self.deleted.remove(&key);
        self.note(&key);
        self.used += cost(&key, &entry.value);
        if let Some(at) = entry.expires {
            self.expiries.insert((at, Arc::clone(&key)));
        }
        self.entries.insert(Arc::clone(&key), entry);
        (key, earlier)
    }

    fn remove(&mut self, key: &str) -> Option<(Arc<str>, Entry)> {
        let (key, entry) = self.entries.remove_entry(key)?;
        self.note(&key);
        if self.history.is_pinned() {
            self.history.note(&key, Some(entry.held()));
        }
        self.used -= cost(&key, &entry.value);
        if let Some(at) = entry.expires {
            self.expiries.remove(&(at, Arc::clone(&key)));
        }
        Some((key, entry))
    }

    fn note(&mut self, key: &Arc<str>) {
        if let Some(changed) = &mut self.changed {
            changed.insert(Arc::clone(key));
        }
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

impl Entry {
    fn shared(&self, key: &Arc<str>, now: Instant) -> StoreEntry {
        let ttl = self.expires.map(|at| at.saturating_duration_since(now));
        StoreEntry { key: Arc::clone(key), value: Arc::clone(&self.value), ttl }
    }

    fn held(&self) -> Held {
        (self.value.clone(), self.expires)
    }
}

/// Result of a compare-and-set whose comparison succeeded.
#[derive(Debug)]
pub(crate) enum CompareAndSet {
    Wrote(Undo),
    /// The key is absent, as before.
    Same,
}

fn decimal(number: i64) -> Arc<[u8]> {
    number.to_string().into_bytes().into()
}

fn number(value: &[u8]) -> Option<i64> {
    std::str::from_utf8(value).ok()?.parse().ok()
}

#[cfg(test)]
mod tests;
