//! Registrations of one realm: one for each URI and match policy, shared by several callees where
//! all of them allow it. WAMP v2 specification, sections "Pattern-based Registrations" and "Shared
//! Registration".

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::Arc;

use jackfield_wamp::id::{RegistrationId, SessionId};
use jackfield_wamp::message::{InvocationPolicy, RegisterOptions};
use jackfield_wamp::uri::MatchPolicy;

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
}

/// One registration and its callees.
struct Registration {
    id: RegistrationId,
    invoke: InvocationPolicy,
    /// Whether it is a prefix or wildcard, so that the INVOCATION must name the procedure.
    pattern: bool,
    /// The client whose quota of wildcards it counts towards: always that of a callee.
    charged: ClientKey,
    /// The callees in the order of registration.
    callees: Vec<Callee>,
    /// Number of calls distributed round-robin.
    turns: Cell<usize>,
}

/// A session with a registered procedure.
#[derive(Clone)]
pub(crate) struct Callee {
    pub(crate) session: Arc<Session>,
    /// Whether the callee asked for the identity of its callers.
    pub(crate) disclose_caller: bool,
}

/// The callee chosen for a call.
pub(crate) struct ChosenCallee {
    pub(crate) registration: RegistrationId,
    pub(crate) pattern: bool,
    pub(crate) callee: Callee,
}

impl Registration {
    /// Returns the callee that the policy selects among the candidates.
    fn choose(&self, counts: impl Fn(&Session) -> bool, chance: u64) -> Option<ChosenCallee> {
        let Self { id, invoke, pattern, callees, turns, charged: _ } = self;
        let candidates = || callees.iter().filter(|callee| counts(&callee.session));
        let count = candidates().count();
        let place = match invoke {
            InvocationPolicy::Single | InvocationPolicy::First => 0,
            InvocationPolicy::Last => count.saturating_sub(1),
            InvocationPolicy::RoundRobin => {
                let turn = turns.get();
                let place = turn.checked_rem(count)?;
                turns.set(turn.wrapping_add(1));
                place
            }
            InvocationPolicy::Random => {
                usize::try_from(chance.checked_rem(count as u64)?).unwrap_or_default()
            }
        };
        let callee = candidates().nth(place)?.clone();
        Some(ChosenCallee { registration: *id, pattern: *pattern, callee })
    }
}

/// A session cannot register a procedure.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegisterError {
    /// The session has registered the procedure already.
    #[error("the session has registered the procedure already")]
    Again,
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
        let RegisterOptions { policy, invoke, disclose_caller, .. } = *options;
        let callee = Callee { session: Arc::clone(session), disclose_caller };
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
            registration.callees.push(callee);
            return Ok(registration.id);
        }
        if policy == MatchPolicy::Wildcard {
            self.wildcards.check(session.client, wildcards)?;
            self.wildcards.add(session.client);
        }
        let id = self.next_id();
        let key = Key { policy, uri: uri.into() };
        self.by_id.insert(id, key.clone());
        let pattern = policy != MatchPolicy::Exact;
        let (charged, callees, turns) = (session.client, vec![callee], Cell::default());
        let registration = Registration { id, invoke, pattern, charged, callees, turns };
        self.table.insert(key, registration);
        Ok(id)
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
        if after == 0 {
            self.by_id.remove(&id);
            self.table.remove(&key);
        }
        after < before
    }

    /// Chooses the callee of a call: the one that the policy of the most specific matching
    /// registration selects. A callee of a pattern registration is a candidate only if `may_offer`
    /// allows it to register this procedure by name, so that a session without that permission can
    /// neither read its calls nor block others. `chance` is a random number.
    pub(crate) fn choose(
        &self,
        procedure: &str,
        may_offer: impl Fn(&Session) -> bool,
        chance: u64,
    ) -> Option<ChosenCallee> {
        if let Some(exact) = self.table.exact(procedure) {
            return exact.choose(|_| true, chance);
        }
        let (mut patterns, _steps) = self.table.patterns(procedure);
        patterns.find_map(|registration| registration.choose(&may_offer, chance))
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
