//! Changes of subscriptions and registrations, for meta events. They are kept until the host takes
//! them, right after the request that made them.

use std::sync::Arc;
use std::time::Duration;

use jackfield_wamp::id::SessionId;
use jackfield_wamp::message::InvocationPolicy;
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
    /// The choice among several callees; `None` for a subscription.
    pub invoke: Option<InvocationPolicy>,
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
    /// The smallest ids, up to a limit for each policy.
    pub lists: [Vec<u64>; 3],
    /// The number of all.
    pub total: usize,
}

impl IdLists {
    /// Returns the first ids of each policy, without those of the meta API itself.
    pub(crate) fn new<'a>(
        all: impl Iterator<Item = (&'a str, MatchPolicy, u64)>,
        limit: usize,
    ) -> Self {
        let mut ids = Self::default();
        for (_, policy, id) in all.filter(|(uri, ..)| !uri::is_reserved(uri)) {
            let [exact, prefix, wildcard] = &mut ids.lists;
            let list = match policy {
                MatchPolicy::Exact => exact,
                MatchPolicy::Prefix => prefix,
                MatchPolicy::Wildcard => wildcard,
            };
            list.push(id);
            ids.total += 1;
        }
        for list in &mut ids.lists {
            list.sort_unstable();
            list.truncate(limit);
        }
        ids
    }
}
