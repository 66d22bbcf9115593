//! Circuit breaker of a handler: calls that would only fail again are refused for a while.
//!
//! The smallest cause that explains the faults is refused, so that one client cannot switch a
//! handler off for all others:
//!
//! | scope | faults | and |
//! |---|---|---|
//! | a session, on one topic | `faults` | |
//! | a session | 4 × `faults` | on `spread` topics |
//! | a client: a user, or the address of anonymous sessions | 20 × `faults` | in `spread` sessions |
//! | a topic | of `faults` clients | at least half of its calls fail |
//! | the handler | of `faults` clients, on `spread` topics | at least half of its calls fail |
//!
//! A fresh instance that does not start is the plugin's own failure, and counts for the handler
//! directly. Timers run for no client: each topic's timer has a circuit of its own. Each scope is a
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
use crate::request::Request;

/// The circuits of one handler, over all lanes of its plugin.
pub(crate) struct CircuitBreaker {
    plugin: String,
    handler: String,
    policy: BreakerPolicy,
    /// Keys are hashes, so that neither a lookup nor an entry copies text. Seeded, so that clients
    /// cannot choose topics that share one.
    hasher: RandomState,
    /// A std mutex: it is held for a few lookups.
    circuits: Mutex<Circuits>,
    /// Whether any call has failed lately. Nearly never, so that nearly no call takes the lock.
    has_failed: AtomicBool,
}

/// The state of a handler's circuit breaker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CircuitStatus {
    /// The plugin's name.
    pub plugin: String,
    /// The handler's name.
    pub handler: String,
    /// Whether the handler itself is called.
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
}

/// The state of one circuit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CircuitState {
    /// Calls pass.
    Closed,
    /// Calls are refused.
    Open,
    /// Calls pass again; the next fault opens the circuit for longer, the next success closes it.
    HalfOpen,
}

impl CircuitStatus {
    /// Whether any calls are refused, or were until shortly.
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
    /// To be logged when the lock is given back.
    news: Vec<News>,
    /// When old circuits are looked for again.
    next_look: Option<Instant>,
}

#[derive(Debug)]
enum News {
    Opened { name: String, opened: Opened },
    Closed { name: String },
}

/// Circuits of one handler. Sessions that fail can be many; those that failed longest ago are
/// forgotten first.
const MAX_CIRCUITS: usize = 256;
/// The time between two looks for circuits that can be forgotten.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

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

    /// Whether the call may be made now.
    ///
    /// # Errors
    /// [`FaultKind::OnHold`]: one of its circuits is open.
    pub(crate) fn admit(
        &self,
        hook: Hook,
        request: &Request<'_>,
        now: Instant,
    ) -> Result<(), FaultKind> {
        if !self.has_failed.load(Ordering::Acquire) {
            return Ok(());
        }
        let call = self.call(request);
        let mut circuits = self.lock();
        circuits.forget(now, self.policy.window);
        let open = call.subjects().find_map(|subject| {
            // A handler that misses the end of a session would count the session for ever.
            let spared = hook == Hook::Unsubscribe && subject.is_of_client();
            let until = circuits.by_subject.get(&subject)?.refuses_until(now)?;
            (!spared).then(|| FaultKind::OnHold { until, scope: subject.scope() })
        });
        self.finish(circuits);
        open.map_or(Ok(()), Err)
    }

    /// A call has failed.
    pub(crate) fn failed(&self, request: &Request<'_>, now: Instant) {
        let call = self.call(request);
        let faults = call.subjects().map(|subject| (subject, subject.rule(&self.policy)));
        self.count(faults, &call, now);
    }

    /// A fresh instance could not be made for the call.
    pub(crate) fn failed_to_start(&self, request: &Request<'_>, now: Instant) {
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
        circuits.forget(now, self.policy.window);
        circuits.faults = circuits.faults.saturating_add(1);
        for (subject, rule) in faults {
            let circuit = circuits.entry(subject, now);
            if let Some(opened) = circuit.fault(now, call.sources(), rule, &self.policy) {
                let name = call.name_of(subject);
                circuits.opened = circuits.opened.saturating_add(1);
                circuits.news.push(News::Opened { name: name.clone(), opened });
                circuits.entry(subject, now).set_name(name);
            }
        }
        self.finish(circuits);
    }

    /// A call has succeeded.
    pub(crate) fn succeeded(&self, request: &Request<'_>) {
        if !self.has_failed.load(Ordering::Acquire) {
            return;
        }
        let now = Instant::now();
        let mut circuits = self.lock();
        circuits.forget(now, self.policy.window);
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

    /// The circuits that are open or half open.
    pub(crate) fn status(&self, now: Instant) -> CircuitStatus {
        let mut circuits = self.lock();
        circuits.forget(now, self.policy.window);
        let mut status = CircuitStatus {
            plugin: self.plugin.clone(),
            handler: self.handler.clone(),
            state: CircuitState::Closed,
            sessions: 0,
            clients: 0,
            topics: 0,
            faults: circuits.faults,
            opened: circuits.opened,
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

    fn call<'a>(&self, request: &'a Request<'a>) -> Call<'a> {
        let topic = self.hasher.hash_one((request.realm, request.topic));
        let source = request.session.map(|caller| (caller.id, caller.client));
        Call { request, topic, source }
    }

    fn lock(&self) -> MutexGuard<'_, Circuits> {
        self.circuits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives the lock back, and logs what has changed.
    fn finish(&self, mut circuits: MutexGuard<'_, Circuits>) {
        self.has_failed.store(!circuits.by_subject.is_empty(), Ordering::Release);
        let news = std::mem::take(&mut circuits.news);
        drop(circuits);
        let Self { plugin, handler, policy, .. } = self;
        for news in news {
            match news {
                News::Opened { name, opened: Opened { again: true, pause, .. } } => warn!(
                    plugin,
                    handler,
                    "circuit breaker opened again for {name}: calls fail after the pause, too; \
                     they are refused for {pause:?}"
                ),
                News::Opened { name, opened: Opened { faults, pause, .. } } => warn!(
                    plugin,
                    handler,
                    "circuit breaker opened for {name}: {faults} faults within {:?}; calls are \
                     refused for {pause:?}",
                    policy.window
                ),
                News::Closed { name } => {
                    warn!(plugin, handler, "circuit breaker closed for {name}");
                }
            }
        }
    }
}

impl Circuits {
    /// The circuit of a subject; another one makes room for it where there are too many.
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

    /// Closes and removes circuits without a fault for long enough. Looks once in a while: calls
    /// would pay for each look.
    fn forget(&mut self, now: Instant, window: Duration) {
        if self.next_look.is_some_and(|at| now < at) {
            return;
        }
        self.next_look = Some(now + LOOK_INTERVAL);
        let is_old = |circuit: &Circuit| circuit.is_forgotten(now, window);
        let old = self.by_subject.iter().filter(|(_, it)| is_old(it)).map(|(subject, _)| *subject);
        for subject in old.collect::<Vec<_>>() {
            self.close(subject);
        }
    }

    fn close(&mut self, subject: Subject) {
        let name = self.by_subject.remove(&subject).and_then(Circuit::into_name);
        self.news.extend(name.map(|name| News::Closed { name }));
    }
}

impl fmt::Debug for CircuitBreaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CircuitBreaker").field("handler", &self.handler).finish_non_exhaustive()
    }
}
