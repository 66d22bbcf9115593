//! Registrations of other nodes: each node is one callee here, for all its own ones. And the terms on which
//! it offers them.
//!
//! A registration is announced to all nodes before it exists ([`Peers::offer`](crate::peers::Peers::offer)), so of
//! two nodes with a conflict at least one knows of the other when it decides, and both decide alike: the older
//! claim wins. If nodes were apart, both have registered it; then the oldest callee gets all calls.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes};
use jackfield_wamp::message::InvocationPolicy;
use jackfield_wamp::uri::MatchPolicy;

use super::registration::Callee;
use super::{RegisterError, Registrations};
use crate::node::Relay;
use crate::peers::{NodeId, Stake};
use crate::quota::{Quota, QuotaError};
use crate::session::Session;
use crate::uri_table::Key;

/// The age of a registration among those of other nodes. The default is older than all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Claim {
    /// The time in microseconds since the Unix epoch.
    pub stamp: u64,
    /// The own node.
    pub node: NodeId,
}

impl Claim {
    /// Returns whether the claim is older than a callee of another node. It never precedes one of its own
    /// node.
    pub(super) fn precedes(self, callee: &Callee) -> bool {
        match callee.session.relay() {
            Some(Relay::Callees(node)) => (self.stamp, self.node) < (callee.first, node),
            Some(Relay::Caller(_)) | None => false,
        }
    }
}

/// The terms on which a node offers a procedure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// The number of its callees.
    pub count: u32,
    /// The policy by which one is chosen.
    pub invoke: InvocationPolicy,
    /// The times of the oldest and of the newest of them, in microseconds since the Unix epoch.
    pub first: u64,
    /// See `first`.
    pub last: u64,
}

/// All policies.
const POLICIES: [InvocationPolicy; 6] = [
    InvocationPolicy::Single,
    InvocationPolicy::First,
    InvocationPolicy::Last,
    InvocationPolicy::RoundRobin,
    InvocationPolicy::Random,
    InvocationPolicy::LeastLoaded,
];

/// Returns the number of a policy between nodes.
const fn number(invoke: InvocationPolicy) -> u8 {
    match invoke {
        InvocationPolicy::Single => 0,
        InvocationPolicy::First => 1,
        InvocationPolicy::Last => 2,
        InvocationPolicy::RoundRobin => 3,
        InvocationPolicy::Random => 4,
        InvocationPolicy::LeastLoaded => 5,
    }
}

impl Terms {
    /// Returns the terms with one more callee.
    #[must_use]
    pub fn with(terms: Option<Self>, invoke: InvocationPolicy, stamp: u64) -> Self {
        match terms {
            None => Self { count: 1, invoke, first: stamp, last: stamp },
            Some(Self { count, invoke, first, last }) => Self {
                count: count.saturating_add(1),
                invoke,
                first: first.min(stamp),
                last: last.max(stamp),
            },
        }
    }

    /// Returns the part of this node in the procedure; none without terms.
    pub fn stake(terms: Option<Self>) -> Stake {
        let Some(Self { count, invoke, first, last }) = terms else { return Stake::default() };
        let mut detail = Vec::new();
        detail.put_u8(number(invoke));
        detail.put_u64_le(first);
        detail.put_u64_le(last);
        Stake { count, detail: detail.into() }
    }

    /// Reads the terms of another node. `None` if it has no part, or it cannot be read.
    pub fn of_stake(stake: &Stake) -> Option<Self> {
        let mut detail: Bytes = stake.detail.clone();
        let policy = detail.try_get_u8().ok()?;
        let invoke = POLICIES.into_iter().find(|it| number(*it) == policy)?;
        let (first, last) = (detail.try_get_u64_le().ok()?, detail.try_get_u64_le().ok()?);
        (stake.count > 0).then_some(Self { count: stake.count, invoke, first, last })
    }
}

impl Registrations {
    /// Records the procedures whose callees of this node change.
    pub(crate) fn record_offers(&mut self) {
        self.changed_offers.get_or_insert_default();
    }

    pub(super) fn note_offer(&mut self, key: &Key) {
        if let Some(changed) = &mut self.changed_offers {
            changed.insert(key.clone());
        }
    }

    /// Takes the procedures whose callees of this node have changed since the last look.
    pub(crate) fn take_changed_offers(&mut self) -> HashSet<Key> {
        self.changed_offers.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Returns the terms on which this node offers a procedure; `None` without callees of it.
    pub(crate) fn terms(&self, uri: &str, policy: MatchPolicy) -> Option<Terms> {
        let registration = self.table.get(uri, policy)?;
        let own = registration.callees.iter().filter(|callee| callee.is_local());
        own.fold(None, |terms, callee| Some(Terms::with(terms, callee.invoke, callee.first)))
    }

    /// Returns the time of the newest callee of other nodes, in microseconds since the Unix epoch; 0 without
    /// any.
    pub(crate) fn newest_elsewhere(&self, uri: &str, policy: MatchPolicy) -> u64 {
        let callees = self.table.get(uri, policy).into_iter().flat_map(|it| &it.callees);
        callees.filter(|it| !it.is_local()).map(|it| it.last).max().unwrap_or_default()
    }

    /// Checks that no callee of another node is in the way of a session that ends those of this node.
    pub(crate) fn check_elsewhere(
        &self,
        uri: &str,
        invoke: InvocationPolicy,
        claim: Claim,
    ) -> Result<(), RegisterError> {
        let registration = self.table.exact(uri);
        registration
            .map_or(Ok(()), |it| it.check_others(|callee| !callee.is_local(), invoke, claim))
    }

    /// Sets the parts of all other nodes in a procedure. A node that is not named has none.
    ///
    /// # Errors
    /// If there are too many wildcards.
    pub(crate) fn set_remotes(
        &mut self,
        uri: &str,
        policy: MatchPolicy,
        parts: &[(Arc<Session>, Terms)],
        wildcards: Quota,
    ) -> Result<(), QuotaError> {
        let key = Key { policy, uri: uri.into() };
        let mut old = HashMap::new();
        let known = self.table.get_mut(uri, policy);
        let is_new = known.is_none();
        if let Some(registration) = known {
            let all = std::mem::take(&mut registration.callees);
            let (local, remote) = all.into_iter().partition(Callee::is_local);
            registration.callees = local;
            let remote: Vec<Callee> = remote;
            old.extend(remote.into_iter().map(|callee| (callee.session.id, callee.load)));
        }
        let Some((first_node, _)) = parts.first() else {
            self.settle(&key);
            return Ok(());
        };
        if is_new && policy == MatchPolicy::Wildcard {
            let of_all = Quota { client_percent: 100, ..wildcards };
            self.wildcards.check(first_node.client, of_all)?;
        }
        self.place(&key, first_node.client);
        let Some(registration) = self.table.get_mut(uri, policy) else { return Ok(()) };
        for (node, Terms { count, invoke, first, last }) in parts {
            registration.insert(Callee {
                session: Arc::clone(node),
                invoke: *invoke,
                disclose_caller: false,
                forward_timeout: false,
                concurrency: None,
                load: old.remove(&node.id).unwrap_or_default(),
                weight: (*count).max(1),
                shard: 0,
                first: *first,
                last: *last,
            });
        }
        self.settle(&key);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_are_read_as_they_are_written() {
        for invoke in POLICIES {
            let terms = Terms::with(Some(Terms::with(None, invoke, 9)), invoke, 5);
            assert_eq!(terms, Terms { count: 2, invoke, first: 5, last: 9 });
            assert_eq!(Terms::of_stake(&Terms::stake(Some(terms))), Some(terms));
        }
        assert_eq!(Terms::of_stake(&Terms::stake(None)), None);
        let short = Stake { count: 1, detail: Bytes::from_static(&[0, 1]) };
        assert_eq!(Terms::of_stake(&short), None);
    }
}
