//! Registrations of one realm: one for each URI and match policy, shared by several callees where
//! all of them allow it. WAMP v2 specification, sections "Pattern-based Registrations" and "Shared
//! Registration".

use std::cell::Cell;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use jackfield_wamp::id::{RegistrationId, SessionId};
use jackfield_wamp::message::{InvocationPolicy, RegisterOptions};
use jackfield_wamp::uri::MatchPolicy;

use self::registration::Registration;
use crate::changes::{Change, Clock, Facts, IdLists};
use crate::client_key::ClientKey;
use crate::quota::{Quota, QuotaError, Usage};
use crate::session::Session;
use crate::spread::{hash, spread};
use crate::uri_table::{Key, UriTable};

mod registration;
mod remote;

pub(crate) use registration::{Busy, Callee, Choice, ChosenCallee, Load};
pub use remote::{Claim, Terms};

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
    /// In a cluster, the procedures and patterns whose callees of this node have changed.
    changed_offers: Option<HashSet<Key>>,
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
    /// Registers a procedure for a session. `wildcards` is the quota of different wildcards, `claim` the
    /// age of the registration among those of other nodes.
    pub(crate) fn add(
        &mut self,
        session: &Arc<Session>,
        uri: &str,
        options: &RegisterOptions,
        claim: Claim,
        wildcards: Quota,
    ) -> Result<RegistrationId, RegisterError> {
        let RegisterOptions { policy, invoke, disclose_caller, forward_timeout, .. } = *options;
        let shard = options.nkey.as_deref().map_or_else(|| spread(session.id.get()), hash);
        let callee = Callee {
            session: Arc::clone(session),
            invoke,
            disclose_caller,
            forward_timeout,
            concurrency: options.concurrency,
            load: Load::default(),
            weight: 1,
            shard,
            first: claim.stamp,
            last: claim.stamp,
        };
        self.check(session, uri, options, claim, wildcards)?;
        let key = Key { policy, uri: uri.into() };
        let id = self.place(&key, session.client);
        let Some(registration) = self.table.get_mut(uri, policy) else { return Ok(id) };
        if !registration.has_local() {
            registration.created = self.clock.0();
            let (created, uri) = (registration.created, Arc::clone(&key.uri));
            let facts = Facts { id: id.get(), created, uri, policy, invoke: Some(invoke) };
            self.changes.push(Change::Created(session.id, facts));
        }
        self.changes.push(Change::Joined(session.id, id.get()));
        registration.insert(callee);
        self.note_offer(&key);
        Ok(id)
    }

    /// Checks whether a session may register a procedure.
    pub(crate) fn check(
        &self,
        session: &Session,
        uri: &str,
        options: &RegisterOptions,
        claim: Claim,
        wildcards: Quota,
    ) -> Result<(), RegisterError> {
        match self.table.get(uri, options.policy) {
            Some(registration) => registration.check(session.id, options.invoke, claim),
            None if options.policy == MatchPolicy::Wildcard => {
                Ok(self.wildcards.check(session.client, wildcards)?)
            }
            None => Ok(()),
        }
    }

    /// Returns the id of the registration with this key, a new one without callees if there is none. A
    /// wildcard is charged to the client.
    fn place(&mut self, key: &Key, client: ClientKey) -> RegistrationId {
        if let Some(registration) = self.table.get(&key.uri, key.policy) {
            return registration.id;
        }
        if key.policy == MatchPolicy::Wildcard {
            self.wildcards.add(client);
        }
        let id = self.next_id();
        self.by_id.insert(id, key.clone());
        let registration = Registration {
            id,
            pattern: key.policy != MatchPolicy::Exact,
            charged: client,
            created: Duration::ZERO,
            callees: Vec::new(),
            turns: Cell::default(),
        };
        self.table.insert(key.clone(), registration);
        id
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
        let of_node = self.by_id.iter().filter(|(_, key)| self.local(key).is_some());
        let all = of_node.map(|(id, key)| (&*key.uri, key.policy, id.get()));
        IdLists::new(all, limit)
    }

    /// Returns the id of the registration of a procedure or pattern.
    pub(crate) fn find(&self, uri: &str, policy: MatchPolicy) -> Option<RegistrationId> {
        self.table.get(uri, policy).filter(|it| it.has_local()).map(|it| it.id)
    }

    /// Returns the id of the most specific registration that matches a procedure.
    pub(crate) fn matching(&self, procedure: &str) -> Option<RegistrationId> {
        if let Some(exact) = self.table.exact(procedure).filter(|it| it.has_local()) {
            return Some(exact.id);
        }
        let (mut patterns, _steps) = self.table.patterns(procedure);
        patterns.find(|it| it.has_local()).map(|it| it.id)
    }

    /// Returns a registration.
    pub(crate) fn facts(&self, id: RegistrationId) -> Option<Facts> {
        let key = self.by_id.get(&id)?;
        let registration = self.local(key)?;
        let (created, invoke) = (registration.created, Some(registration.invoke()));
        Some(Facts { id: id.get(), created, uri: Arc::clone(&key.uri), policy: key.policy, invoke })
    }

    /// Returns up to `limit` callees of a registration, and the number of all.
    pub(crate) fn callees(
        &self,
        id: RegistrationId,
        limit: usize,
    ) -> Option<(Vec<SessionId>, usize)> {
        let key = self.by_id.get(&id)?;
        let callees = || {
            let registration = self.local(key);
            registration.into_iter().flat_map(|it| &it.callees).filter(|it| it.is_local())
        };
        self.local(key)?;
        let some = callees().take(limit).map(|callee| callee.session.id).collect();
        Some((some, callees().count()))
    }

    /// Returns the registration with this key, if it has callees of this node.
    fn local(&self, key: &Key) -> Option<&Registration> {
        self.table.get(&key.uri, key.policy).filter(|it| it.has_local())
    }

    /// Returns the key of a registration id.
    pub(crate) fn key(&self, id: RegistrationId) -> Option<&Key> {
        self.by_id.get(&id)
    }

    /// Returns whether the registration is for a prefix or a wildcard.
    pub(crate) fn is_pattern(&self, id: RegistrationId) -> bool {
        self.by_id.get(&id).is_some_and(|key| key.policy != MatchPolicy::Exact)
    }

    /// Removes a callee of this node, and the registration with its last callee. Returns whether it was
    /// a callee.
    pub(crate) fn remove(&mut self, session: SessionId, id: RegistrationId) -> bool {
        let Some(key) = self.by_id.get(&id).cloned() else { return false };
        let Some(registration) = self.table.get_mut(&key.uri, key.policy) else { return false };
        let before = registration.callees.len();
        registration.callees.retain(|callee| callee.session.id != session);
        if registration.callees.len() == before {
            return false;
        }
        let is_deleted = !registration.has_local();
        self.changes.push(Change::Left(session, id.get()));
        if is_deleted {
            self.changes.push(Change::Deleted(session, id.get()));
        }
        self.note_offer(&key);
        self.settle(&key);
        true
    }

    /// Charges a wildcard after one of its callees has left, and removes a registration without callees.
    fn settle(&mut self, key: &Key) {
        let Some(registration) = self.table.get_mut(&key.uri, key.policy) else { return };
        if key.policy == MatchPolicy::Wildcard {
            let callees = registration.callees.iter().map(|callee| callee.session.client);
            self.wildcards.pass_on(&mut registration.charged, callees);
        }
        if registration.callees.is_empty() {
            self.by_id.remove(&registration.id);
            self.table.remove(key);
        }
    }

    /// Chooses the callee of a call. The most specific matching registration with callees for which `wants`
    /// returns true counts; its policy selects one of them for which `is_left` returns true. A callee of a pattern
    /// registration is a candidate only if `may_offer` allows it to register this procedure by name,
    /// so that a session without that permission can neither read its calls nor block others.
    ///
    /// # Errors
    /// [`ChooseError`]
    pub(crate) fn choose(
        &self,
        procedure: &str,
        wants: impl Fn(&Callee) -> bool,
        may_offer: impl Fn(&Callee) -> bool,
        is_left: impl Fn(&Callee) -> bool,
        by: Choice,
    ) -> Result<ChosenCallee, ChooseError> {
        let exact = self.table.exact(procedure);
        let chosen = exact.and_then(|it| it.choose(&wants, &is_left, by)).or_else(|| {
            let (mut patterns, _steps) = self.table.patterns(procedure);
            let is_candidate = |callee: &Callee| wants(callee) && may_offer(callee);
            patterns.find_map(|registration| registration.choose(is_candidate, &is_left, by))
        });
        chosen.unwrap_or(Err(ChooseError::NoSuchProcedure))
    }

    /// Returns the keys of all registrations.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &Key> {
        self.by_id.values()
    }

    /// Returns the id and the callees of this node of the registration of a procedure or pattern.
    pub(crate) fn of(
        &self,
        uri: &str,
        policy: MatchPolicy,
    ) -> Option<(RegistrationId, Vec<Arc<Session>>)> {
        let Registration { id, callees, .. } = self.table.get(uri, policy)?;
        let callees = callees.iter().filter(|callee| callee.is_local());
        Some((*id, callees.map(|callee| Arc::clone(&callee.session)).collect()))
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
