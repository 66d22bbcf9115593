//! Messages of hosts and offers of nodes on the simulated bus.

use super::*;

/// Procedures and plugins of nodes.
pub(super) const OFFERS: usize = 4;

fn offered(place: usize) -> InterestKey {
    match place {
        0 => InterestKey::registration(REALM, MatchPolicy::Exact, "a.b"),
        1 => InterestKey::registration(REALM, MatchPolicy::Prefix, "a."),
        2 => InterestKey::registration(REALM, MatchPolicy::Wildcard, ".c"),
        _ => InterestKey::plugin("a.b"),
    }
}

/// An offer with a detail that its number is seen in.
fn stake(number: u32) -> Stake {
    Stake { count: number, detail: Bytes::copy_from_slice(&number.to_le_bytes()) }
}

impl World {
    /// Sends a message, long ones among them, with its number.
    pub(super) fn say(&mut self, index: usize) {
        let to = NodeId(self.below(self.nodes.len() as u64) + 1);
        let node = &mut self.nodes[index];
        let number = node.said.get(&to).copied().unwrap_or_default();
        let length = if number.is_multiple_of(50) { 150_000 } else { 8 };
        let mut message = number.to_le_bytes().to_vec();
        message.resize(length, 0);
        if node.peers.send(to, &message) {
            node.said.insert(to, number + 1);
        }
    }

    /// Changes an offer.
    pub(super) fn offer(&mut self, index: usize) {
        let (place, number) = (self.index(OFFERS), u32::try_from(self.below(4)).unwrap());
        let node = &mut self.nodes[index];
        node.offers[place] = number;
        let _barrier = node.peers.offer(&offered(place), &stake(number), self.now);
    }
}

impl Node {
    /// Checks that no message is lost without a notice, unless messages are forged.
    pub(super) fn hear_messages(&mut self, received: &Received, is_trusting: bool) {
        for (from, message) in received.messages() {
            let number = u64::from_le_bytes(message[..8].try_into().unwrap());
            let next = self.heard.insert(from, number + 1);
            let is_next = is_trusting || next.is_none_or(|next| next == number);
            assert!(is_next, "messages are lost without a notice: {next:?}, {number}");
        }
    }

    pub(super) fn apply_offers(&mut self) {
        let _applied = self.peers.take_changed_offers();
        self.peers.settle();
    }

    /// Checks that all offers of the other nodes are known.
    pub(super) fn check_offers(&self, nodes: &[Self]) {
        for place in 0..OFFERS {
            let others = nodes.iter().filter(|it| it.peers.node() != self.peers.node());
            let with_offer = others.filter(|it| it.offers[place] > 0);
            let offers = with_offer.map(|it| (it.peers.node(), stake(it.offers[place])));
            assert_eq!(self.peers.nodes_with(&offered(place)), offers.collect::<Vec<_>>());
        }
    }
}
