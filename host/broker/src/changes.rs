//! Changes of subscriptions and registrations, for meta events. They are kept until the host takes
//! them, right after the request that made them.

use std::sync::Arc;
use std::time::Duration;

use jackfield_wamp::id::SessionId;
use jackfield_wamp::uri::{self, MatchPolicy};

/// The clock of the host: the time since the Unix epoch.
#[derive(Clone, Copy, Debug)]
pub struct Clock(pub fn() -> Duration);

/// Zero, for tests.
impl Default for Clock {
    fn default() -> Self {
        Self(|| Duration::ZERO)
    }
}

/// A subscription or a registration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Its id.
    pub id: u64,
    /// The time of its first subscriber or callee, since the Unix epoch.
    pub created: Duration,
    /// The topic, procedure or pattern.
    pub uri: Arc<str>,
    /// The match policy.
    pub policy: MatchPolicy,
}

/// A change of a subscription or a registration by a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// There is a new one.
    Created(SessionId, Facts),
    /// The session has joined it.
    Joined(SessionId, u64),
    /// The session has left it.
    Left(SessionId, u64),
    /// Its last session has left it.
    Deleted(SessionId, u64),
}

/// Ids by match policy: exact, prefix, wildcard.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IdLists {
    /// The ids, up to a limit for each policy.
    pub lists: [Vec<u64>; 3],
    /// The number of all.
    pub total: usize,
}

impl IdLists {
    /// Adds an id, unless it belongs to the meta API itself, or the list has `limit` ids.
    pub(crate) fn add(&mut self, uri: &str, policy: MatchPolicy, id: u64, limit: usize) {
        if uri::is_reserved(uri) {
            return;
        }
        self.total += 1;
        let [exact, prefix, wildcard] = &mut self.lists;
        let list = match policy {
            MatchPolicy::Exact => exact,
            MatchPolicy::Prefix => prefix,
            MatchPolicy::Wildcard => wildcard,
        };
        if list.len() < limit {
            list.push(id);
        }
    }
}
