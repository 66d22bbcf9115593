//! Homes of plugins: the node that runs the hooks of a plugin for the whole cluster, so that its memory,
//! its store and its timers are one.
//!
//! A node announces each of its plugins, and claims those whose home it has been for a second, with the time
//! since which it is. A plugin without a claim gets its home by rendezvous hashing over the names of the nodes
//! that have it: all of them choose the same one. A claim stays until its node ends, so a node that joins takes
//! no home away. Of several claims, as after a division of the cluster, the oldest counts: it has the state. See
//! decision 62.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use jackfield_broker::Cluster;
use jackfield_broker::peers::{InterestKey, NodeId, Stake, hash, home};

use super::decide::LateResult;
use super::inquiries::Inquiries;
use super::numbered::Numbered;
use super::remote_subscribers::RemoteSubscribers;
use crate::wall_clock;

/// The homes of plugins, as this node knows them.
#[derive(Debug, Default)]
pub(crate) struct Homes {
    /// The homes by the names of the plugins.
    known: ArcSwap<HashMap<String, NodeId>>,
    /// The plugins that this node has announced. A std mutex: held while homes are chosen. The lock of the
    /// peers is taken under it.
    announced: Mutex<HashMap<String, Announced>>,
    /// The subscribers on other nodes of plugins whose home this node is.
    pub(crate) subscribers: RemoteSubscribers,
    /// The changes since they were taken. A std mutex: a leaf.
    moves: Mutex<Vec<Move>>,
    /// Passages of hooks until another node has performed their effects.
    pub(crate) passages: Numbered<()>,
    /// Deferred results that another node waits for.
    pub(crate) deferred: Numbered<()>,
    /// Deferred results that this node waits for.
    pub(crate) awaited: Numbered<LateResult>,
    last_number: AtomicU64,
    /// The homes that are being asked about all subscribers now.
    pub(crate) inquiries: Inquiries,
    /// The names of nodes that have joined, also of those that have gone. A std mutex: a leaf.
    names: Mutex<HashMap<NodeId, String>>,
}

/// The maximum number of names of nodes. They are forgotten together.
const MAX_NAMES: usize = 1_024;

/// A plugin that this node has announced.
#[derive(Clone, Copy, Debug)]
struct Announced {
    /// Since when it has its home.
    since: Duration,
    /// This node claims the home: the time since which it has been here, in milliseconds since 1970.
    claim: Option<u64>,
}

/// A node that has a plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Candidate {
    node: NodeId,
    /// The hash of its name.
    name: u64,
    claim: Option<u64>,
}

/// A plugin whose home has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Move {
    pub(crate) plugin: String,
    /// The former home; `None` if this is the first one.
    pub(crate) from: Option<NodeId>,
    pub(crate) to: NodeId,
    /// Whether the former home was the home for a while.
    pub(crate) was_settled: bool,
}

/// The time after which a home is claimed: the nodes that get a plugin together hear of each other first.
const CLAIM_AFTER: Duration = Duration::from_secs(1);

impl Homes {
    /// Creates the homes of a node, which knows none yet.
    pub(super) fn of_node(node: NodeId, name: &str) -> Self {
        let homes = Self::default();
        homes.note_names([(node, name)].into_iter());
        homes
    }

    /// Returns the home of a plugin; `None` if it was not chosen yet.
    pub(crate) fn of(&self, plugin: &str) -> Option<NodeId> {
        self.known.load().get(plugin).copied()
    }

    /// Chooses the homes of the plugins of this node, and tells the other nodes what has changed. `taken` is
    /// called for each plugin that comes here from another node, before any hook of it. Returns whether a
    /// home has changed.
    pub(super) fn follow(
        &self,
        cluster: &Cluster,
        name: &str,
        plugins: &BTreeSet<String>,
        now: Duration,
        taken: impl Fn(&str),
    ) -> bool {
        let mut announced = self.lock();
        let before = self.known.load_full();
        announced.retain(|plugin, _| {
            let is_kept = plugins.contains(plugin);
            if !is_kept {
                // Nothing waits for it.
                let _barrier = cluster.offer(&InterestKey::plugin(plugin), &Stake::default(), now);
                self.subscribers.remove_plugin(plugin);
            }
            is_kept
        });
        let (mut moves, mut known) = (Vec::new(), HashMap::new());
        for plugin in plugins {
            let key = InterestKey::plugin(plugin);
            let before_here = announced.get(plugin).copied();
            let own = before_here.and_then(|it| it.claim);
            let (here, candidates) = candidates(cluster, &key, name, own);
            let to = choose(plugin, &candidates).unwrap_or(here);
            let from = before.get(plugin).copied();
            let since = before_here.filter(|_| from == Some(to)).map_or(now, |it| it.since);
            let is_settled = |since: Duration| now.saturating_sub(since) >= CLAIM_AFTER;
            let claim = (to == here && is_settled(since))
                .then(|| own.unwrap_or_else(|| milliseconds(wall_clock::since_epoch())));
            if before_here.is_none_or(|it| it.claim != claim) {
                let detail = claim.map(u64::to_be_bytes);
                let detail = detail.map_or_else(Bytes::new, |it| Bytes::copy_from_slice(&it));
                let _barrier = cluster.offer(&key, &Stake { count: 1, detail }, now);
            }
            announced.insert(plugin.clone(), Announced { since, claim });
            if from.is_some_and(|from| from != here) && to == here {
                taken(plugin);
            }
            if from != Some(to) {
                let was_settled = before_here.is_some_and(|it| is_settled(it.since));
                moves.push(Move { plugin: plugin.clone(), from, to, was_settled });
            }
            known.insert(plugin.clone(), to);
        }
        self.known.store(known.into());
        let has_moved = !moves.is_empty();
        self.moves.lock().unwrap_or_else(PoisonError::into_inner).append(&mut moves);
        has_moved
    }

    /// Takes the changes of homes.
    pub(crate) fn take_moves(&self) -> Vec<Move> {
        std::mem::take(&mut self.moves.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Returns the plugins of this node and their homes, by name.
    pub(crate) fn list(&self) -> Vec<(String, NodeId)> {
        let known = self.known.load();
        let mut list: Vec<_> = known.iter().map(|(plugin, node)| (plugin.clone(), *node)).collect();
        list.sort_unstable();
        list
    }

    /// Returns the name of a node, also of one that has gone.
    pub(super) fn name_of(&self, node: NodeId) -> Option<String> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner).get(&node).cloned()
    }

    /// Notes the names of nodes that are joined.
    pub(super) fn note_names<'n>(&self, nodes: impl Iterator<Item = (NodeId, &'n str)>) {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if names.len() >= MAX_NAMES {
            names.clear();
        }
        names.extend(nodes.map(|(node, name)| (node, name.to_owned())));
    }

    /// Returns a number that is not in use.
    pub(crate) fn number(&self) -> u64 {
        self.last_number.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Ends what waits for a node that has gone, or whose messages were lost.
    pub(crate) fn release_all(&self, node: NodeId) {
        self.passages.remove_all(node);
        self.deferred.remove_all(node);
        self.awaited.remove_all(node);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Announced>> {
        self.announced.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns this node, and the nodes that have a plugin, this one included, which has the name and the claim.
fn candidates(
    cluster: &Cluster,
    key: &InterestKey,
    name: &str,
    claim: Option<u64>,
) -> (NodeId, Vec<Candidate>) {
    cluster.read(|peers| {
        let here = peers.node();
        let names: HashMap<_, _> = peers.joined().into_iter().collect();
        let others = peers.nodes_with(key).into_iter().map(|(node, stake)| {
            let claim = stake.detail.as_ref().try_into().ok().map(u64::from_be_bytes);
            let name = hash(names.get(&node).map_or(&b""[..], String::as_bytes));
            Candidate { node, name, claim }
        });
        let own = Candidate { node: here, name: hash(name.as_bytes()), claim };
        (here, others.chain([own]).collect())
    })
}

/// Chooses the home of a plugin. All nodes that know the same candidates choose the same one.
fn choose(plugin: &str, candidates: &[Candidate]) -> Option<NodeId> {
    let claims = candidates.iter().filter_map(|it| Some((it.claim?, it.node)));
    if let Some((_, oldest)) = claims.min() {
        return Some(oldest);
    }
    let NodeId(name) = home(candidates.iter().map(|it| NodeId(it.name)), plugin.as_bytes())?;
    candidates.iter().filter(|it| it.name == name).map(|it| it.node).min()
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(node: u64, claim: Option<u64>) -> Candidate {
        Candidate { node: NodeId(node), name: hash(format!("web-{node}").as_bytes()), claim }
    }

    #[test]
    fn the_oldest_claim_stays() {
        let check = |all: &[(u64, Option<u64>)], expect: u64| {
            let all: Vec<_> = all.iter().map(|(node, claim)| candidate(*node, *claim)).collect();
            assert_eq!(choose("acme", &all), Some(NodeId(expect)), "{all:?}");
        };
        // A node that joins, whatever its id is.
        check(&[(1, None), (2, Some(100)), (3, None)], 2);
        check(&[(2, Some(100)), (3, None)], 2);
        // Nodes that were apart.
        check(&[(1, Some(200)), (2, Some(100)), (3, Some(300))], 2);
        check(&[(2, Some(100)), (1, Some(100))], 1);
        check(&[(4, None)], 4);
        assert_eq!(choose("acme", &[]), None);
    }

    #[test]
    fn nodes_of_the_same_names_choose_the_same_homes_after_a_restart() {
        let names = ["web-1", "web-2", "web-3"].map(|name| hash(name.as_bytes()));
        let mut chosen = BTreeSet::new();
        for plugin in 0..40 {
            let plugin = format!("plugin-{plugin}");
            let of = |ids: [u64; 3]| {
                let ids = ids.map(NodeId);
                let all = ids.into_iter().zip(names);
                let all = all.map(|(node, name)| Candidate { node, name, claim: None });
                let node = choose(&plugin, &all.collect::<Vec<_>>()).unwrap();
                ids.iter().position(|id| *id == node)
            };
            assert_eq!(of([7, 8, 9]), of([30, 2, 11]), "{plugin}");
            chosen.extend(of([7, 8, 9]));
        }
        assert_eq!(chosen.len(), 3, "the plugins are distributed");
    }
}
