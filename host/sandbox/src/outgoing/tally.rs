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

/// Why an effect is not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NotAccepted {
    /// Too many wait for their answers.
    Busy,
    /// The operator does not allow it, for this reason.
    Denied(String),
}

/// A place among the effects that wait for an answer; given back when it is dropped.
#[derive(Debug)]
pub struct Permit {
    tally: Arc<Tally>,
    kind: OutgoingKind,
    /// The number of its effect, from 1: recordings find the answer to an effect by it.
    number: u64,
    is_held: bool,
}

/// The last number of an effect in this process. Relaxed: each is given out once.
static LAST_NUMBER: AtomicU64 = AtomicU64::new(0);

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
        let tally = Arc::new(Tally::new(Arc::clone(&self.total)));
        tallies.insert(plugin.to_owned(), Arc::clone(&tally));
        tally
    }

    /// Requests and calls of all plugins that wait, and their limit.
    pub(crate) fn total(&self) -> (usize, usize) {
        (self.total.in_flight.load(Ordering::Relaxed), self.total.limit)
    }
}

impl Tally {
    /// A tally of a plugin that does not serve: it takes no place of those that do.
    pub(crate) fn apart() -> Arc<Self> {
        let total = Total { limit: usize::MAX, in_flight: AtomicUsize::new(0) };
        Arc::new(Self::new(Arc::new(total)))
    }

    fn new(total: Arc<Total>) -> Self {
        Self {
            http: Count::default(),
            calls: Count::default(),
            later: Count::default(),
            deferred: Waiting::default(),
            total,
        }
    }

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
        let number = LAST_NUMBER.fetch_add(1, Ordering::Relaxed) + 1;
        Some(Permit { tally: Arc::clone(self), kind, number, is_held: true })
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
    /// A permit of an effect that is compared and never performed. It takes no place.
    pub(crate) fn of_replay(kind: OutgoingKind, number: u64) -> Self {
        Self { tally: Tally::apart(), kind, number, is_held: false }
    }

    /// The number of the effect in this process.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Counts an answer that no hook receives.
    pub fn drop_answer(&self) {
        self.tally.drop_answer(self.kind);
    }
}

/// A copy, such as one in a recording, holds no place.
impl Clone for Permit {
    fn clone(&self) -> Self {
        let Self { tally, kind, number, .. } = self;
        Self { tally: Arc::clone(tally), kind: *kind, number: *number, is_held: false }
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

    #[test]
    fn plugins_that_do_not_serve_take_no_place() {
        let tallies = Tallies::new(1);
        let shadow = Tally::apart();
        let waiting = [OutgoingKind::Http, OutgoingKind::Call].map(|kind| shadow.permit(kind, 9));
        assert!(waiting.iter().all(Option::is_some));
        assert_eq!(tallies.total(), (0, 1));
        assert!(tallies.of("serving").permit(OutgoingKind::Http, 1).is_some());
    }
}
