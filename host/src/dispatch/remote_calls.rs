//! Calls between nodes: the sessions that stand for other nodes and their callers, and what comes from those
//! nodes. A call of another node goes to a callee here as any call does; the access rules of its caller were
//! checked there. See decision 61.

use std::collections::{HashMap, HashSet};
use std::io::IoSlice;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use jackfield_broker::peers::{InterestKey, NodeId};
use jackfield_broker::relay::{
    self, CALLER_FEATURES, NODE_FEATURES, RELAY_DIALECT, Relay, RelayedMessage, RemoteCaller,
};
use jackfield_broker::{
    Bounds, Identity, Outbox, Overflow, PendingFlushes, QuotaError, Session, Terms, Transport,
};
use jackfield_wamp::message::Call;

use super::Dispatch;
use super::authorize::route;
use super::call::Passed;
use crate::cluster::{ClusterNode, Subject};
use crate::ids;

mod offers;

pub(super) use offers::Offers;

/// The size in bytes from which further frames begin another message to a node.
const MAX_CHUNK_BYTES: usize = 1 << 20;

/// The number of nodes from which those that are gone are forgotten. Each restart is another node.
const MAX_NODES: usize = 256;

/// The reason why procedures of other nodes are not called from this one.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FollowError {
    /// The wildcards of all nodes are too many.
    #[error("{0}")]
    Wildcards(QuotaError),
    /// A session that stands for a node has no id.
    #[error("the operating system has no random numbers")]
    NoRandom,
}

/// The other nodes, as callees and callers of a realm.
#[derive(Default)]
pub(super) struct RemoteNodes {
    /// A std mutex: a leaf, held for a look-up.
    nodes: Mutex<HashMap<NodeId, Arc<RemoteNode>>>,
}

/// Another node.
struct RemoteNode {
    /// The session that stands for its callees.
    callees: Arc<Session>,
    line: Arc<Line>,
}

/// The transport of all sessions that stand for a node and its callers.
struct Line {
    cluster: Arc<ClusterNode>,
    node: NodeId,
    realm: String,
    outbox: Arc<Outbox>,
    /// A std mutex: held while the frames are taken and told, in their order.
    writing: Mutex<()>,
}

impl Transport for Line {
    fn flush(&self) {
        let _turn = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut chunks: Vec<Vec<u8>> = Vec::new();
        // The only error is a frame of no bytes, which no message has.
        let _drained = self.outbox.drain(|slices| Ok(self.collect(slices, &mut chunks)));
        for chunk in chunks {
            // The calls of a node that is gone end with it.
            let _is_known = self.cluster.exchange().tell(self.node, Subject::Calls, &chunk);
        }
    }

    fn interrupt(&self) {}
}

impl Line {
    /// Appends whole frames, behind the name of the realm.
    fn collect(&self, slices: &[IoSlice<'_>], chunks: &mut Vec<Vec<u8>>) -> usize {
        let mut taken = 0;
        for slice in slices {
            if chunks.last().is_none_or(|last| last.len() >= MAX_CHUNK_BYTES) {
                chunks.push(relay::message_of(&self.realm));
            }
            let Some(chunk) = chunks.last_mut() else { break };
            chunk.extend_from_slice(slice);
            taken += slice.len();
        }
        taken
    }
}

impl RemoteNode {
    fn new(
        cluster: &Arc<ClusterNode>,
        node: NodeId,
        realm: &str,
    ) -> Result<Self, getrandom::Error> {
        // What waits here is on its way to the queue of the node, which is bounded.
        let bounds = Bounds {
            bytes: usize::MAX / 8,
            frames: usize::MAX / 8,
            overflow: Overflow::Disconnect,
        };
        let line = Arc::new(Line {
            cluster: Arc::clone(cluster),
            node,
            realm: realm.to_owned(),
            outbox: Arc::new(Outbox::new(bounds)),
            writing: Mutex::default(),
        });
        let identity = Identity { authid: format!("node:{node}"), ..Identity::of_node() };
        let (outbox, transport) = (Arc::clone(&line.outbox), Arc::clone(&line) as Arc<_>);
        let id = ids::session()?;
        let session = Session::new(id, identity, RELAY_DIALECT, NODE_FEATURES, outbox, transport);
        Ok(Self { callees: Arc::new(session.standing_for(Relay::Callees(node))), line })
    }

    /// Returns a session that stands for a caller of the node.
    fn caller(&self, caller: &RemoteCaller) -> Arc<Session> {
        let (outbox, transport) = (Arc::clone(&self.line.outbox), Arc::clone(&self.line) as Arc<_>);
        let (id, identity) = (caller.session, caller.identity());
        let session = Session::new(id, identity, RELAY_DIALECT, CALLER_FEATURES, outbox, transport);
        Arc::new(session.standing_for(Relay::Caller(self.line.node)))
    }
}

impl RemoteNodes {
    /// Returns all nodes that were callees or callers.
    fn all(&self) -> Vec<Arc<RemoteNode>> {
        self.lock().values().map(Arc::clone).collect()
    }

    fn get(&self, node: NodeId) -> Option<Arc<RemoteNode>> {
        self.lock().get(&node).map(Arc::clone)
    }

    /// Returns a node, a new one if it is not known. `None` if there are no random bytes for its id.
    fn get_or_add(
        &self,
        cluster: &Arc<ClusterNode>,
        node: NodeId,
        realm: &str,
    ) -> Option<Arc<RemoteNode>> {
        let mut nodes = self.lock();
        if let Some(known) = nodes.get(&node) {
            return Some(Arc::clone(known));
        }
        let new = Arc::new(RemoteNode::new(cluster, node, realm).ok()?);
        nodes.insert(node, Arc::clone(&new));
        Some(new)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<NodeId, Arc<RemoteNode>>> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Dispatch {
    /// Follows the procedures of other nodes that have changed. Their calls find them from then on.
    ///
    /// # Errors
    /// [`FollowError`]; the others are followed.
    pub(crate) fn follow_offers(&self, keys: &HashSet<InterestKey>) -> Result<(), FollowError> {
        let Some(cluster) = &self.cluster else { return Ok(()) };
        // A claim here is computed before an offer is applied, or after it.
        let _turn = self.offers.lock();
        let mut followed = Ok(());
        for key in keys {
            let offers = cluster.shared().read(|peers| peers.offers(key));
            let parts = offers.iter().filter_map(|(node, stake)| {
                let terms = Terms::of_stake(stake)?;
                let node = self.remote_nodes.get_or_add(cluster, *node, self.realm.name());
                let Some(node) = node else {
                    followed = Err(FollowError::NoRandom);
                    return None;
                };
                Some((Arc::clone(&node.callees), terms))
            });
            let parts: Vec<_> = parts.collect();
            let set = self.dealer.set_remotes(key.uri(), key.policy(), &parts);
            followed = followed.and(set.map_err(FollowError::Wildcards));
        }
        followed
    }

    /// Ends all calls to and from a node: messages between the nodes are lost, or it is gone.
    pub(crate) fn interrupt_node(&self, node: NodeId) {
        let mut batch = PendingFlushes::default();
        if let Some(known) = self.remote_nodes.get(node) {
            self.dealer.interrupt_node(&known.callees, &mut batch);
        }
        self.dealer.leave_callers(node, &mut batch);
        self.forget_nodes(&mut batch);
    }

    /// Forgets nodes that are gone, if there were many. Their sessions are kept until
    /// then, as a session counts its invocations: a late answer must not match a new call.
    fn forget_nodes(&self, batch: &mut PendingFlushes) {
        let Some(cluster) = &self.cluster else { return };
        let known = self.remote_nodes.all();
        if known.len() < MAX_NODES {
            return;
        }
        let peers: HashSet<_> = cluster.peers().into_iter().map(|peer| peer.node).collect();
        for gone in known.iter().filter(|it| !peers.contains(&it.line.node)) {
            self.remote_nodes.lock().remove(&gone.line.node);
            self.dealer.leave(gone.callees.id, batch);
        }
    }

    /// Takes the calls and answers of another node, in their order. Returns whether each could be read.
    pub(crate) fn take_relayed(&self, from: NodeId, frames: Bytes) -> bool {
        let Some(cluster) = &self.cluster else { return false };
        let Some(node) = self.remote_nodes.get_or_add(cluster, from, self.realm.name()) else {
            return false;
        };
        let mut batch = PendingFlushes::default();
        let (messages, mut are_all_read) = RelayedMessage::decode_all(frames);
        for message in messages {
            match message {
                RelayedMessage::Call(caller, call) => {
                    are_all_read &=
                        self.take_call(&node.caller(&caller), &caller, &call, &mut batch);
                }
                RelayedMessage::Cancel(caller, cancel, reason) => {
                    self.dealer.cancel_remote(from, caller, &cancel, &reason, &mut batch);
                }
                RelayedMessage::Yield(answer) => {
                    self.dealer.answer(&node.callees, &answer, Instant::now, &mut batch);
                }
                RelayedMessage::Failed(error) => {
                    self.handle_error(&node.callees, &error, &mut batch);
                }
                RelayedMessage::Refused(error) => {
                    let (may_offer, chance) = (self.may_offer_now(), fastrand::u64(..));
                    let is_earliest = self.dealer.refused_by_node(
                        &node.callees,
                        &error,
                        may_offer,
                        chance,
                        &mut batch,
                    );
                    self.note_timeout(is_earliest);
                }
            }
        }
        are_all_read
    }

    /// Passes a call of another node to a callee of this one. Returns `false` for one that its node may not
    /// make: with the id of a pending call, or in the name of another node's caller.
    fn take_call(
        &self,
        from: &Arc<Session>,
        caller: &RemoteCaller,
        call: &Call,
        batch: &mut PendingFlushes,
    ) -> bool {
        if caller.continues {
            // Its call may have ended: then this is the rest.
            let _done_or_ended = self.dealer.go_on(from, call, batch);
            return true;
        }
        let generation = self.generations.current();
        let routed = route(&generation, self.at(&call.procedure));
        let routed = routed.as_ref().ok().and_then(Option::as_ref);
        match self.route_to_callee(&generation, routed, from, call, None, batch) {
            Ok(Passed::On) => {}
            Ok(Passed::Repeated) => return false,
            Err(refusal) => {
                self.dealer.refuse_remote(from, call, (refusal.uri(), refusal.message()), batch);
            }
        }
        true
    }
}
