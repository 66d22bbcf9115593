//! Views of a dealer for operators: the registrations and the pending calls of a session.

use std::sync::Arc;

use jackfield_wamp::id::SessionId;
use jackfield_wamp::uri::MatchPolicy;

use super::Dealer;

/// The registrations and pending calls of a session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallsView {
    /// Some of its registrations, in the order of their texts.
    pub registrations: Vec<(MatchPolicy, Arc<str>)>,
    /// The number of all its registrations.
    pub registration_count: usize,
    /// Calls that it has made and that wait for an answer.
    pub waiting: usize,
    /// Calls that it has to answer.
    pub handling: usize,
}

impl Dealer {
    /// Returns the number of registrations of each session, in their order.
    pub fn registration_counts(&self, sessions: &[SessionId]) -> Vec<usize> {
        let state = self.lock();
        let count =
            |id: &SessionId| state.sessions.get(id).map_or(0, |calls| calls.registered.len());
        sessions.iter().map(count).collect()
    }

    /// Returns up to `limit` registrations of a session, and its pending calls.
    pub fn calls_of(&self, session: SessionId, limit: usize) -> CallsView {
        let state = self.lock();
        let Some(calls) = state.sessions.get(&session) else { return CallsView::default() };
        let keys = calls.registered.iter().filter_map(|id| state.registrations.key(*id));
        let mut registrations: Vec<_> =
            keys.map(|key| (key.policy, Arc::clone(&key.uri))).collect();
        registrations.sort_unstable_by_key(|(_, uri)| Arc::clone(uri));
        registrations.truncate(limit);
        CallsView {
            registrations,
            registration_count: calls.registered.len(),
            waiting: calls.waiting.len(),
            handling: calls.handling.len(),
        }
    }
}
