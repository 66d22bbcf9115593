//! Script of a replayed call: the recorded answers of the host, and what they lack.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::UNIX_EPOCH;

use jackfield_text::Untrusted;

use crate::call_record::{Acceptance, CallRecord, EffectsAccepted, StoreSeen};
use crate::fetch_record::FetchRecord;
use crate::outgoing::request::HttpError;
use crate::outgoing::tally::{NotAccepted, OutgoingKind, Permit};

/// The recorded answers of one call.
pub(super) struct Script {
    wall_clock: Clock,
    monotonic_clock: Clock,
    subscribers: BTreeMap<String, VecDeque<Vec<u64>>>,
    counts: BTreeMap<String, VecDeque<u32>>,
    fetched: BTreeMap<String, VecDeque<FetchRecord>>,
    accepted: Accepted,
    store: StoreSeen,
    /// Whether the whole store is behind the record.
    has_store: bool,
    unrecorded: BTreeSet<String>,
}

/// The answers to effects, in their order.
struct Accepted {
    requests: VecDeque<Acceptance>,
    calls: VecDeque<Acceptance>,
    deferred: VecDeque<Option<u64>>,
    completed: VecDeque<(u64, bool)>,
}

/// The readings of a clock. After the last one, it goes on by a microsecond a reading.
struct Clock {
    readings: VecDeque<u64>,
    next: u64,
}

/// A clock that was not read before goes on from here, in nanoseconds.
const MONOTONIC_START_NS: u64 = 1_000_000_000;
/// The number of a result that only the replayed version defers. No server gives it out.
const UNRECORDED_RESULT: u64 = 0;
/// Nanoseconds from one reading to the next that is not recorded.
const STEP_NS: u64 = 1_000;
/// The maximum number of unrecorded answers that are named.
const MAX_UNRECORDED: usize = 100;
/// The maximum size of a name among them, in bytes.
const MAX_NAME_BYTES: usize = 200;

impl Script {
    pub(super) fn new(record: &CallRecord, has_store: bool) -> Self {
        let answers = &record.answers;
        let began = record.began.duration_since(UNIX_EPOCH).unwrap_or_default();
        let began = u64::try_from(began.as_nanos()).unwrap_or(u64::MAX);
        Self {
            wall_clock: Clock::new(&answers.wall_clock, began),
            monotonic_clock: Clock::new(&answers.monotonic_clock, MONOTONIC_START_NS),
            subscribers: by_name(&answers.subscribers),
            counts: by_name(&answers.counts),
            fetched: by_name(&answers.fetched),
            accepted: Accepted::new(&answers.accepted),
            store: answers.store.clone(),
            has_store,
            unrecorded: BTreeSet::new(),
        }
    }

    pub(super) fn wall_clock(&mut self) -> u64 {
        self.wall_clock.read()
    }

    pub(super) fn monotonic_clock(&mut self) -> u64 {
        self.monotonic_clock.read()
    }

    pub(super) fn peek_monotonic(&self) -> u64 {
        self.monotonic_clock.peek()
    }

    /// Lets time pass on clocks whose readings are used up.
    pub(super) fn skip(&mut self, nanoseconds: u64) {
        for clock in [&mut self.wall_clock, &mut self.monotonic_clock] {
            clock.next = clock.next.saturating_add(nanoseconds);
        }
    }

    pub(super) fn subscribers(&mut self, topic: &str) -> Vec<u64> {
        let answer = self.subscribers.get_mut(topic).and_then(next);
        answer.unwrap_or_else(|| {
            self.note("subscribers of", topic);
            Vec::new()
        })
    }

    pub(super) fn count(&mut self, topic: &str) -> u32 {
        let listed = || Some(self.subscribers.get(topic)?.front()?.len());
        let counted = self.counts.get_mut(topic).and_then(next);
        let answer = counted.or_else(|| listed().and_then(|count| u32::try_from(count).ok()));
        answer.unwrap_or_else(|| {
            self.note("subscribers of", topic);
            0
        })
    }

    pub(super) fn fetched(&mut self, server: &str) -> FetchRecord {
        let answer = self.fetched.get_mut(server).and_then(next);
        answer.unwrap_or_else(|| {
            self.note("the answer to", server);
            FetchRecord::Failed(HttpError::Unreachable("the answer is not recorded".to_owned()))
        })
    }

    /// Whether a request or a call is accepted. For one that is not recorded there is a place, unless
    /// the settings of the replay deny it.
    pub(super) fn accept(
        &mut self,
        kind: OutgoingKind,
        denied: Option<String>,
    ) -> Result<Permit, NotAccepted> {
        let recorded = match kind {
            OutgoingKind::Http => self.accepted.requests.pop_front(),
            OutgoingKind::Call => self.accepted.calls.pop_front(),
            OutgoingKind::Deferred => None,
        };
        match recorded.or(denied.map(Acceptance::Denied)) {
            Some(Acceptance::Place(true)) | None => Ok(Permit::of_replay(kind, 0)),
            Some(Acceptance::Place(false)) => Err(NotAccepted::Busy),
            Some(Acceptance::Denied(text)) => Err(NotAccepted::Denied(text)),
        }
    }

    /// The number of a deferred result; none if there was no place.
    pub(super) fn deferred(&mut self) -> Option<u64> {
        self.accepted.deferred.pop_front().unwrap_or(Some(UNRECORDED_RESULT))
    }

    /// Whether the caller of a deferred result waited.
    pub(super) fn is_awaited(&mut self, number: u64) -> bool {
        let place = self.accepted.completed.iter().position(|it| it.0 == number);
        let recorded = place.and_then(|place| self.accepted.completed.remove(place));
        recorded.map_or_else(
            || {
                self.note("deferred result", &number.to_string());
                false
            },
            |it| it.1,
        )
    }

    pub(super) fn touch(&mut self, key: &str) {
        if !self.has_store && !self.store.knows(key) {
            self.note("store key", key);
        }
    }

    pub(super) fn list(&mut self, prefix: &str) {
        if !self.has_store && !self.store.knows_all(prefix) {
            self.note("store keys that begin with", prefix);
        }
    }

    /// What was asked for and is not recorded.
    pub(super) fn unrecorded(self) -> Vec<String> {
        self.unrecorded.into_iter().collect()
    }

    fn note(&mut self, kind: &str, name: &str) {
        if self.unrecorded.len() < MAX_UNRECORDED {
            let name = Untrusted::new(name).at_most(MAX_NAME_BYTES);
            self.unrecorded.insert(format!("{kind} {name}"));
        }
    }
}

impl Accepted {
    fn new(recorded: &EffectsAccepted) -> Self {
        let EffectsAccepted { requests, calls, deferred, completed } = recorded;
        Self {
            requests: requests.iter().cloned().collect(),
            calls: calls.iter().cloned().collect(),
            deferred: deferred.iter().copied().collect(),
            completed: completed.iter().copied().collect(),
        }
    }
}

impl Clock {
    fn new(readings: &[u64], start: u64) -> Self {
        Self { readings: readings.iter().copied().collect(), next: start }
    }

    fn read(&mut self) -> u64 {
        let now = self.readings.pop_front().unwrap_or(self.next);
        self.next = now.saturating_add(STEP_NS).max(self.next);
        now
    }

    fn peek(&self) -> u64 {
        self.readings.front().copied().unwrap_or(self.next)
    }
}

fn by_name<T: Clone>(answers: &[(String, T)]) -> BTreeMap<String, VecDeque<T>> {
    let mut by_name: BTreeMap<String, VecDeque<T>> = BTreeMap::new();
    for (name, answer) in answers {
        by_name.entry(name.clone()).or_default().push_back(answer.clone());
    }
    by_name
}

/// The next answer; the last one again and again.
fn next<T: Clone>(answers: &mut VecDeque<T>) -> Option<T> {
    if answers.len() > 1 { answers.pop_front() } else { answers.front().cloned() }
}
