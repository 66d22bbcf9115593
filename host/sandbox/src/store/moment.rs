//! Moment of a store: a plugin's space as it was when a call began, and the overlay that a replay of
//! the call writes to.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Instant;

use super::SharedSpace;
use super::history::{Held, LostMoment};
use super::space::Space;
use crate::call_record::StoreSeen;

/// The maximum number of keys that are looked at, or forgotten, while the version in service cannot
/// use its store.
const MAX_PAGE_KEYS: usize = 128;

/// The store of a plugin as it was at a moment, as long as this is held. Cheap to clone.
#[derive(Debug, Clone)]
pub struct StoreMoment(Arc<Moment>);

/// A space as it was at a moment.
#[derive(Debug)]
struct Moment {
    space: SharedSpace,
    at: u64,
    began: Instant,
    /// Bytes in use at the moment.
    used: usize,
    /// Whether a read has failed.
    is_lost: AtomicBool,
}

/// The store behind an overlay: keys come from it when they are used first.
#[derive(Debug)]
pub(crate) struct Behind {
    store: StoreMoment,
    /// What the overlay has from the record.
    known: StoreSeen,
    /// The keys that were fetched, or were not there.
    fetched: BTreeSet<String>,
}

impl StoreMoment {
    /// The present moment of a space.
    pub(crate) fn now(space: &SharedSpace) -> Self {
        let mut locked = space.lock();
        let (at, used) = (locked.history_mut().pin(), locked.used());
        drop(locked);
        let (space, is_lost) = (Arc::clone(space), AtomicBool::new(false));
        Self(Arc::new(Moment { space, at, began: Instant::now(), used, is_lost }))
    }

    /// Whether a read has failed.
    pub(crate) fn is_lost(&self) -> bool {
        self.0.is_lost.load(Relaxed)
    }
}

impl Behind {
    /// Behind an overlay that has what a recorded call has read. The quota of the overlay leaves as
    /// much as the store had left.
    pub(crate) fn new(store: &StoreMoment, known: &StoreSeen, overlay: &mut Space) -> Self {
        let left = overlay.quota().saturating_sub(store.0.used);
        overlay.set_quota(left.saturating_add(overlay.used()));
        Self { store: store.clone(), known: known.clone(), fetched: BTreeSet::new() }
    }

    pub(crate) fn fetch(&mut self, key: &str, overlay: &mut Space) {
        if self.known.knows(key) || self.fetched.contains(key) {
            return;
        }
        self.fetched.insert(key.to_owned());
        match self.store.0.get(key) {
            Ok(Some(held)) => overlay.admit(key, held),
            Ok(None) => {}
            Err(LostMoment) => self.lose(),
        }
    }

    pub(crate) fn fetch_all(&mut self, prefix: &str, limit: u32, overlay: &mut Space) {
        // The call may have deleted keys that it has fetched.
        let limit = usize::try_from(limit).unwrap_or(usize::MAX).saturating_add(self.fetched.len());
        let entries = match self.store.0.entries(prefix, limit) {
            Ok(entries) => entries,
            Err(LostMoment) => return self.lose(),
        };
        for (key, held) in entries {
            if !self.known.knows(&key) && self.fetched.insert(key.to_string()) {
                overlay.admit(&key, held);
            }
        }
    }

    fn lose(&self) {
        self.store.0.is_lost.store(true, Relaxed);
    }
}

impl Moment {
    /// What a key held, with the time to live that it had left.
    ///
    /// # Errors
    /// [`LostMoment`].
    fn get(&self, key: &str) -> Result<Option<Held>, LostMoment> {
        let space = self.space.lock();
        space.history().check(self.at)?;
        let held = match space.history().before(key, self.at) {
            Some(before) => before.clone(),
            None => space.held(key),
        };
        Ok(held.and_then(|held| self.alive(held)))
    }

    /// At most `limit` keys that begin with `prefix`, in order. Read page by page: calls of the version
    /// in service take turns with it.
    ///
    /// # Errors
    /// [`LostMoment`].
    fn entries(&self, prefix: &str, limit: usize) -> Result<Vec<(Arc<str>, Held)>, LostMoment> {
        let (mut entries, mut last) = (Vec::new(), None::<Arc<str>>);
        while entries.len() < limit {
            last = self.page(prefix, last.as_deref(), limit, &mut entries)?;
            if last.is_none() {
                break;
            }
        }
        Ok(entries)
    }

    /// Adds the next keys. Returns the last one that was looked at; none at the end.
    fn page(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
        entries: &mut Vec<(Arc<str>, Held)>,
    ) -> Result<Option<Arc<str>>, LostMoment> {
        let from = after.map_or(Bound::Included(prefix), Bound::Excluded);
        let space = self.space.lock();
        let history = space.history();
        history.check(self.at)?;
        let mut present = space.range(prefix, from).peekable();
        let mut changed = history.all_before(prefix, from, self.at).peekable();
        let mut last = None;
        for _ in 0..MAX_PAGE_KEYS {
            let order = match (present.peek(), changed.peek()) {
                (None, None) => return Ok(None),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some((key, _)), Some((other, _))) => key.cmp(other),
            };
            let now = if order.is_le() { present.next() } else { None };
            let before = if order.is_ge() { changed.next() } else { None };
            let Some(key) = now.as_ref().map(|it| it.0).or(before.map(|it| it.0)) else {
                return Ok(None);
            };
            let held = match before.and_then(|(_, before)| before) {
                Some(before) => before.clone(),
                None => now.map(|(_, held)| held),
            };
            if let Some(held) = held.and_then(|held| self.alive(held)) {
                entries.push((Arc::clone(key), held));
            }
            last = Some(Arc::clone(key));
            if entries.len() >= limit {
                break;
            }
        }
        Ok(last)
    }

    /// The value, unless it had expired; its expiry is moved by the time that has passed.
    fn alive(&self, (value, expires): Held) -> Option<Held> {
        let Some(at) = expires else { return Some((value, None)) };
        let left = at.checked_duration_since(self.began).filter(|left| !left.is_zero())?;
        Some((value, Instant::now().checked_add(left)))
    }
}

impl Drop for Moment {
    fn drop(&mut self) {
        self.space.lock().history_mut().unpin(self.at);
        // The lock is free in between.
        while self.space.lock().history_mut().forget(MAX_PAGE_KEYS) {}
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::store::history::MAX_BYTES;
    use crate::store::journal::Journal;

    fn space(entries: &[(&str, &str)]) -> SharedSpace {
        let space = SharedSpace::default();
        space.lock().set_quota(64 << 20);
        for (key, value) in entries {
            set(&space, key, value);
        }
        space
    }

    fn set(space: &SharedSpace, key: &str, value: &str) {
        let written = space.lock().set(key, value.into(), None, Instant::now());
        space.lock().keep(&written.unwrap());
    }

    fn get(StoreMoment(moment): &StoreMoment, key: &str) -> Option<String> {
        let held = moment.get(key).unwrap();
        held.map(|(value, _)| String::from_utf8(value.to_vec()).unwrap())
    }

    fn entries(StoreMoment(moment): &StoreMoment, prefix: &str, limit: usize) -> String {
        let text = |(key, (value, _)): (Arc<str>, Held)| {
            format!("{key}={}", String::from_utf8(value.to_vec()).unwrap())
        };
        let entries = moment.entries(prefix, limit).unwrap();
        entries.into_iter().map(text).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn reads_the_space_as_it_was() {
        let space = space(&[("a1", "x"), ("a2", "x"), ("b", "x")]);
        let first = StoreMoment::now(&space);
        set(&space, "a1", "y");
        set(&space, "a3", "y");
        let second = StoreMoment::now(&space);
        set(&space, "a1", "z");
        assert!(space.lock().delete("a2", Instant::now()).is_some());
        assert_eq!(
            ["a1", "a2", "a3", "b"].map(|key| get(&first, key).unwrap_or_default()),
            ["x", "x", "", "x"]
        );
        assert_eq!(entries(&first, "a", 9), "a1=x a2=x");
        assert_eq!(entries(&second, "a", 9), "a1=y a2=x a3=y");
        assert_eq!(entries(&second, "a", 2), "a1=y a2=x");
        assert_eq!(entries(&second, "", 9), "a1=y a2=x a3=y b=x");
        // Nothing is kept for moments that are over.
        drop(first);
        assert_eq!(get(&second, "a1").unwrap(), "y");
        drop(second);
        let locked = space.lock();
        let history = locked.history();
        assert!(!history.is_pinned() && history.bytes() == 0);
    }

    #[test]
    fn reads_many_keys_page_by_page() {
        let key = |number: usize| format!("a{number:05}");
        let keys: Vec<String> = (0..5 * MAX_PAGE_KEYS).map(key).collect();
        let entries: Vec<(&str, &str)> = keys.iter().map(|key| (key.as_str(), "x")).collect();
        let space = space(&entries);
        let earlier = StoreMoment::now(&space);
        set(&space, &key(1), "y");
        let StoreMoment(moment) = StoreMoment::now(&space);
        // Changed, deleted and new keys, on each page.
        for number in (0..keys.len()).step_by(4) {
            set(&space, &key(number), "later");
            assert!(space.lock().delete(&key(number + 1), Instant::now()).is_some());
            set(&space, &format!("{}-new", key(number)), "later");
        }
        let found = moment.entries("a", usize::MAX).unwrap();
        let found: Vec<&str> = found.iter().map(|it| &*it.0).collect();
        assert_eq!(found, keys);
        for limit in [0, 1, MAX_PAGE_KEYS, MAX_PAGE_KEYS + 1] {
            assert_eq!(moment.entries("a", limit).unwrap().len(), limit);
        }
        // A page is bounded in what it looks at, not only in what it finds.
        let mut page = Vec::new();
        let last = moment.page("a", None, usize::MAX, &mut page).unwrap();
        assert!(last.is_some() && page.len() <= MAX_PAGE_KEYS);
        let mut none = Vec::new();
        let last = moment.page("a", last.as_deref(), 1, &mut none).unwrap();
        assert!(last.is_some() && none.len() == 1);
        drop((moment, earlier));
        assert_eq!(space.lock().history().bytes(), 0);
    }

    #[test]
    fn sees_neither_later_writes_nor_their_undoing() {
        let space = space(&[("a", "x")]);
        let moment = StoreMoment::now(&space);
        let now = Instant::now();
        let undo = space.lock().set("a", b"y".to_vec(), None, now).unwrap();
        assert_eq!(get(&moment, "a").unwrap(), "x");
        space.lock().undo(undo, now);
        assert_eq!(get(&moment, "a").unwrap(), "x");
    }

    #[test]
    fn values_live_as_long_as_they_did() {
        let space = space(&[]);
        let now = Instant::now();
        let long = now + Duration::from_hours(1);
        let written = space.lock().set("long", b"x".to_vec(), Some(long), now);
        space.lock().keep(&written.unwrap());
        let written = space.lock().set("gone", b"x".to_vec(), Some(now), now);
        space.lock().keep(&written.unwrap());
        let moment = StoreMoment::now(&space);
        // The space forgets it later; it was over at the moment already.
        assert_eq!(get(&moment, "gone"), None);
        // And this one was not, although the space has forgotten it since.
        assert!(space.lock().get("long", long).is_none());
        assert_eq!(get(&moment, "long").unwrap(), "x");
        assert_eq!(entries(&moment, "", 9), "long=x");
    }

    #[test]
    fn a_moment_with_too_many_changes_is_lost() {
        let space = space(&[("a", "x")]);
        let moment = StoreMoment::now(&space);
        let large = "x".repeat(1 << 19);
        for _ in 0..20 {
            set(&space, "large", &large);
        }
        assert_eq!(moment.0.get("a"), Err(LostMoment));
        assert_eq!(moment.0.entries("", 1).unwrap_err(), LostMoment);
        assert!(space.lock().history().bytes() <= MAX_BYTES);
        let later = StoreMoment::now(&space);
        assert_eq!(get(&later, "a").unwrap(), "x");
        drop(moment);
        assert_eq!(get(&later, "a").unwrap(), "x");
    }

    #[test]
    fn an_overlay_has_what_the_call_has_read_and_the_store_behind_it() {
        let space = space(&[("a", "x"), ("b", "x"), ("c", "x"), ("d", "x")]);
        let store = StoreMoment::now(&space);
        for key in ["a", "b", "c", "d", "e"] {
            set(&space, key, "later");
        }
        // The call has read `a`, and that there is no `b`.
        let value = |text: &str| Some(crate::store_value::StoreValue(text.into()));
        let values = [("a".to_owned(), value("seen")), ("b".to_owned(), None)].into();
        let seen = StoreSeen { values, ranges: vec![], room: None };
        let overlay = SharedSpace::default();
        let quota = space.lock().quota();
        overlay.lock().set_quota(quota);
        let entries = [("a".to_owned(), b"seen".as_slice().into(), None)];
        overlay.lock().restore(entries.into_iter(), Instant::now());
        let behind = Behind::new(&store, &seen, &mut overlay.lock());
        let mut journal = Journal::over(Arc::clone(&overlay), 0, behind);
        let mut get = |key: &str| {
            journal.fetch(key);
            journal.get(key).map(|value| String::from_utf8(value).unwrap())
        };
        let read = ["a", "b", "c", "e"].map(|key| get(key).unwrap_or_default());
        assert_eq!(read, ["seen", "", "x", ""]);
        journal.delete("c");
        journal.fetch("c");
        assert_eq!(journal.get("c"), None, "what the call has deleted stays so");
        journal.fetch_all("", 9);
        let keys: Vec<String> = journal.entries("", 9).into_iter().map(|it| it.0).collect();
        assert_eq!(keys, ["a", "d"]);
        assert!(!store.is_lost());
        // As much room as the store had.
        let overlay = overlay.lock();
        assert!(overlay.quota() - overlay.used() <= quota);
    }
}
