//! Who offers which procedure: the registrations of one realm, one for each URI and match policy,
//! shared by its callees where they want to share it. WAMP v2 specification, sections
//! "Pattern-based Registrations" and "Shared Registration".

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::Arc;

use jackfield_wamp::id::{RegistrationId, SessionId};
use jackfield_wamp::message::{InvocationPolicy, RegisterOptions};
use jackfield_wamp::uri::MatchPolicy;

use crate::session::Session;
use crate::uris::{Key, RealmFull, UriTable};

/// The registrations of one realm.
#[derive(Default)]
pub(crate) struct Registrations {
    table: UriTable<Registration>,
    by_id: HashMap<RegistrationId, Key>,
    last_id: u64,
}

/// One registration and those who share it.
struct Registration {
    id: RegistrationId,
    invoke: InvocationPolicy,
    /// Whether a callee must be told which procedure was called.
    pattern: bool,
    /// In the order in which they came.
    callees: Vec<Callee>,
    /// How many calls were spread in turn.
    turns: Cell<usize>,
}

/// A session that offers a procedure.
#[derive(Clone)]
pub(crate) struct Callee {
    pub(crate) session: Arc<Session>,
    /// Whether it wants to know its callers.
    pub(crate) disclose_caller: bool,
}

/// Who is to answer a call, and of which registration.
pub(crate) struct Chosen {
    pub(crate) registration: RegistrationId,
    pub(crate) pattern: bool,
    pub(crate) callee: Callee,
}

impl Registration {
    /// The callee, of those that count, that the policy names.
    fn choose(&self, counts: impl Fn(&Session) -> bool, chance: u64) -> Option<Chosen> {
        let Self { id, invoke, pattern, callees, turns } = self;
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
        Some(Chosen { registration: *id, pattern: *pattern, callee })
    }
}

/// Why a session cannot register a procedure.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegisterError {
    /// It has done so already.
    #[error("the session has registered the procedure already")]
    Again,
    /// Somebody else has, and does not share it.
    #[error("another session has registered the procedure")]
    Taken,
    /// Others share it in another way.
    #[error("the procedure is registered with `invoke: {}`", .0.name())]
    SharedOtherwise(InvocationPolicy),
    /// It has as many registrations as one may hold.
    #[error("the session already holds {0} registrations, as many as one may")]
    TooMany(usize),
    /// It has as many pattern registrations as one may hold.
    #[error("the session already holds {0} pattern registrations (limits.patterns = {0})")]
    TooManyPatterns(usize),
    /// The sessions of the realm together have as many registrations as they may hold.
    #[error("the realm already holds {0} registrations (limits.realm_subscriptions = {0})")]
    TooManyOfAll(usize),
    /// The realm has as many wildcards as it may hold.
    #[error(transparent)]
    RealmFull(#[from] RealmFull),
}

impl Registrations {
    /// Makes the session a callee.
    pub(crate) fn add(
        &mut self,
        session: &Arc<Session>,
        uri: &str,
        options: &RegisterOptions,
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
        self.table.check_room(policy)?;
        let id = self.next_id();
        let key = Key { policy, uri: uri.into() };
        self.by_id.insert(id, key.clone());
        let pattern = policy != MatchPolicy::Exact;
        let registration =
            Registration { id, invoke, pattern, callees: vec![callee], turns: Cell::default() };
        self.table.insert(key, registration);
        Ok(id)
    }

    /// Whether the registration is one of a prefix or a wildcard.
    pub(crate) fn is_pattern(&self, id: RegistrationId) -> bool {
        self.by_id.get(&id).is_some_and(|key| key.policy != MatchPolicy::Exact)
    }

    /// Takes the session out; the last one takes the registration along. Whether it was in.
    pub(crate) fn remove(&mut self, session: SessionId, id: RegistrationId) -> bool {
        let Some(key) = self.by_id.get(&id).cloned() else { return false };
        let Some(registration) = self.table.get_mut(&key.uri, key.policy) else { return false };
        let before = registration.callees.len();
        registration.callees.retain(|callee| callee.session.id != session);
        let after = registration.callees.len();
        if after == 0 {
            self.by_id.remove(&id);
            self.table.remove(&key);
        }
        after < before
    }

    /// The callee that is to answer a call: of the most specific registration that the procedure
    /// meets, the one that the registration's policy names. A callee counts by a pattern only where
    /// it may offer this procedure by name (`may_offer`), so that a session which may not offer it
    /// neither reads its calls nor keeps them from one that may. `chance` is any number, another
    /// one each time.
    pub(crate) fn choose(
        &self,
        procedure: &str,
        may_offer: impl Fn(&Session) -> bool,
        chance: u64,
    ) -> Option<Chosen> {
        if let Some(exact) = self.table.exact(procedure) {
            return exact.choose(|_| true, chance);
        }
        let (mut patterns, _steps) = self.table.patterns(procedure);
        patterns.find_map(|registration| registration.choose(&may_offer, chance))
    }

    /// Every procedure that is registered by name.
    pub(crate) fn procedures(&self) -> impl Iterator<Item = &Arc<str>> {
        self.table.exact_uris()
    }

    /// The registration of a procedure by name, and its callees.
    pub(crate) fn of(&self, procedure: &str) -> Option<(RegistrationId, Vec<Arc<Session>>)> {
        let Registration { id, callees, .. } = self.table.exact(procedure)?;
        Some((*id, callees.iter().map(|callee| Arc::clone(&callee.session)).collect()))
    }

    /// Ids count up; they are of router scope, where any choice is allowed.
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
