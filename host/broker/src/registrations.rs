//! Registrations of one realm: one for each URI and match policy, shared by several callees where
//! all of them allow it. WAMP v2 specification, sections "Pattern-based Registrations" and "Shared
//! Registration".

use std::cell::Cell;
use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use jackfield_wamp::id::{RegistrationId, SessionId};
use jackfield_wamp::message::{InvocationPolicy, RegisterOptions};
use jackfield_wamp::uri::MatchPolicy;

use crate::changes::{Change, Clock, Facts, IdLists};
use crate::client_key::ClientKey;
use crate::quota::{Quota, QuotaError, Usage};
use crate::session::Session;
use crate::uri_table::{Key, UriTable};

/// The registrations of one realm.
#[derive(Default)]
pub(crate) struct Registrations {
    table: UriTable<Registration>,
    by_id: HashMap<RegistrationId, Key>,
    last_id: u64,
    /// Different wildcards, each charged to the client of one of its callees.
    wildcards: Usage,
    clock: Clock,
    /// Changes since the last look.
    changes: Vec<Change>,
}

/// One registration and its callees.
struct Registration {
    id: RegistrationId,
    invoke: InvocationPolicy,
    /// Whether it is a prefix or wildcard, so that the INVOCATION must name the procedure.
    pattern: bool,
    /// The client whose quota of wildcards it counts towards: always that of a callee.
    charged: ClientKey,
    /// The time of the first callee, since the Unix epoch.
    created: Duration,
    /// The callees in the order of registration.
    callees: Vec<Callee>,
    /// The place of the callee after the last one that was chosen round-robin.
    turns: Cell<usize>,
}

/// A session with a registered procedure.
#[derive(Clone)]
pub(crate) struct Callee {
    pub(crate) session: Arc<Session>,
    /// Whether the callee asked for the identity of its callers.
    pub(crate) disclose_caller: bool,
    /// Whether the callee asked for the timeouts of calls, to keep them itself.
    forward_timeout: bool,
    /// The most calls that the callee handles at the same time.
    concurrency: Option<NonZeroU32>,
    pub(crate) load: Load,
}

/// The number of pending calls of one callee of a registration.
#[derive(Clone, Default)]
pub(crate) struct Load(Arc<AtomicU32>);

/// One pending call of a callee. It counts until it is dropped.
pub(crate) struct Busy(Load);

impl Load {
    /// Counts one more call.
    pub(crate) fn busy(&self) -> Busy {
        self.0.fetch_add(1, Ordering::Relaxed);
        Busy(self.clone())
    }

    fn calls(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Callee {
    /// Returns whether the dealer leaves timeouts to the callee.
    pub(crate) fn forwards_timeout(&self) -> bool {
        self.forward_timeout && self.session.features.call_timeout
    }

    fn is_free(&self) -> bool {
        self.concurrency.is_none_or(|limit| self.load.calls() < limit.get())
    }
}

/// The callee chosen for a call.
pub(crate) struct ChosenCallee {
    pub(crate) registration: RegistrationId,
    pub(crate) pattern: bool,
    /// Whether the registration has further callees.
    pub(crate) shared: bool,
    pub(crate) callee: Callee,
}

impl Registration {
    /// Returns the callee that the policy selects among the free candidates that are left. `None`
    /// without a candidate.
    fn choose(
        &self,
        is_candidate: impl Fn(&Callee) -> bool,
        is_left: impl Fn(&Callee) -> bool,
        chance: u64,
    ) -> Option<Result<ChosenCallee, ChooseError>> {
        let Self { id, invoke, pattern, callees, turns, charged: _, created: _ } = self;
        let candidates = || callees.iter().enumerate().filter(|(_, callee)| is_candidate(callee));
        candidates().next()?;
        let free = || candidates().filter(|(_, callee)| is_left(callee) && callee.is_free());
        let chosen = match invoke {
            InvocationPolicy::Single | InvocationPolicy::First => free().next(),
            InvocationPolicy::Last => free().next_back(),
            InvocationPolicy::RoundRobin => {
                let turn = turns.get();
                let chosen = free().find(|(place, _)| *place >= turn).or_else(|| free().next());
                turns.set(chosen.map_or(turn, |(place, _)| place + 1));
                chosen
            }
            InvocationPolicy::Random => {
                let place = chance.checked_rem(free().count() as u64);
                place.and_then(|it| free().nth(usize::try_from(it).unwrap_or_default()))
            }
            InvocationPolicy::LeastLoaded => free().min_by_key(|(_, callee)| callee.load.calls()),
        };
        let Some((_, callee)) = chosen else {
            let limit = candidates().find_map(|(_, callee)| callee.concurrency);
            return Some(Err(ChooseError::Busy(limit.map_or(0, NonZeroU32::get))));
        };
        let (callee, shared) = (callee.clone(), callees.len() > 1);
        Some(Ok(ChosenCallee { registration: *id, pattern: *pattern, shared, callee }))
    }
}

/// A call has no callee.
pub(crate) enum ChooseError {
    /// No callee has registered the procedure.
    NoSuchProcedure,
    /// None of the callees may get a further call; the `concurrency` of one of them, or 0.
    Busy(u32),
}

/// A session cannot register a procedure.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegisterError {
    /// The session has registered the procedure already.
    #[error("the session has registered the procedure already")]
    Again,
    /// The session wants to end the registrations of other sessions for a pattern.
    #[error("`force_reregister` is for a procedure by name, not for a pattern")]
    ForcedPattern,
    /// Another session has registered it without sharing.
    #[error("another session has registered the procedure")]
    Taken,
    /// The procedure is shared with another invocation policy, given here.
    #[error("the procedure is registered with `invoke: {}`", .0.name())]
    SharedOtherwise(InvocationPolicy),
    /// The session has the maximum number of registrations, given here.
    #[error("maximum registrations of the session reached (limits.subscriptions = {0})")]
    TooMany(usize),
    /// The session has the maximum number of pattern registrations, given here.
    #[error("maximum pattern registrations of the session reached (limits.patterns = {0})")]
    TooManyPatterns(usize),
    /// The limit of the realm's registrations or wildcards, or the client's share of it, is
    /// reached.
    #[error(transparent)]
    Quota(#[from] QuotaError),
}

impl Registrations {
    /// Registers a procedure for a session. `wildcards` is the quota of different wildcards.
    pub(crate) fn add(
        &mut self,
        session: &Arc<Session>,
        uri: &str,
        options: &RegisterOptions,
        wildcards: Quota,
    ) -> Result<RegistrationId, RegisterError> {
        let RegisterOptions {
            policy,
            invoke,
            disclose_caller,
            forward_timeout,
            concurrency,
            force_reregister: _,
        } = *options;
        let (session, load) = (Arc::clone(session), Load::default());
        let callee = Callee { session, disclose_caller, forward_timeout, concurrency, load };
        let session = &callee.session;
        if let Some(registration) = self.table.get_mut(uri, policy) {
            if registration.callees.iter().any(|one| one.session.id == session.id) {
                return Err(RegisterError::Again);
            }
            if registration.invoke != invoke {
                return Err(RegisterError::SharedOtherwise(registration.invoke));
            }
            if invoke == InvocationPolicy::Single {
                return Err(RegisterError::Taken);
            }
            let id = registration.id;
            self.changes.push(Change::Joined(session.id, id.get()));
            registration.callees.push(callee);
            return Ok(id);
        }
        if policy == MatchPolicy::Wildcard {
            self.wildcards.check(session.client, wildcards)?;
            self.wildcards.add(session.client);
        }
        let id = self.next_id();
        let key = Key { policy, uri: uri.into() };
        self.by_id.insert(id, key.clone());
        let pattern = policy != MatchPolicy::Exact;
        let created = self.clock.0();
        let uri = Arc::clone(&key.uri);
        let facts = Facts { id: id.get(), created, uri, policy, invoke: Some(invoke) };
        self.changes.push(Change::Created(session.id, facts));
        self.changes.push(Change::Joined(session.id, id.get()));
        let (charged, callees, turns) = (session.client, vec![callee], Cell::default());
        let registration = Registration { id, invoke, pattern, charged, created, callees, turns };
        self.table.insert(key, registration);
        Ok(id)
    }

    /// Sets the clock by which registrations are dated.
    pub(crate) fn set_clock(&mut self, clock: Clock) {
        self.clock = clock;
    }

    /// Takes the changes since the last look.
    pub(crate) fn take_changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }

    /// Returns the ids of all registrations, up to `limit` for each policy.
    pub(crate) fn ids(&self, limit: usize) -> IdLists {
        let all = self.by_id.iter().map(|(id, key)| (&*key.uri, key.policy, id.get()));
        IdLists::new(all, limit)
    }

    /// Returns the id of the registration of a procedure or pattern.
    pub(crate) fn find(&self, uri: &str, policy: MatchPolicy) -> Option<RegistrationId> {
        self.table.get(uri, policy).map(|it| it.id)
    }

    /// Returns the id of the most specific registration that matches a procedure.
    pub(crate) fn matching(&self, procedure: &str) -> Option<RegistrationId> {
        if let Some(exact) = self.table.exact(procedure) {
            return Some(exact.id);
        }
        let (mut patterns, _steps) = self.table.patterns(procedure);
        patterns.next().map(|it| it.id)
    }

    /// Returns a registration.
    pub(crate) fn facts(&self, id: RegistrationId) -> Option<Facts> {
        let key = self.by_id.get(&id)?;
        let Registration { created, invoke, .. } = self.table.get(&key.uri, key.policy)?;
        let (uri, policy) = (Arc::clone(&key.uri), key.policy);
        Some(Facts { id: id.get(), created: *created, uri, policy, invoke: Some(*invoke) })
    }

    /// Returns up to `limit` callees of a registration, and the number of all.
    pub(crate) fn callees(
        &self,
        id: RegistrationId,
        limit: usize,
    ) -> Option<(Vec<SessionId>, usize)> {
        let key = self.by_id.get(&id)?;
        let callees = &self.table.get(&key.uri, key.policy)?.callees;
        let some = callees.iter().take(limit).map(|callee| callee.session.id).collect();
        Some((some, callees.len()))
    }

    /// Returns the key of a registration id.
    pub(crate) fn key(&self, id: RegistrationId) -> Option<&Key> {
        self.by_id.get(&id)
    }

    /// Returns whether the registration is for a prefix or a wildcard.
    pub(crate) fn is_pattern(&self, id: RegistrationId) -> bool {
        self.by_id.get(&id).is_some_and(|key| key.policy != MatchPolicy::Exact)
    }

    /// Removes a callee, and the registration with its last callee. Returns whether it was a
    /// callee.
    pub(crate) fn remove(&mut self, session: SessionId, id: RegistrationId) -> bool {
        let Some(key) = self.by_id.get(&id).cloned() else { return false };
        let Some(registration) = self.table.get_mut(&key.uri, key.policy) else { return false };
        let before = registration.callees.len();
        registration.callees.retain(|callee| callee.session.id != session);
        let after = registration.callees.len();
        if after < before && key.policy == MatchPolicy::Wildcard {
            let callees = registration.callees.iter().map(|callee| callee.session.client);
            self.wildcards.pass_on(&mut registration.charged, callees);
        }
        if after < before {
            self.changes.push(Change::Left(session, id.get()));
        }
        if after == 0 {
            self.by_id.remove(&id);
            self.table.remove(&key);
            self.changes.push(Change::Deleted(session, id.get()));
        }
        after < before
    }

    /// Chooses the callee of a call: the one that the policy of the most specific matching
    /// registration selects among those where `is_left` returns true. A callee of a pattern
    /// registration is a candidate only if `may_offer` allows it to register this procedure by name,
    /// so that a session without that permission can neither read its calls nor block others.
    /// `chance` is a random number.
    ///
    /// # Errors
    /// [`ChooseError`]
    pub(crate) fn choose(
        &self,
        procedure: &str,
        may_offer: impl Fn(&Callee) -> bool,
        is_left: impl Fn(&Callee) -> bool,
        chance: u64,
    ) -> Result<ChosenCallee, ChooseError> {
        let chosen = if let Some(exact) = self.table.exact(procedure) {
            exact.choose(|_| true, is_left, chance)
        } else {
            let (mut patterns, _steps) = self.table.patterns(procedure);
            patterns.find_map(|registration| registration.choose(&may_offer, &is_left, chance))
        };
        chosen.unwrap_or(Err(ChooseError::NoSuchProcedure))
    }

    /// Returns the procedures of all exact registrations.
    pub(crate) fn procedures(&self) -> impl Iterator<Item = &Arc<str>> {
        self.table.exact_uris()
    }

    /// Returns the id and the callees of a procedure's exact registration.
    pub(crate) fn of(&self, procedure: &str) -> Option<(RegistrationId, Vec<Arc<Session>>)> {
        let Registration { id, callees, .. } = self.table.exact(procedure)?;
        Some((*id, callees.iter().map(|callee| Arc::clone(&callee.session)).collect()))
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.table.is_empty() && self.by_id.is_empty() && self.wildcards.is_empty()
    }

    /// Returns the next free id. Ids count up; they have router scope, where any choice is allowed.
    fn next_id(&mut self) -> RegistrationId {
        loop {
            self.last_id += 1;
            match RegistrationId::new(self.last_id) {
                Some(id) if !self.by_id.contains_key(&id) => return id,
                Some(_) => {}
                None => self.last_id = 0,
            }
        }
    }
}
