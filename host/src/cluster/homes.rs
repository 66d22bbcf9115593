//! Homes of plugins: the node that runs the hooks of a plugin for the whole cluster, so that its memory,
//! its store and its timers are one.
//!
//! A node announces each of its plugins, and claims those whose home it is. By heartbeat, a plugin without a claim
//! gets its home by rendezvous hashing over the names of the nodes that have it: all of them choose the same one,
//! and it claims the plugin after a second. A claim stays until its node ends, so a node that joins takes no home
//! away. With JetStream, a claim is a [lease](super::lease), and a plugin without one has no home. See decisions 62
//! and 63.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use jackfield_broker::Cluster;
use jackfield_broker::peers::{InterestKey, NodeId, Stake, hash};

use super::claim::{Candidate, Claim, Rule, choose};
use super::decide::LateResult;
use super::inquiries::Inquiries;
use super::lease::HeldLease;
use super::numbered::Numbered;
use super::remote_subscribers::RemoteSubscribers;
use crate::wall_clock;

/// The homes of plugins, as this node knows them.
#[derive(Debug, Default)]
pub(crate) struct Homes {
    /// The homes by the names of the plugins.
    known: ArcSwap<HashMap<String, Place>>,
    /// The leases of this node, of plugins that are ready here. A std mutex: a leaf.
    leases: Mutex<HashMap<String, Arc<HeldLease>>>,
    /// The last homes by heartbeat, of plugins that have had no lease yet. A std mutex: a leaf.
    preferred: Mutex<HashMap<String, NodeId>>,
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

/// The place where the hooks of a plugin run.
#[derive(Clone, Debug, Default)]
struct Place {
    /// The node, and the number of its lease; 0 by heartbeat.
    home: Option<(NodeId, u64)>,
    /// Whether the node is this one.
    is_here: bool,
    /// The lease of this node.
    lease: Option<Arc<HeldLease>>,
    /// Without a home: the node that is to take the lease first.
    next: Option<NodeId>,
    /// A node whose rule of homes differs: there is no home.
    differs: Option<NodeId>,
}

/// The home of a plugin now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Home {
    /// This node, by the lease of this number; 0 by heartbeat.
    Here(u64),
    /// Another node.
    At(NodeId),
    /// There is none.
    Nowhere,
}

/// A plugin that this node has announced.
#[derive(Clone, Copy, Debug)]
struct Announced {
    /// Since when it has its home.
    since: Duration,
    claim: Claim,
    /// The last home.
    last: Option<NodeId>,
}

/// A plugin whose home has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Move {
    pub(crate) plugin: String,
    /// The last home; `None` if there was none yet.
    pub(crate) from: Option<NodeId>,
    /// The home now.
    pub(crate) to: Option<NodeId>,
    /// Whether the last home was the home for a while.
    pub(crate) was_settled: bool,
}

/// A hook runs by a lease of this node, which is not released meanwhile.
pub(crate) struct LeaseGuard(Arc<HeldLease>);

impl LeaseGuard {
    /// Returns whether this node is still the home.
    pub(crate) fn is_valid(&self) -> bool {
        self.0.is_valid()
    }
}

impl Drop for LeaseGuard {
    fn drop(&mut self) {
        self.0.end_hook();
    }
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

    /// Returns the home of a plugin; `None` if the plugin is new here.
    pub(crate) fn of(&self, plugin: &str) -> Option<Home> {
        let known = self.known.load();
        let Place { home, is_here, lease, .. } = known.get(plugin)?;
        Some(match home {
            Some((node, _)) if !is_here => Home::At(*node),
            Some((_, number)) if lease.as_ref().is_none_or(|it| it.is_valid()) => {
                Home::Here(*number)
            }
            Some(_) | None => Home::Nowhere,
        })
    }

    /// Begins a hook of a plugin whose home this node is, by lease; `None` by heartbeat.
    pub(crate) fn begin_hook(&self, plugin: &str) -> Option<LeaseGuard> {
        let known = self.known.load();
        let lease = known.get(plugin).filter(|it| it.is_here)?.lease.as_ref()?;
        lease.begin_hook();
        Some(LeaseGuard(Arc::clone(lease)))
    }

    /// Returns whether a plugin has no home, and `node` is the one that is to take its lease first.
    pub(crate) fn vacancy(&self, plugin: &str, node: NodeId) -> Option<bool> {
        let known = self.known.load();
        let place = known.get(plugin)?;
        (place.home.is_none() && place.differs.is_none()).then_some(place.next == Some(node))
    }

    /// Returns the nodes whose rule of homes differs from the one of this node.
    pub(crate) fn differing(&self) -> BTreeSet<NodeId> {
        self.known.load().values().filter_map(|it| it.differs).collect()
    }

    /// Returns whether a plugin has a home.
    pub(crate) fn has_home(&self, plugin: &str) -> bool {
        self.known.load().get(plugin).is_some_and(|it| it.home.is_some())
    }

    /// Lets the last homes take the first leases, as they have the newest stores.
    pub(crate) fn prefer_last_homes(&self) {
        let announced = self.lock();
        let last = announced.iter().filter_map(|(plugin, it)| Some((plugin.clone(), it.last?)));
        self.lock_preferred().extend(last);
    }

    /// Returns whether a node is to take the first lease of a plugin; `None` if there was one.
    pub(crate) fn prefers(&self, plugin: &str, node: NodeId) -> Option<bool> {
        self.lock_preferred().get(plugin).map(|it| *it == node)
    }

    /// A plugin has its first lease.
    pub(crate) fn prefer_none(&self, plugin: &str) {
        self.lock_preferred().remove(plugin);
    }

    /// Returns the rules of the other nodes that have a plugin of this one; `None` is one of a later version.
    pub(super) fn rules_of_others(&self, cluster: &Cluster) -> Vec<Option<Rule>> {
        let plugins: Vec<_> = self.lock().keys().map(|it| InterestKey::plugin(it)).collect();
        cluster.read(|peers| {
            let stakes = plugins.iter().flat_map(|it| peers.nodes_with(it));
            stakes.map(|(_, it)| Claim::decode(&it.detail).map(|claim| claim.rule)).collect()
        })
    }

    /// Takes a lease into use: hooks may run here when the homes are followed the next time.
    pub(crate) fn use_lease(&self, plugin: &str, lease: &Arc<HeldLease>) {
        self.lock_leases().insert(plugin.to_owned(), Arc::clone(lease));
    }

    /// Uses a lease no more, from the next time on at which the homes are followed.
    pub(crate) fn drop_lease(&self, plugin: &str) {
        self.lock_leases().remove(plugin);
    }

    /// Ends the lease of a plugin at once, if there is one.
    pub(crate) fn end_lease(&self, plugin: &str) {
        if let Some(lease) = self.lock_leases().remove(plugin) {
            lease.end();
        }
    }

    /// Gives the home of a plugin up at once, and tells the keeper of its lease.
    pub(super) fn give_up(&self, plugin: &str) {
        if let Some(lease) = self.lock_leases().get(plugin) {
            lease.give_up();
        }
    }

    /// Returns the number of leases in use.
    pub(crate) fn leases(&self) -> usize {
        self.lock_leases().values().filter(|it| it.is_valid()).count()
    }

    /// Chooses the homes of the plugins of this node, and tells the other nodes what has changed. `taken` is
    /// called for each plugin that comes here from another node, or again, before any hook of it. Returns whether
    /// a home has changed.
    pub(super) fn follow(
        &self,
        cluster: &Cluster,
        (name, rule): (&str, Rule),
        plugins: &BTreeSet<String>,
        now: Duration,
        taken: impl Fn(&str),
    ) -> bool {
        let mut announced = self.lock();
        let leases = self.lock_leases().clone();
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
            let lease = leases.get(plugin).filter(|it| it.is_valid()).cloned();
            let claimed = before_here.map(|it| it.claim).filter(|it| it.rule == rule);
            let number = match rule {
                Rule::Undecided => None,
                Rule::Heartbeat => claimed.and_then(|it| it.number),
                Rule::Lease => lease.as_ref().map(|it| it.number),
            };
            let own = Claim { rule, number };
            let (here, candidates) = candidates(cluster, &key, name, own);
            let choice = choose(plugin, rule, &candidates);
            let place = before.get(plugin).map(|it| it.home);
            let is_changed = place != Some(choice.home);
            let since = before_here.filter(|_| !is_changed).map_or(now, |it| it.since);
            let to = choice.home.map(|it| it.0);
            let is_settled = |since: Duration| now.saturating_sub(since) >= CLAIM_AFTER;
            let claim = match rule {
                Rule::Heartbeat => {
                    let since_epoch = || milliseconds(wall_clock::since_epoch());
                    let is_claimed = to == Some(here) && is_settled(since);
                    let number = is_claimed.then(|| number.unwrap_or_else(since_epoch));
                    Claim { rule, number }
                }
                Rule::Undecided | Rule::Lease => own,
            };
            if before_here.is_none_or(|it| it.claim != claim) {
                let _barrier =
                    cluster.offer(&key, &Stake { count: 1, detail: claim.encode() }, now);
            }
            let last = before_here.and_then(|it| it.last);
            let was_settled =
                rule == Rule::Lease || before_here.is_some_and(|it| is_settled(it.since));
            announced.insert(plugin.clone(), Announced { since, claim, last: to.or(last) });
            if is_changed && to == Some(here) && last.is_some() {
                taken(plugin);
            }
            if is_changed {
                moves.push(Move { plugin: plugin.clone(), from: last, to, was_settled });
            }
            let is_here = to == Some(here);
            let lease = lease.filter(|_| is_here);
            let (next, differs) = (choice.next, choice.differs);
            known
                .insert(plugin.clone(), Place { home: choice.home, is_here, lease, next, differs });
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
    pub(crate) fn list(&self) -> Vec<(String, Option<NodeId>)> {
        let known = self.known.load();
        let home = |(plugin, it): (&String, &Place)| (plugin.clone(), it.home.map(|it| it.0));
        let mut list: Vec<_> = known.iter().map(home).collect();
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

    fn lock_preferred(&self) -> MutexGuard<'_, HashMap<String, NodeId>> {
        self.preferred.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_leases(&self) -> MutexGuard<'_, HashMap<String, Arc<HeldLease>>> {
        self.leases.lock().unwrap_or_else(PoisonError::into_inner)
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
    claim: Claim,
) -> (NodeId, Vec<Candidate>) {
    cluster.read(|peers| {
        let here = peers.node();
        let names: HashMap<_, _> = peers.joined().into_iter().collect();
        let others = peers.nodes_with(key).into_iter().map(|(node, stake)| {
            let name = hash(names.get(&node).map_or(&b""[..], String::as_bytes));
            Candidate { node, name, claim: Claim::decode(&stake.detail) }
        });
        let own = Candidate { node: here, name: hash(name.as_bytes()), claim: Some(claim) };
        (here, others.chain([own]).collect())
    })
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
