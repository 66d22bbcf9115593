//! Tally of a plugin's effects with an answer: permits bound how many wait, and counters tell the
//! operator of the others. All versions of a plugin share one.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::waiting::Waiting;

/// A kind of effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutgoingKind {
    /// A request of HTTP.
    Http,
    /// A call of a procedure.
    Call,
    /// A deferred result.
    Deferred,
}

/// The tallies of all plugins, by name.
#[derive(Debug, Clone)]
pub(crate) struct Tallies {
    /// A std mutex, held for a look-up when a plugin is loaded.
    by_plugin: Arc<Mutex<HashMap<String, Arc<Tally>>>>,
    total: Arc<Total>,
}

/// Requests and calls of all plugins that wait.
#[derive(Debug)]
struct Total {
    limit: usize,
    in_flight: AtomicUsize,
}

/// The tally of one plugin.
#[derive(Debug)]
pub(crate) struct Tally {
    http: Count,
    calls: Count,
    later: Count,
    pub(crate) deferred: Waiting,
    total: Arc<Total>,
}

#[derive(Debug, Default)]
struct Count {
    in_flight: AtomicUsize,
    accepted: AtomicU64,
    refused: AtomicU64,
    dropped: AtomicU64,
}

/// The numbers of one kind of effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OutgoingCount {
    /// Waiting for their answer.
    pub in_flight: usize,
    /// Accepted since the server's start.
    pub accepted: u64,
    /// Refused: not granted, malformed, or too many at once.
    pub refused: u64,
    /// Answers that no hook has received.
    pub dropped: u64,
}

/// A place among the effects that wait for an answer; given back when it is dropped.
#[derive(Debug)]
pub struct Permit {
    tally: Arc<Tally>,
    kind: OutgoingKind,
    is_held: bool,
}

impl Tallies {
    pub(crate) fn new(limit: usize) -> Self {
        let total = Total { limit, in_flight: AtomicUsize::new(0) };
        Self { by_plugin: Arc::default(), total: Arc::new(total) }
    }

    /// The tally of the plugin of this name.
    pub(crate) fn of(&self, plugin: &str) -> Arc<Tally> {
        let mut tallies = lock(&self.by_plugin);
        if let Some(tally) = tallies.get(plugin) {
            return Arc::clone(tally);
        }
        let tally = self.spare();
        tallies.insert(plugin.to_owned(), Arc::clone(&tally));
        tally
    }

    /// A tally of a plugin whose name is not known yet.
    pub(crate) fn spare(&self) -> Arc<Tally> {
        Arc::new(Tally {
            http: Count::default(),
            calls: Count::default(),
            later: Count::default(),
            deferred: Waiting::default(),
            total: Arc::clone(&self.total),
        })
    }

    /// Requests and calls of all plugins that wait, and their limit.
    pub(crate) fn total(&self) -> (usize, usize) {
        (self.total.in_flight.load(Ordering::Relaxed), self.total.limit)
    }
}

impl Tally {
    /// The numbers of a kind.
    pub(crate) fn count(&self, kind: OutgoingKind) -> OutgoingCount {
        let count = self.counts(kind);
        OutgoingCount {
            in_flight: count.in_flight.load(Ordering::Relaxed),
            accepted: count.accepted.load(Ordering::Relaxed),
            refused: count.refused.load(Ordering::Relaxed),
            dropped: count.dropped.load(Ordering::Relaxed),
        }
    }

    /// A permit, if fewer than `limit` effects of the kind wait, and fewer than the total of all
    /// plugins. A refusal is counted.
    pub(crate) fn permit(self: &Arc<Self>, kind: OutgoingKind, limit: usize) -> Option<Permit> {
        let count = self.counts(kind);
        if !take(&count.in_flight, limit) {
            self.refuse(kind);
            return None;
        }
        // From here on, a permit that is dropped gives back what it has taken.
        let is_total = kind != OutgoingKind::Deferred;
        if is_total && !take(&self.total.in_flight, self.total.limit) {
            count.in_flight.fetch_sub(1, Ordering::Relaxed);
            self.refuse(kind);
            return None;
        }
        count.accepted.fetch_add(1, Ordering::Relaxed);
        Some(Permit { tally: Arc::clone(self), kind, is_held: true })
    }

    /// Counts an effect that is refused.
    pub(crate) fn refuse(&self, kind: OutgoingKind) {
        self.counts(kind).refused.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts an answer that no hook receives.
    pub(crate) fn drop_answer(&self, kind: OutgoingKind) {
        self.counts(kind).dropped.fetch_add(1, Ordering::Relaxed);
    }

    fn counts(&self, kind: OutgoingKind) -> &Count {
        match kind {
            OutgoingKind::Http => &self.http,
            OutgoingKind::Call => &self.calls,
            OutgoingKind::Deferred => &self.later,
        }
    }
}

impl Permit {
    /// Counts an answer that no hook receives.
    pub fn drop_answer(&self) {
        self.tally.drop_answer(self.kind);
    }
}

/// A copy, such as one in a recording, holds no place.
impl Clone for Permit {
    fn clone(&self) -> Self {
        Self { tally: Arc::clone(&self.tally), kind: self.kind, is_held: false }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if !self.is_held {
            return;
        }
        self.tally.counts(self.kind).in_flight.fetch_sub(1, Ordering::Relaxed);
        if self.kind != OutgoingKind::Deferred {
            self.tally.total.in_flight.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// Permits of one kind are alike.
impl PartialEq for Permit {
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind
    }
}

impl Eq for Permit {}

/// Takes one of `limit`. Relaxed, as the counter guards no other memory.
fn take(counter: &AtomicUsize, limit: usize) -> bool {
    let more = |used: usize| (used < limit).then_some(used + 1);
    counter.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
}

/// A panic under these locks cannot leave a map inconsistent.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_each_plugin_and_all_together() {
        let tallies = Tallies::new(3);
        let (one, other) = (tallies.of("one"), tallies.of("other"));
        let first = one.permit(OutgoingKind::Http, 2).unwrap();
        let _second = one.permit(OutgoingKind::Http, 2).unwrap();
        assert_eq!(one.permit(OutgoingKind::Http, 2), None, "the limit of the plugin");
        let _third = other.permit(OutgoingKind::Call, 2).unwrap();
        assert_eq!(other.permit(OutgoingKind::Call, 2), None, "the limit of all");
        let deferred = other.permit(OutgoingKind::Deferred, 1);
        assert!(deferred.is_some(), "deferred results use no connection");
        let copy = first.clone();
        drop(first);
        drop(copy);
        assert!(other.permit(OutgoingKind::Call, 2).is_some());
        let count = tallies.of("one").count(OutgoingKind::Http);
        let expected = OutgoingCount { in_flight: 1, accepted: 2, refused: 1, dropped: 0 };
        assert_eq!(count, expected, "a later version counts on");
        assert_eq!(tallies.total(), (2, 3));
    }
}
