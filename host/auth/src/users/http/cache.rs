//! Cache of users: a bounded map that evicts the oldest entry first. The caller checks the age of
//! entries.

use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroUsize;
use std::time::Instant;

/// Map of at most `capacity` entries, each with the time at which it was learned.
#[derive(Debug)]
pub(super) struct Cache<T> {
    capacity: NonZeroUsize,
    entries: HashMap<String, Entry<T>>,
    /// Names in the order in which they were learned.
    order: BTreeMap<u64, String>,
    next: u64,
}

#[derive(Debug)]
struct Entry<T> {
    value: T,
    learned: Instant,
    number: u64,
}

impl<T: Clone> Cache<T> {
    pub(super) fn new(capacity: NonZeroUsize) -> Self {
        Self { capacity, entries: HashMap::new(), order: BTreeMap::new(), next: 0 }
    }

    /// Returns the entry of this name, and the time at which it was learned.
    pub(super) fn get(&self, name: &str) -> Option<(T, Instant)> {
        self.entries.get(name).map(|entry| (entry.value.clone(), entry.learned))
    }

    pub(super) fn put(&mut self, name: &str, value: T, now: Instant) {
        self.remove(name);
        if self.entries.len() >= self.capacity.get()
            && let Some((_, oldest)) = self.order.pop_first()
        {
            self.entries.remove(&oldest);
        }
        let number = self.next;
        self.next += 1;
        self.order.insert(number, name.to_owned());
        self.entries.insert(name.to_owned(), Entry { value, learned: now, number });
    }

    pub(super) fn remove(&mut self, name: &str) {
        if let Some(entry) = self.entries.remove(name) {
            self.order.remove(&entry.number);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn evicts_the_oldest_entry() {
        let mut cache = Cache::new(NonZeroUsize::new(2).unwrap());
        let now = Instant::now();
        cache.put("a", 1, now);
        cache.put("b", 2, now);
        cache.put("a", 3, now);
        cache.put("c", 4, now);
        let known = ["a", "b", "c"].map(|name| cache.get(name).map(|(value, _)| value));
        assert_eq!(known, [Some(3), None, Some(4)]);
        cache.remove("a");
        cache.put("d", 5, now);
        let known = ["a", "c", "d"].map(|name| cache.get(name).map(|(value, _)| value));
        assert_eq!(known, [None, Some(4), Some(5)]);
    }

    proptest! {
        #[test]
        fn keeps_its_bound(steps in prop::collection::vec((0u8..12, any::<bool>()), 0..200)) {
            let mut cache = Cache::new(NonZeroUsize::new(4).unwrap());
            let now = Instant::now();
            for (name, put) in steps {
                let name = name.to_string();
                if put {
                    cache.put(&name, (), now);
                    prop_assert!(cache.get(&name).is_some());
                } else {
                    cache.remove(&name);
                    prop_assert!(cache.get(&name).is_none());
                }
                prop_assert!(cache.entries.len() <= 4);
                prop_assert_eq!(cache.entries.len(), cache.order.len());
            }
        }
    }
}
