//! One registration: its callees, and the choice among them.
//!
//! A callee may stand for all callees of another node. It has their number as its weight, and counts as so
//! many. Callees of different nodes may disagree about the policy, after the nodes were apart: the oldest one
//! decides, and those with another policy get no calls while it is registered.

use std::cell::Cell;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use jackfield_wamp::id::{RegistrationId, SessionId};
use jackfield_wamp::message::InvocationPolicy;

use super::{ChooseError, Claim};
use crate::client_key::ClientKey;
use crate::node::{NodeId, Relay};
use crate::session::Session;
use crate::spread::spread;

/// One registration and its callees.
pub(super) struct Registration {
    pub(super) id: RegistrationId,
    /// Whether it is a prefix or wildcard, so that the INVOCATION must name the procedure.
    pub(super) pattern: bool,
    /// The client whose quota of wildcards it counts towards: always that of a callee.
    pub(super) charged: ClientKey,
    /// The time of the first callee of this node, since the Unix epoch.
    pub(super) created: Duration,
    /// The callees, the oldest first.
    pub(super) callees: Vec<Callee>,
    /// The place of the callee after the last one that was chosen round-robin.
    pub(super) turns: Cell<usize>,
}

/// A session with a registered procedure.
#[derive(Clone)]
pub(crate) struct Callee {
    pub(crate) session: Arc<Session>,
    pub(crate) invoke: InvocationPolicy,
    /// Whether the callee asked for the identity of its callers.
    pub(crate) disclose_caller: bool,
    /// Whether the callee asked for the timeouts of calls, to keep them itself.
    pub(crate) forward_timeout: bool,
    /// The most calls that the callee handles at the same time.
    pub(crate) concurrency: Option<NonZeroU32>,
    pub(crate) load: Load,
    /// The number of callees that it stands for.
    pub(crate) weight: u32,
    /// Its number among the callees of its node, for the choice by a resource key.
    pub(crate) shard: u64,
    /// The times of the oldest and the newest of them.
    pub(crate) first: u64,
    pub(crate) last: u64,
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

    /// Returns whether it is a client of this node.
    pub(super) fn is_local(&self) -> bool {
        self.session.relay().is_none()
    }

    fn is_free(&self) -> bool {
        self.concurrency.is_none_or(|limit| self.load.calls() < limit.get())
    }

    /// The pending calls of each callee that it stands for.
    fn load_of_each(&self) -> u64 {
        // 16 bits of fraction, so that loads below the weight differ.
        (u64::from(self.load.calls()) << 16) / u64::from(self.weight.max(1))
    }
}

/// The callee chosen for a call.
pub(crate) struct ChosenCallee {
    pub(crate) registration: RegistrationId,
    pub(crate) pattern: bool,
    /// Whether the caller may get another callee, here or on another node.
    pub(crate) shared: bool,
    pub(crate) callee: Callee,
}

impl Registration {
    /// Returns the policy: that of the oldest callee.
    pub(super) fn invoke(&self) -> InvocationPolicy {
        self.callees.first().map_or(InvocationPolicy::Single, |callee| callee.invoke)
    }

    /// Returns whether it has a callee of this node.
    pub(super) fn has_local(&self) -> bool {
        self.callees.iter().any(Callee::is_local)
    }

    pub(super) fn position(&self, session: SessionId) -> Option<usize> {
        self.callees.iter().position(|callee| callee.session.id == session)
    }

    /// Adds a callee at its place by age.
    pub(super) fn insert(&mut self, callee: Callee) {
        let place = self.callees.partition_point(|other| other.first <= callee.first);
        self.callees.insert(place, callee);
    }

    /// Checks that a session of this node may become a callee. An older claim wins against callees of
    /// other nodes, which withdraw theirs.
    pub(super) fn check(
        &self,
        session: SessionId,
        invoke: InvocationPolicy,
        claim: Claim,
    ) -> Result<(), super::RegisterError> {
        if self.position(session).is_some() {
            return Err(super::RegisterError::Again);
        }
        self.check_others(|_| true, invoke, claim)
    }

    /// Checks that a callee is compatible with the others that count. An older claim is, with those of other
    /// nodes.
    pub(super) fn check_others(
        &self,
        counts: impl Fn(&Callee) -> bool,
        invoke: InvocationPolicy,
        claim: Claim,
    ) -> Result<(), super::RegisterError> {
        let conflict = self.callees.iter().filter(|it| counts(it)).find(|other| {
            (other.invoke != invoke || invoke == InvocationPolicy::Single) && !claim.precedes(other)
        });
        match conflict {
            None => Ok(()),
            Some(other) if other.invoke != invoke => {
                Err(super::RegisterError::SharedOtherwise(other.invoke))
            }
            Some(_) => Err(super::RegisterError::Taken),
        }
    }

    /// Returns the callee that the policy selects among the free candidates that are left, or the one of the
    /// resource key. `None` without a candidate.
    pub(super) fn choose(
        &self,
        is_candidate: impl Fn(&Callee) -> bool,
        is_left: impl Fn(&Callee) -> bool,
        by: Choice,
    ) -> Option<Result<ChosenCallee, ChooseError>> {
        let Self { id, pattern, callees, turns, .. } = self;
        let places = callees.iter().scan(0, |next, callee| {
            let place = *next;
            *next += callee.weight as usize;
            Some((place, callee))
        });
        let candidates = || places.clone().filter(|(_, callee)| is_candidate(callee));
        let invoke = candidates().next()?.1.invoke;
        let alike = || candidates().filter(|(_, callee)| callee.invoke == invoke);
        let free = || alike().filter(|(_, callee)| is_left(callee) && callee.is_free());
        let chosen = match (invoke, by) {
            // There may be another one, after the nodes were apart. It is called if the first one is gone.
            (InvocationPolicy::Single, _) => {
                alike().find(|(_, callee)| is_left(callee)).filter(|(_, callee)| callee.is_free())
            }
            (_, Choice::Shard { key, node }) => {
                of_shard(alike, key, node).filter(|(_, callee)| is_left(callee) && callee.is_free())
            }
            (InvocationPolicy::First, _) => free().next(),
            (InvocationPolicy::Last, _) => free().max_by_key(|(_, callee)| callee.last),
            (InvocationPolicy::RoundRobin, _) => {
                let turn = turns.get();
                let is_next =
                    |(place, callee): &(usize, &Callee)| place + callee.weight as usize > turn;
                let chosen = free().find(is_next).or_else(|| free().next());
                turns.set(chosen.map_or(turn, |(place, callee)| {
                    let is_within = turn >= place && is_next(&(place, callee));
                    if is_within { turn + 1 } else { place + 1 }
                }));
                chosen
            }
            (InvocationPolicy::Random, Choice::Policy { chance }) => random(free, chance),
            (InvocationPolicy::LeastLoaded, _) => {
                free().min_by_key(|(_, callee)| callee.load_of_each())
            }
        };
        let Some((_, callee)) = chosen else {
            let limit = alike().find_map(|(_, callee)| callee.concurrency);
            return Some(Err(ChooseError::Busy(limit.map_or(0, NonZeroU32::get))));
        };
        let (callee, shared) = (callee.clone(), alike().nth(1).is_some());
        Some(Ok(ChosenCallee { registration: *id, pattern: *pattern, shared, callee }))
    }
}

/// The choice among the callees of a shared registration.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Choice {
    /// That of the policy; with a random number.
    Policy { chance: u64 },
    /// The callee of a resource key, given by its hash, seen from this node.
    Shard { key: u64, node: NodeId },
}

/// Returns the callee of a resource key by rendezvous hashing: a callee that joins or leaves moves its own keys
/// alone. First, the key chooses a node by the number of its callees, so that all nodes choose the same one.
fn of_shard<'c, I: Iterator<Item = (usize, &'c Callee)>>(
    callees: impl Fn() -> I,
    key: u64,
    node: NodeId,
) -> Option<(usize, &'c Callee)> {
    let local = || callees().filter(|(_, callee)| callee.is_local());
    let own = local().count();
    // The logarithm of a uniform number, divided by the weight, is the greatest one as often as the weight says.
    #[expect(clippy::cast_precision_loss, reason = "far fewer callees than 2^52")]
    let score = |node: NodeId, weight: usize| {
        let uniform = ((spread(key ^ node.0) >> 12) + 1) as f64 / (1_u64 << 52) as f64;
        uniform.ln() / weight as f64
    };
    let nodes = callees().filter_map(|(place, callee)| match callee.session.relay() {
        Some(Relay::Callees(node)) => Some((score(node, callee.weight as usize), (place, callee))),
        Some(Relay::Caller(_)) | None => None,
    });
    let best = nodes.max_by(|(one, _), (other, _)| one.total_cmp(other));
    match best {
        Some((remote, chosen)) if own == 0 || remote > score(node, own) => Some(chosen),
        // Of callees with the same number, the oldest one.
        _ => local().min_by_key(|(_, callee)| spread(key ^ callee.shard)),
    }
}

/// Returns a callee by a random number, each by its weight.
fn random<'c, I: Iterator<Item = (usize, &'c Callee)>>(
    free: impl Fn() -> I,
    chance: u64,
) -> Option<(usize, &'c Callee)> {
    let all: u64 = free().map(|(_, callee)| u64::from(callee.weight)).sum();
    let mut left = chance.checked_rem(all)?;
    free().find(|(_, callee)| {
        let weight = u64::from(callee.weight);
        let is_chosen = left < weight;
        left = left.saturating_sub(weight);
        is_chosen
    })
}
