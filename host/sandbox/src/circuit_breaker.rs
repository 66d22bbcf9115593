//! Circuit breaker of a handler: calls that keep failing are refused for a while.
//!
//! The narrowest scope that explains the faults is refused, so that one client cannot disable a
//! handler for all others:
//!
//! | scope | faults | and |
//! |---|---|---|
//! | a session, on one topic | `faults` | |
//! | a session | 4 × `faults` | on `spread` topics |
//! | a client: a user, or the address of anonymous sessions | 20 × `faults` | in `spread` sessions
//! |
//! | a topic | of `faults` clients | at least half of its calls fail |
//! | the handler | of `faults` clients, on `spread` topics | at least half of its calls fail |
//!
//! A fresh instance that does not start is the plugin's own fault, and counts for the handler
//! directly. Timers have no client: each topic's timer has a circuit of its own. Each scope is a
//! [`Circuit`]. Nothing waits here.

mod circuit;
mod subject;

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tracing::warn;

use self::circuit::{Circuit, Opened, Rule};
use self::subject::{Call, Subject};
use crate::fault::FaultKind;
use crate::manifest::Hook;
use crate::policy::BreakerPolicy;
use crate::request::HookRequest;

/// The circuits of one handler, over all lanes of its plugin.
pub(crate) struct CircuitBreaker {
    plugin: String,
    handler: String,
    policy: BreakerPolicy,
    /// Hashes topics and clients to keys, so that neither a lookup nor an entry copies text.
    /// Seeded, so that clients cannot choose topics with the same key.
    hasher: RandomState,
    /// A std mutex, held for a few lookups.
    circuits: Mutex<Circuits>,
    /// Whether there is any circuit; usually false, so that calls take no lock.
    has_failed: AtomicBool,
}

/// The state of a handler's circuit breaker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CircuitStatus {
    /// The plugin's name.
    pub plugin: String,
    /// The handler's name.
    pub handler: String,
    /// The circuit of the whole handler.
    pub state: CircuitState,
    /// Circuits of sessions, and of sessions on one topic, that are open or half open.
    pub sessions: usize,
    /// Circuits of clients that are open or half open.
    pub clients: usize,
    /// Circuits of topics that are open or half open.
    pub topics: usize,
    /// Faults since the plugin was loaded.
    pub faults: u64,
    /// Openings of circuits since the plugin was loaded.
    pub opened: u64,
    /// Those of a topic's circuit and of the handler's: several clients had faults, so no single
    /// client has caused them.
    pub opened_for_all: u64,
}

/// The state of one circuit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CircuitState {
    /// Calls pass.
    Closed,
    /// Calls are refused.
    Open,
    /// Calls pass on trial: the next fault opens the circuit for longer, the next success closes
    /// it.
    HalfOpen,
}

impl CircuitStatus {
    /// Whether any circuit is open or half open.
    pub fn is_open(&self) -> bool {
        self.state != CircuitState::Closed || self.sessions + self.clients + self.topics > 0
    }
}

impl CircuitState {
    /// A short name.
    pub fn label(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

#[derive(Default)]
struct Circuits {
    /// At most [`MAX_CIRCUITS`].
    by_subject: HashMap<Subject, Circuit>,
    faults: u64,
    opened: u64,
    opened_for_all: u64,
    /// State changes, logged after the lock is released.
    transitions: Vec<Transition>,
    /// Time of the next sweep of old circuits.
    next_sweep: Option<Instant>,
}

#[derive(Debug)]
enum Transition {
    Opened { name: String, opened: Opened },
    Closed { name: String },
}

/// Circuits of one handler. The circuit with the oldest fault makes room for another.
const MAX_CIRCUITS: usize = 256;
/// Interval between sweeps of old circuits.
const SWEEP_INTERVAL: Duration = Duration::from_millis(500);

impl CircuitBreaker {
    pub(crate) fn new(plugin: &str, handler: &str, policy: BreakerPolicy) -> Self {
        Self {
            plugin: plugin.to_owned(),
            handler: handler.to_owned(),
            policy,
            hasher: RandomState::new(),
            circuits: Mutex::default(),
            has_failed: AtomicBool::new(false),
        }
    }

    /// Admits a call.
    ///
    /// # Errors
    /// [`FaultKind::CircuitOpen`]: a circuit of the call is open.
    pub(crate) fn admit(
        &self,
        hook: Hook,
        request: &HookRequest<'_>,
        now: Instant,
    ) -> Result<(), FaultKind> {
        if !self.has_failed.load(Ordering::Acquire) {
            return Ok(());
        }
        let call = self.call(request);
        let mut circuits = self.lock();
        circuits.sweep(now, self.policy.window);
        let open = call.subjects().find_map(|subject| {
            // A handler that misses the end of a session would count the session forever.
            let spared = hook == Hook::Unsubscribe && subject.is_of_client();
            let until = circuits.by_subject.get(&subject)?.refuses_until(now)?;
            (!spared).then(|| FaultKind::CircuitOpen { until, scope: subject.scope() })
        });
        self.finish(circuits);
        open.map_or(Ok(()), Err)
    }

    /// Records a failed call.
    pub(crate) fn failed(&self, request: &HookRequest<'_>, now: Instant) {
        let call = self.call(request);
        let faults = call.subjects().map(|subject| (subject, subject.rule(&self.policy)));
        self.count(faults, &call, now);
    }

    /// Records that no fresh instance could be made for the call.
    pub(crate) fn failed_to_start(&self, request: &HookRequest<'_>, now: Instant) {
        let rule = Rule { faults: self.policy.faults, ..Rule::default() };
        self.count([(Subject::Handler, rule)], &self.call(request), now);
    }

    fn count(
        &self,
        faults: impl IntoIterator<Item = (Subject, Rule)>,
        call: &Call<'_>,
        now: Instant,
    ) {
        if !self.policy.enabled {
            return;
        }
        let mut circuits = self.lock();
        circuits.sweep(now, self.policy.window);
        circuits.faults = circuits.faults.saturating_add(1);
        for (subject, rule) in faults {
            let circuit = circuits.entry(subject, now);
            if let Some(opened) = circuit.fault(now, call.sources(), rule, &self.policy) {
                let name = call.name_of(subject);
                circuits.opened = circuits.opened.saturating_add(1);
                // A failure to start an instance has no rule about clients.
                if rule.clients > 0 && !subject.is_of_client() {
                    circuits.opened_for_all = circuits.opened_for_all.saturating_add(1);
                }
                circuits.transitions.push(Transition::Opened { name: name.clone(), opened });
                circuits.entry(subject, now).set_name(name);
            }
        }
        self.finish(circuits);
    }

    /// Records a successful call.
    pub(crate) fn succeeded(&self, request: &HookRequest<'_>) {
        if !self.has_failed.load(Ordering::Acquire) {
            return;
        }
        let now = Instant::now();
        let mut circuits = self.lock();
        circuits.sweep(now, self.policy.window);
        for subject in self.call(request).subjects() {
            let Some(circuit) = circuits.by_subject.get_mut(&subject) else { continue };
            if circuit.is_half_open(now) {
                circuits.close(subject);
            } else {
                circuit.success();
            }
        }
        self.finish(circuits);
    }

    /// Counts circuits that are open or half open.
    pub(crate) fn status(&self, now: Instant) -> CircuitStatus {
        let mut circuits = self.lock();
        circuits.sweep(now, self.policy.window);
        let mut status = CircuitStatus {
            plugin: self.plugin.clone(),
            handler: self.handler.clone(),
            state: CircuitState::Closed,
            sessions: 0,
            clients: 0,
            topics: 0,
            faults: circuits.faults,
            opened: circuits.opened,
            opened_for_all: circuits.opened_for_all,
        };
        for (subject, circuit) in &circuits.by_subject {
            let state = circuit.state(now);
            if state == CircuitState::Closed {
                continue;
            }
            match subject {
                Subject::SessionOnTopic { .. } | Subject::Session(_) => status.sessions += 1,
                Subject::Client(_) => status.clients += 1,
                Subject::Topic(_) => status.topics += 1,
                Subject::Handler => status.state = state,
            }
        }
        self.finish(circuits);
        status
    }

    fn call<'a>(&self, request: &'a HookRequest<'a>) -> Call<'a> {
        let topic = self.hasher.hash_one((request.realm, request.topic));
        let session = request.session.map(|caller| (caller.id, caller.client));
        let login = request.login.map(|login| self.hasher.hash_one(login.address));
        let source = session.or_else(|| login.map(|address| (address, address)));
        Call { request, topic, source }
    }

    fn lock(&self) -> MutexGuard<'_, Circuits> {
        self.circuits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Releases the lock, and logs state changes.
    fn finish(&self, mut circuits: MutexGuard<'_, Circuits>) {
        self.has_failed.store(!circuits.by_subject.is_empty(), Ordering::Release);
        let transitions = std::mem::take(&mut circuits.transitions);
        drop(circuits);
        let Self { plugin, handler, policy, .. } = self;
        for transitions in transitions {
            match transitions {
                Transition::Opened { name, opened: Opened { again: true, pause, .. } } => warn!(
                    name: "breaker.reopened",
                    plugin,
                    handler,
                    "circuit breaker opened again for {name}: calls still fail after the pause; \
                     refusing them for {pause:?}"
                ),
                Transition::Opened { name, opened: Opened { faults, pause, .. } } => warn!(
                    name: "breaker.opened",
                    plugin,
                    handler,
                    "circuit breaker opened for {name}: {faults} fault{} within {:?}; \
                     refusing calls for {pause:?}",
                    if faults == 1 { "" } else { "s" },
                    policy.window
                ),
                Transition::Closed { name } => {
                    warn!(name: "breaker.closed", plugin, handler, "circuit breaker closed for {name}");
                }
            }
        }
    }
}

impl Circuits {
    /// The circuit of a subject, replacing the oldest one if there are too many.
    fn entry(&mut self, subject: Subject, now: Instant) -> &mut Circuit {
        if self.by_subject.len() >= MAX_CIRCUITS && !self.by_subject.contains_key(&subject) {
            let others = self.by_subject.iter().filter(|(it, _)| **it != Subject::Handler);
            let oldest = others.min_by_key(|(_, it)| (it.has_opened(), it.last_fault()));
            if let Some(oldest) = oldest.map(|(subject, _)| *subject) {
                self.close(oldest);
            }
        }
        self.by_subject.entry(subject).or_insert_with(|| Circuit::new(now))
    }

    /// Closes and removes circuits without a recent fault, once per interval.
    fn sweep(&mut self, now: Instant, window: Duration) {
        if self.next_sweep.is_some_and(|at| now < at) {
            return;
        }
        self.next_sweep = Some(now + SWEEP_INTERVAL);
        let is_old = |circuit: &Circuit| circuit.is_forgotten(now, window);
        let old = self.by_subject.iter().filter(|(_, it)| is_old(it)).map(|(subject, _)| *subject);
        for subject in old.collect::<Vec<_>>() {
            self.close(subject);
        }
    }

    fn close(&mut self, subject: Subject) {
        let name = self.by_subject.remove(&subject).and_then(Circuit::into_name);
        self.transitions.extend(name.map(|name| Transition::Closed { name }));
    }
}

impl fmt::Debug for CircuitBreaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CircuitBreaker").field("handler", &self.handler).finish_non_exhaustive()
    }
}
