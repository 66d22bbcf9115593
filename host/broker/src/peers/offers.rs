//! Offers: procedures and plugins of nodes, and messages of the host.
//!
//! An offer is announced like a subscription, and ends at once. Its receiver acknowledges it when its
//! host has applied it: from then on, calls there find it.

use std::collections::HashSet;
use std::time::Duration;

use super::envelope::{self, Kind, MAX_WHOLE_BYTES};
use super::interest::MAX_DETAIL_BYTES;
use super::peer::Peer;
use super::{Barrier, InterestKey, NodeId, Notice, Peers, Stake, is_awaited, is_waiting};

impl Peers {
    /// Sets the part of this node in a procedure or plugin; it has none with a count of 0. Details
    /// beyond 64 bytes are cut. Returns the wait until the peers have applied it; `None` without peers
    /// to wait for.
    pub fn offer(&mut self, key: &InterestKey, stake: &Stake, now: Duration) -> Option<Barrier> {
        let detail = stake.detail.slice(..stake.detail.len().min(MAX_DETAIL_BYTES));
        let stake = Stake { count: stake.count, detail };
        if self.local.offer(key, stake.clone()) {
            self.tell(key, &stake);
        }
        let ends = self.by_id.iter_mut().map(|(node, peer)| {
            let send = peer.send();
            (*node, send.number, send.next)
        });
        let ends: Vec<_> = ends.collect();
        let waits = ends.into_iter().filter(|wait| {
            let is_late = |peer: &Peer| peer.offers_late_until.is_some();
            !self.by_id.get(&wait.0).is_some_and(is_late)
                && is_awaited(&self.by_id, *wait, now)
                && is_waiting(&self.by_id, *wait)
        });
        let waits: Vec<_> = waits.collect();
        (!waits.is_empty()).then_some(Barrier(waits))
    }

    /// Ends the wait for an offer: the next ones do not wait for the peers that have not applied it, until
    /// they have.
    pub fn expire_offer(&mut self, barrier: &Barrier) -> Vec<Notice> {
        let late = self.mark_late(barrier, |peer| &mut peer.offers_late_until);
        late.into_iter().map(|(node, name)| Notice::OffersLate { node, name }).collect()
    }

    /// Takes the procedures and plugins whose nodes have changed. Once the host has applied them, it calls
    /// [`settle`](Self::settle).
    pub fn take_changed_offers(&mut self) -> HashSet<InterestKey> {
        self.remote.take_changed()
    }

    /// Acknowledges the offers that were taken. Returns whether there are acknowledgements to send.
    pub fn settle(&mut self) -> bool {
        if self.remote.has_changed() {
            return false;
        }
        let mut is_due = false;
        for peer in self.by_id.values_mut() {
            if peer.settle() {
                peer.send().is_due = true;
                is_due = true;
            }
        }
        is_due
    }

    /// Returns the peers with a part in a procedure or plugin, joined or not.
    pub fn offers(&self, key: &InterestKey) -> Vec<(NodeId, Stake)> {
        let mut offers = self.remote.offers(key).to_vec();
        offers.sort_unstable_by_key(|(node, _)| *node);
        offers
    }

    /// Returns the joined peers with a part in a procedure or plugin, by their id.
    pub fn nodes_with(&self, key: &InterestKey) -> Vec<(NodeId, Stake)> {
        let mut offers = self.offers(key);
        offers.retain(|(node, _)| self.by_id.get(node).is_some_and(|peer| peer.is_joined));
        offers
    }

    /// Returns the joined peers with their names, by their id.
    pub fn joined(&self) -> Vec<(NodeId, String)> {
        let joined = self.by_id.iter().filter(|(_, peer)| peer.is_joined);
        joined.map(|(node, peer)| (*node, peer.name.clone())).collect()
    }

    /// Queues a message for the host of a peer. Returns `false` if the peer is unknown, or the message is
    /// too long (64 MiB). It arrives once, in order, or the peer notices a loss.
    pub fn send(&self, node: NodeId, message: &[u8]) -> bool {
        let Some(peer) = self.by_id.get(&node) else { return false };
        if message.len() > MAX_WHOLE_BYTES {
            return false;
        }
        peer.lock().push_bounded(&envelope::records(Kind::Message, message));
        true
    }
}
