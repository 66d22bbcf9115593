//! Membership: the nodes that join, and those that are gone for all nodes.

use std::sync::Arc;
use std::time::Duration;

use super::envelope::{self, Kind};
use super::gone::{self, End, Gone};
use super::peer::Peer;
use super::{MAX_PEERS, NodeId, Notice, Peers, Received};

/// The time in which a node joins, usually.
const JOIN_TIME: Duration = Duration::from_secs(1);

impl Peers {
    /// Returns whether a node was met just now: it may have published events before it has joined.
    pub fn is_joining(&self, now: Duration) -> bool {
        let is_joining =
            |peer: &Peer| !peer.is_joined && now.saturating_sub(peer.heard) < JOIN_TIME;
        self.by_id.values().any(is_joining)
    }

    /// Returns the nodes that are gone.
    pub(crate) const fn gone(&self) -> &Arc<Gone> {
        &self.gone
    }

    /// Tells all peers that a node is gone: some may not know it.
    fn tell_gone(&mut self, node: NodeId, end: End) {
        let mut content = Vec::new();
        gone::put(node, end, &mut content);
        let records = envelope::records(Kind::Gone, &content);
        for peer in self.by_id.values_mut() {
            peer.send().push_bounded(&records);
        }
    }

    /// Notes that a node is met, which may have been given up.
    pub(super) fn revive(&mut self, node: NodeId) {
        if self.gone.end(node) == Some(End::Dead) {
            Arc::make_mut(&mut self.gone).remove(node);
        }
    }

    /// Notes that a node was given up.
    pub(super) fn give_up(&mut self, node: NodeId) {
        Arc::make_mut(&mut self.gone).insert(node, End::Dead);
        self.tell_gone(node, End::Dead);
    }

    /// Notes that a node has said goodbye, to this one or to a peer.
    fn leave_out(&mut self, node: NodeId, now: Duration) {
        self.remove(node);
        self.left.truncate(MAX_PEERS - 1);
        self.left.push_front((node, now));
    }

    /// Notes that a peer has said goodbye to this node.
    pub(super) fn take_leave(&mut self, node: NodeId, now: Duration) {
        self.leave_out(node, now);
        Arc::make_mut(&mut self.gone).leave(node);
        self.tell_gone(node, End::Left);
    }

    /// Notes nodes that are gone for a peer. One that is a peer here is not gone.
    pub(super) fn take_gone(&mut self, received: &mut Received, now: Duration) {
        for (node, end) in std::mem::take(&mut received.gone) {
            let is_silent = |peer: &Peer| end == End::Left && !peer.has_spoken();
            if self.by_id.get(&node).is_some_and(is_silent) {
                self.leave_out(node, now);
            }
            let is_here = node == self.about.node || self.by_id.contains_key(&node);
            if end < self.gone.end(node).unwrap_or(end) {
                // All nodes are to agree.
                self.tell_gone(node, End::Dead);
            }
            if is_here {
                continue;
            }
            let gone = Arc::make_mut(&mut self.gone);
            if self.about.is_fresh {
                // Before it serves clients, a node has missed nothing. It takes over the order.
                let _is_new =
                    if end == End::Left { gone.leave(node) } else { gone.insert(node, end) };
            } else if gone.insert(node, end) {
                received.notices.push(Notice::GoneElsewhere { node });
            }
        }
    }
}
