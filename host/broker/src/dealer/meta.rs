//! Meta API: what sessions may learn of a realm's registrations.

use jackfield_wamp::id::{RegistrationId, SessionId};
use jackfield_wamp::uri::{self, MatchPolicy};

use super::Dealer;
use crate::changes::{Change, Clock, Facts, IdLists};

impl Dealer {
    /// Sets the clock by which registrations are dated.
    #[must_use]
    pub fn with_clock(self, clock: Clock) -> Self {
        self.lock().registrations.set_clock(clock);
        self
    }

    /// Takes the changes of registrations since the last look.
    pub fn take_changes(&self) -> Vec<Change> {
        self.lock().registrations.take_changes()
    }

    /// Returns the ids of all registrations, up to `limit` for each policy.
    pub fn registration_ids(&self, limit: usize) -> IdLists {
        self.lock().registrations.ids(limit)
    }

    /// Returns the id of the registration of a procedure or pattern.
    pub fn find_registration(&self, uri: &str, policy: MatchPolicy) -> Option<RegistrationId> {
        self.lock().registrations.find(uri, policy)
    }

    /// Returns the id of the most specific registration that matches a procedure. None matches one of the
    /// router itself.
    pub fn matching_registration(&self, procedure: &str) -> Option<RegistrationId> {
        if uri::is_reserved(procedure) {
            return None;
        }
        self.lock().registrations.matching(procedure)
    }

    /// Returns a registration.
    pub fn registration_facts(&self, id: RegistrationId) -> Option<Facts> {
        self.lock().registrations.facts(id)
    }

    /// Returns up to `limit` callees of a registration, and the number of all.
    pub fn callees_of(&self, id: RegistrationId, limit: usize) -> Option<(Vec<SessionId>, usize)> {
        self.lock().registrations.callees(id, limit)
    }
}
