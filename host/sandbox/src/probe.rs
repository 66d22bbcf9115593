//! Probe of one call: keeps the host's answers to its imports. In a replay, a [`Script`] gives the
//! recorded answers instead.
//!
//! Random numbers of a probed call are those of a generator with a fresh seed, so that the seed is
//! all that has to be kept. Clocks are not stopped: a plugin that waits for them would never end.

mod script;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Instant, SystemTime};

use chacha20::ChaCha20Rng;
use chacha20::rand_core::SeedableRng as _;

use crate::call_record::{
    Acceptance, AnswerContent, CallCost, CallInput, CallOutcome, CallRecord, EffectAnswer,
    HookAnswer, HostAnswers, ListedRange, PluginVersion, StoreWrite,
};
use crate::effect::Effect;
use crate::fetch_record::FetchRecord;
use crate::observer::CallObserver;
use crate::outgoing::deferred::Later;
use crate::outgoing::request::{HttpError, HttpResponse};
use crate::outgoing::tally::{NotAccepted, OutgoingKind, Permit};
use crate::store::moment::StoreMoment;
use crate::store_value::StoreValue;
use script::Script;

/// The probe of one call.
pub(crate) struct Probe {
    version: Arc<PluginVersion>,
    began: SystemTime,
    clock: Instant,
    input: CallInput,
    answers: HostAnswers,
    writes: BTreeMap<String, Written>,
    random: ChaCha20Rng,
    /// Bytes that may still be kept.
    room: usize,
    is_whole: bool,
    script: Option<Script>,
    sink: Sink,
}

/// The value of a key after a write, with its time to live in milliseconds.
type Written = (Option<StoreValue>, Option<u64>);

/// The receiver of the record.
enum Sink {
    /// With the store as of the beginning of the call, if one needs it.
    Observers(Vec<Arc<dyn CallObserver>>, Option<StoreMoment>),
    Replay(ReplaySlot),
}

/// The place for the result of a replayed call.
pub(crate) type ReplaySlot = Arc<Mutex<Option<Replayed>>>;

/// The result of a replayed call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replayed {
    /// What came of it.
    pub outcome: CallOutcome,
    /// What it cost.
    pub cost: CallCost,
    /// What the plugin asked for and the record has no answer to; keys of the store were absent.
    pub unrecorded: Vec<String>,
    /// Whether all that the call saw and wrote could be kept.
    pub is_whole: bool,
}

/// The maximum size of the host's answers to one call, and of its writes, in bytes.
const MAX_ANSWER_BYTES: usize = 4 << 20;
/// Memory of an answer besides its texts, in bytes.
const OVERHEAD_BYTES: usize = 64;

impl Probe {
    /// A probe for observers; none if the operating system has no random numbers.
    pub(crate) fn new(
        version: &Arc<PluginVersion>,
        input: CallInput,
        observers: Vec<Arc<dyn CallObserver>>,
        store: Option<StoreMoment>,
    ) -> Option<Box<Self>> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).ok()?;
        let sink = Sink::Observers(observers, store);
        Some(Self::with(version, SystemTime::now(), input, seed, sink))
    }

    /// A probe that replays a call.
    /// `has_store` tells that the whole store is behind the record.
    pub(crate) fn replay(record: &CallRecord, slot: &ReplaySlot, has_store: bool) -> Box<Self> {
        let (input, seed) = (record.input.clone(), record.answers.seed);
        let sink = Sink::Replay(Arc::clone(slot));
        let mut probe = Self::with(&record.version, record.began, input, seed, sink);
        probe.script = Some(Script::new(record, has_store));
        probe
    }

    fn with(
        version: &Arc<PluginVersion>,
        began: SystemTime,
        input: CallInput,
        seed: [u8; 32],
        sink: Sink,
    ) -> Box<Self> {
        Box::new(Self {
            version: Arc::clone(version),
            began,
            clock: Instant::now(),
            input,
            answers: HostAnswers { seed, ..HostAnswers::default() },
            writes: BTreeMap::new(),
            random: ChaCha20Rng::from_seed(seed),
            room: MAX_ANSWER_BYTES,
            is_whole: true,
            script: None,
            sink,
        })
    }

    pub(crate) fn is_replay(&self) -> bool {
        self.script.is_some()
    }

    /// The name of the realm.
    pub(crate) fn realm(&self) -> &str {
        &self.input.realm
    }

    /// The source of all random numbers of the call.
    pub(crate) fn random(&mut self) -> &mut ChaCha20Rng {
        &mut self.random
    }

    /// A reading of the wall clock in nanoseconds.
    pub(crate) fn wall_clock(&mut self, now: u64) -> u64 {
        let now = self.script.as_mut().map_or(now, Script::wall_clock);
        if self.takes(size_of::<u64>()) {
            self.answers.wall_clock.push(now);
        }
        now
    }

    /// A reading of the monotonic clock in nanoseconds.
    pub(crate) fn monotonic_clock(&mut self, now: u64) -> u64 {
        let now = self.script.as_mut().map_or(now, Script::monotonic_clock);
        if self.takes(size_of::<u64>()) {
            self.answers.monotonic_clock.push(now);
        }
        now
    }

    /// The plugin waits for the monotonic clock: a replay does not.
    pub(crate) fn skip(&mut self, nanoseconds: u64) {
        if let Some(script) = &mut self.script {
            script.skip(nanoseconds);
        }
    }

    /// The next reading of the monotonic clock in a replay, which does not count as one.
    pub(crate) fn peek_monotonic(&self) -> u64 {
        self.script.as_ref().map_or(0, Script::peek_monotonic)
    }

    /// The subscribers of a topic.
    pub(crate) fn subscribers(&mut self, topic: &str, now: impl FnOnce() -> Vec<u64>) -> Vec<u64> {
        let ids = match &mut self.script {
            Some(script) => script.subscribers(topic),
            None => now(),
        };
        if self.takes(topic.len() + ids.len() * size_of::<u64>()) {
            self.answers.subscribers.push((topic.to_owned(), ids.clone()));
        }
        ids
    }

    /// The number of subscribers of a topic.
    pub(crate) fn count(&mut self, topic: &str, now: impl FnOnce() -> u32) -> u32 {
        let count = match &mut self.script {
            Some(script) => script.count(topic),
            None => now(),
        };
        if self.takes(topic.len()) {
            self.answers.counts.push((topic.to_owned(), count));
        }
        count
    }

    /// The answer to a request of HTTP that the hook has waited for. A replay sends none.
    pub(crate) fn fetched(
        &mut self,
        server: String,
        now: impl FnOnce() -> Result<HttpResponse, HttpError>,
    ) -> Result<HttpResponse, HttpError> {
        let record = match &mut self.script {
            Some(script) => script.fetched(&server),
            None => FetchRecord::from(now()),
        };
        if self.takes(server.len() + record.len()) {
            self.answers.fetched.push((server, record.clone()));
        }
        record.into()
    }

    /// The hook is called with the answer to an effect.
    pub(crate) fn answered(&mut self, number: u64, context: &[u8], received: AnswerContent) {
        let context = StoreValue(context.to_vec());
        let answer = EffectAnswer { number, context, received };
        if self.takes(answer.len()) {
            self.input.answer = Some(answer);
        }
    }

    /// A place among the effects of this kind that wait, unless the effect is denied. A replay takes
    /// no place, and has the recorded answer.
    pub(crate) fn permit(
        &mut self,
        kind: OutgoingKind,
        denied: Option<String>,
        now: impl FnOnce() -> Result<Permit, NotAccepted>,
    ) -> Result<Permit, NotAccepted> {
        let answer = match (&mut self.script, denied) {
            (Some(script), denied) => script.accept(kind, denied),
            (None, Some(denied)) => Err(NotAccepted::Denied(denied)),
            (None, None) => now(),
        };
        let acceptance = Acceptance::from(&answer);
        if self.takes(acceptance.len()) {
            let accepted = &mut self.answers.accepted;
            match kind {
                OutgoingKind::Http => accepted.requests.push(acceptance),
                OutgoingKind::Call => accepted.calls.push(acceptance),
                OutgoingKind::Deferred => {}
            }
        }
        answer
    }

    /// A deferred result; none if too many wait. Nothing waits for that of a replay.
    pub(crate) fn deferred(&mut self, now: impl FnOnce() -> Option<Later>) -> Option<Later> {
        let later = match &mut self.script {
            Some(script) => script.deferred().map(Later::of_replay),
            None => now(),
        };
        if self.takes(size_of::<u64>()) {
            self.answers.accepted.deferred.push(later.as_ref().map(Later::number));
        }
        later
    }

    /// Whether the caller of a deferred result waits.
    pub(crate) fn is_awaited(&mut self, number: u64, now: impl FnOnce() -> bool) -> bool {
        let is_awaited = match &mut self.script {
            Some(script) => script.is_awaited(number),
            None => now(),
        };
        if self.takes(size_of::<u64>()) {
            self.answers.accepted.completed.push((number, is_awaited));
        }
        is_awaited
    }

    /// The plugin is about to write: what is left of the quota before the first write.
    pub(crate) fn room(&mut self, now: impl FnOnce() -> usize) {
        if self.answers.store.room.is_none() {
            self.answers.store.room = Some(now());
        }
    }

    /// The plugin is about to use a key, which holds this value.
    pub(crate) fn touch(&mut self, key: &str, value: impl FnOnce() -> Option<Vec<u8>>) {
        // What it has written itself is no answer of the host.
        if self.answers.store.values.contains_key(key) || self.writes.contains_key(key) {
            return;
        }
        if let Some(script) = &mut self.script {
            script.touch(key);
        }
        let value = value();
        if self.takes(key.len() + value.as_ref().map_or(0, Vec::len)) {
            self.answers.store.values.insert(key.to_owned(), value.map(StoreValue));
        }
    }

    /// The plugin has listed these keys.
    pub(crate) fn listed(&mut self, prefix: &str, limit: u32, found: &[(String, Vec<u8>)]) {
        if let Some(script) = &mut self.script {
            script.list(prefix);
        }
        for (key, value) in found {
            self.touch(key, || Some(value.clone()));
        }
        let is_cut = u32::try_from(found.len()).is_ok_and(|count| count >= limit);
        let last = found.last().map(|(key, _)| key.clone()).filter(|_| is_cut);
        let is_empty = is_cut && last.is_none();
        if !is_empty && self.takes(prefix.len() + last.as_ref().map_or(0, String::len)) {
            let range = ListedRange { prefix: prefix.to_owned(), last };
            if !self.answers.store.ranges.contains(&range) {
                self.answers.store.ranges.push(range);
            }
        }
    }

    /// The plugin has written a key.
    pub(crate) fn wrote(&mut self, key: &str, value: Option<Vec<u8>>, ttl_ms: Option<u64>) {
        if !self.takes(key.len() + value.as_ref().map_or(0, Vec::len)) {
            return;
        }
        let written = (value.map(StoreValue), ttl_ms);
        match self.writes.entry(key.to_owned()) {
            Entry::Vacant(place) => drop(place.insert(written)),
            Entry::Occupied(mut place) => drop(place.insert(written)),
        }
    }

    /// The call has ended.
    pub(crate) fn end(mut self: Box<Self>, answer: HookAnswer, effects: &[Effect], memory: usize) {
        let has_failed = matches!(answer, HookAnswer::Fault(_));
        let writes = if has_failed { BTreeMap::new() } else { std::mem::take(&mut self.writes) };
        let write = |(key, (value, ttl_ms))| StoreWrite { key, value, ttl_ms };
        let outcome = CallOutcome {
            answer,
            effects: effects.to_vec(),
            writes: writes.into_iter().map(write).collect(),
        };
        let took_ns = u64::try_from(self.clock.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let cost = CallCost { took_ns, memory };
        let Self { version, began, input, answers, is_whole, script, sink, .. } = *self;
        match sink {
            Sink::Observers(observers, store) => {
                let record = CallRecord { version, began, input, answers, outcome, cost, is_whole };
                let record = Arc::new(record);
                for observer in observers {
                    match store.as_ref().filter(|_| observer.needs_store()) {
                        Some(store) => observer.observe_with_store(&record, store),
                        None => observer.observe(&record),
                    }
                }
            }
            Sink::Replay(slot) => {
                let unrecorded = script.map(Script::unrecorded).unwrap_or_default();
                let replayed = Replayed { outcome, cost, unrecorded, is_whole };
                *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(replayed);
            }
        }
    }

    /// Whether there is room for an answer of so many bytes, which is taken.
    fn takes(&mut self, bytes: usize) -> bool {
        match self.room.checked_sub(bytes.saturating_add(OVERHEAD_BYTES)) {
            Some(room) => self.room = room,
            None => self.is_whole = false,
        }
        self.is_whole
    }
}

#[cfg(test)]
mod tests;
