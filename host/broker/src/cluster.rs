//! Cluster: the state of the peers, shared by the realms of a node and its connection to the others.
//!
//! Publications take the read side of its lock, and push into the outbox of each interested peer. No
//! other lock is taken under it but those of these outboxes.

use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;

use crate::peers::{Barrier, InterestKey, NodeId, Notice, PeerView, Peers, Received, Stake};
use crate::publication::Publication;
use crate::wake::Wake;

/// The peers of a node.
pub struct Cluster {
    peers: RwLock<Peers>,
    /// Wakes the task that sends.
    wake: Wake,
}

impl Cluster {
    /// Creates the state of a node. `wake` is called when messages for peers wait.
    pub fn new(peers: Peers, wake: impl Fn() + Send + Sync + 'static) -> Self {
        Self { peers: RwLock::new(peers), wake: Wake::new(wake) }
    }

    /// Returns the way to wake the task that sends.
    pub(crate) const fn waking(&self) -> &Wake {
        &self.wake
    }

    /// Queues an event for each peer with subscribers. Returns whether there is one, and the number of
    /// matching steps.
    pub(crate) fn publish(&self, realm: &str, publication: &Publication<'_>) -> (bool, usize) {
        self.read(|peers| peers.publish(realm, publication))
    }

    /// Returns the number of subscribers of a topic by name on all peers, as last heard.
    pub(crate) fn count(&self, realm: &str, topic: &str) -> usize {
        self.read(|peers| peers.count(realm, topic))
    }

    /// Announces a topic or pattern, see [`Peers::announce`]. The records are sent at once.
    pub fn announce(&self, key: &InterestKey, now: Duration) -> Option<Barrier> {
        let barrier = self.write(|peers| peers.announce(key, now));
        if barrier.is_some() {
            self.wake.wake();
        }
        barrier
    }

    /// Sets the part of this node in a procedure or plugin, see [`Peers::offer`]. It is sent at once.
    pub fn offer(&self, key: &InterestKey, stake: &Stake, now: Duration) -> Option<Barrier> {
        let barrier = self.write(|peers| peers.offer(key, stake, now));
        self.wake.wake();
        barrier
    }

    /// Queues a message for the host of a peer, see [`Peers::send`]. It is sent at once.
    pub fn send(&self, node: NodeId, message: &[u8]) -> bool {
        let is_queued = self.read(|peers| peers.send(node, message));
        self.wake.wake();
        is_queued
    }

    /// Takes a message to this node.
    pub fn receive(&self, bytes: &Bytes, now: Duration) -> Received {
        self.write(|peers| peers.receive(bytes, now))
    }

    /// Returns whether all peers of a barrier have acknowledged it, or are gone.
    pub fn is_acknowledged(&self, barrier: &Barrier) -> bool {
        self.read(|peers| peers.is_acknowledged(barrier))
    }

    /// Ends the wait of a barrier.
    pub fn expire(&self, barrier: &Barrier) -> Vec<Notice> {
        self.write(|peers| peers.expire(barrier))
    }

    /// Takes the next message to each peer for which one waits.
    pub fn take_messages(&self) -> Vec<(NodeId, Vec<u8>)> {
        self.read(Peers::take_messages)
    }

    /// Returns the peers for operators.
    pub fn views(&self, now: Duration) -> Vec<PeerView> {
        self.read(|peers| peers.views(now))
    }

    /// Reads the state.
    pub fn read<T>(&self, read: impl FnOnce(&Peers) -> T) -> T {
        read(&self.peers.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes the state.
    pub fn write<T>(&self, change: impl FnOnce(&mut Peers) -> T) -> T {
        change(&mut self.peers.write().unwrap_or_else(PoisonError::into_inner))
    }
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster").finish_non_exhaustive()
    }
}
