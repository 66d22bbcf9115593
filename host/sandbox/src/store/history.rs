//! History of a space: what keys held before, for readers of an earlier moment.
//!
//! A shadow runs after the call that it is compared with, and reads the store as it was when that call
//! began. While any moment is pinned, each change of a key notes what the key held. Without a pin
//! nothing is noted. Pure: nothing locks, and [`super::moment`] has the readers.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;
use std::time::Instant;

/// A value with its expiry.
pub(crate) type Held = (Arc<[u8]>, Option<Instant>);

/// The changes of a space since the oldest pinned moment.
#[derive(Debug, Default)]
pub(crate) struct History {
    /// The number of changes that were noted.
    count: u64,
    /// By key, the oldest first: the number of a change, and what the key held before it.
    changes: BTreeMap<Arc<str>, VecDeque<(u64, Option<Held>)>>,
    /// All changes in their order.
    order: VecDeque<(u64, Arc<str>)>,
    /// Memory of the changes, in bytes.
    bytes: usize,
    /// The number of pins of each moment.
    pins: BTreeMap<u64, usize>,
    /// Moments before this one cannot be read any more.
    lost_before: u64,
}

/// The changes since a moment are too large to be kept, or the space was read again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the store has changed too much since the call")]
pub struct LostMoment;

/// The maximum memory of the changes of a space, in bytes.
pub(crate) const MAX_BYTES: usize = 8 << 20;
/// Memory of a change besides its key and value, in bytes.
const OVERHEAD_BYTES: usize = 160;

impl History {
    /// Whether changes have to be noted.
    pub(crate) fn is_pinned(&self) -> bool {
        !self.pins.is_empty()
    }

    /// Notes what a key held before a change.
    pub(crate) fn note(&mut self, key: &Arc<str>, before: Option<Held>) {
        self.bytes += cost(key, before.as_ref());
        if self.bytes > MAX_BYTES {
            return self.lose();
        }
        let number = self.count;
        self.count += 1;
        self.changes.entry(Arc::clone(key)).or_default().push_back((number, before));
        self.order.push_back((number, Arc::clone(key)));
    }

    /// Memory of the changes, in bytes.
    #[cfg(test)]
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Gives up all moments before now.
    pub(crate) fn lose(&mut self) {
        self.changes.clear();
        self.order.clear();
        self.bytes = 0;
        self.count += 1;
        self.lost_before = self.count;
    }

    pub(crate) fn pin(&mut self) -> u64 {
        *self.pins.entry(self.count).or_default() += 1;
        self.count
    }

    pub(crate) fn unpin(&mut self, at: u64) {
        if let Some(pins) = self.pins.get_mut(&at) {
            *pins -= 1;
            if *pins == 0 {
                self.pins.remove(&at);
            }
        }
    }

    /// Forgets changes before the oldest pinned moment, at most so many. Returns whether there are
    /// more.
    pub(crate) fn forget(&mut self, limit: usize) -> bool {
        let oldest = self.pins.keys().next().copied().unwrap_or(u64::MAX);
        for _ in 0..limit {
            let first = self.order.front().filter(|(number, _)| *number < oldest);
            let Some((_, key)) = first else { return false };
            if let Some(changes) = self.changes.get_mut(key) {
                let before = changes.pop_front().and_then(|(_, before)| before);
                self.bytes -= cost(key, before.as_ref());
                if changes.is_empty() {
                    self.changes.remove(key);
                }
            }
            self.order.pop_front();
        }
        true
    }

    /// What the key held at the moment; the outer `None` is a key that has not changed since.
    pub(crate) fn before(&self, key: &str, at: u64) -> Option<&Option<Held>> {
        first_since(self.changes.get(key)?, at)
    }

    /// The changed keys with this prefix from a key on, in order, and what they held at the moment; the
    /// outer `None` is a key that has not changed since.
    pub(crate) fn all_before<'h>(
        &'h self,
        prefix: &'h str,
        from: Bound<&'h str>,
        at: u64,
    ) -> impl Iterator<Item = (&'h Arc<str>, Option<&'h Option<Held>>)> {
        let range = self.changes.range::<str, _>((from, Bound::Unbounded));
        let range = range.take_while(move |(key, _)| key.starts_with(prefix));
        range.map(move |(key, changes)| (key, first_since(changes, at)))
    }

    pub(crate) fn check(&self, at: u64) -> Result<(), LostMoment> {
        if at < self.lost_before { Err(LostMoment) } else { Ok(()) }
    }
}

fn first_since(changes: &VecDeque<(u64, Option<Held>)>, at: u64) -> Option<&Option<Held>> {
    changes.get(changes.partition_point(|(number, _)| *number < at)).map(|(_, before)| before)
}

fn cost(key: &str, before: Option<&Held>) -> usize {
    key.len() + before.map_or(0, |(value, _)| value.len()) + OVERHEAD_BYTES
}
