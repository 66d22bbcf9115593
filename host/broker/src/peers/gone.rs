//! Gone nodes: those that have left, or were given up. All nodes agree on them, so their digest says which nodes
//! may have published an event that a client does not know.
//!
//! A node that leaves has sent all its events. One that was given up may have had events that no other node has. If
//! it comes back, it is not gone.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::BufMut;

use super::NodeId;
use super::bytes::Input;
use crate::spread::spread;

/// The maximum number of gone nodes that are known. All nodes keep the same ones: those with the greatest ids.
const MAX_GONE: usize = 256;

/// The maximum number of nodes that have left, in order.
const MAX_LEFT: usize = 64;

/// The way in which a node has gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum End {
    Left,
    /// It was given up.
    Dead,
}

/// The nodes that are gone, for readers without the lock of the peers.
pub(super) type SharedGone = Arc<Gone>;

/// The nodes that are gone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gone {
    nodes: BTreeMap<NodeId, End>,
    digest: u64,
    /// The last nodes that have left, oldest first, and the number of all of them.
    left: VecDeque<NodeId>,
    count: u64,
}

impl Gone {
    /// Returns the digest of all of them.
    pub(crate) const fn digest(&self) -> u64 {
        self.digest
    }

    /// Returns how many nodes have left so far.
    pub(crate) const fn count(&self) -> u64 {
        self.count
    }

    pub(crate) fn contains(&self, node: u64) -> bool {
        self.nodes.contains_key(&NodeId(node))
    }

    pub(super) fn end(&self, node: NodeId) -> Option<End> {
        self.nodes.get(&node).copied()
    }

    /// Returns the nodes that have left since a digest, which was the digest then; `None` if it was not, or if it
    /// is from before the first `count` nodes had left.
    pub(crate) fn since(&self, digest: u64, count: u64) -> Option<Vec<u64>> {
        let later = usize::try_from(self.count.saturating_sub(count)).unwrap_or(usize::MAX);
        let (mut now, mut nodes) = (self.digest, Vec::new());
        let mut left = self.left.iter().rev().take(later);
        while now != digest {
            let node = left.next()?;
            now ^= mark(*node, End::Left);
            nodes.push(node.0);
        }
        Some(nodes)
    }

    /// Returns what the digest would be without the nodes that have left since the first `count`; `None` if these
    /// are too many.
    pub(crate) fn digest_at(&self, count: u64) -> Option<u64> {
        let later = usize::try_from(self.count.saturating_sub(count)).ok()?;
        let first = self.left.len().checked_sub(later)?;
        let without = |digest, node: &NodeId| digest ^ mark(*node, End::Left);
        Some(self.left.range(first..).fold(self.digest, without))
    }

    /// Returns how many nodes had left at a digest of [`Self::digest_at`] of any node, if the order here has it.
    pub(crate) fn count_at(&self, digest: u64) -> Option<u64> {
        let later = self.since(digest, 0)?.len() as u64;
        self.count.checked_sub(later)
    }

    /// Notes that a peer has said goodbye, behind all its events. Returns whether that is new.
    pub(crate) fn leave(&mut self, node: NodeId) -> bool {
        let is_new = self.insert(node, End::Left);
        if is_new {
            self.count += 1;
            self.left.push_back(node);
            if self.left.len() > MAX_LEFT {
                self.left.pop_front();
            }
        }
        is_new
    }

    /// Notes that a node is gone. Returns whether that is new. One that was given up by any node may have had
    /// events that others do not have.
    pub(super) fn insert(&mut self, node: NodeId, end: End) -> bool {
        if self.nodes.get(&node).is_some_and(|known| *known >= end) {
            return false;
        }
        self.remove(node);
        self.digest ^= mark(node, end);
        self.nodes.insert(node, end);
        if self.nodes.len() > MAX_GONE
            && let Some((first, end)) = self.nodes.pop_first()
        {
            self.digest ^= mark(first, end);
            return first != node;
        }
        true
    }

    /// Forgets a node that is heard again.
    pub(super) fn remove(&mut self, node: NodeId) {
        if let Some(end) = self.nodes.remove(&node) {
            self.digest ^= mark(node, end);
        }
    }

    /// Writes all of them; those that have left, in this order, are the last ones.
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        let has_left = |node: &NodeId| self.left.contains(node);
        let others = self.nodes.keys().filter(|node| !has_left(node));
        for node in others.chain(&self.left) {
            if let Some(end) = self.end(*node) {
                put(*node, end, out);
            }
        }
    }
}

/// Writes a gone node.
pub(super) fn put(node: NodeId, end: End, out: &mut Vec<u8>) {
    out.put_u64_le(node.0);
    out.put_u8(u8::from(end == End::Dead));
}

/// Reads gone nodes until the end, [`MAX_GONE`] at most. One that cannot be read ends them.
pub(super) fn read(input: &mut Input) -> Vec<(NodeId, End)> {
    let one = |_| {
        let (node, is_dead) = (NodeId(input.u64()?), input.u8()? != 0);
        Some((node, if is_dead { End::Dead } else { End::Left }))
    };
    (0..MAX_GONE).map_while(one).collect()
}

/// The part of a node in the digest.
const fn mark(node: NodeId, end: End) -> u64 {
    match end {
        End::Left => spread(node.0),
        End::Dead => spread(!spread(node.0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_tells_who_has_left_since() {
        let mut gone = Gone::default();
        let digests: Vec<_> = (1..=5)
            .map(|node| {
                gone.leave(NodeId(node));
                gone.digest()
            })
            .collect();
        assert_eq!(
            (gone.since(digests[4], 0), gone.since(digests[2], 0)),
            (Some(vec![]), Some(vec![5, 4]))
        );
        assert_eq!(gone.since(0, 0), Some(vec![5, 4, 3, 2, 1]));
        assert_eq!(
            (gone.since(digests[2], 3), gone.since(digests[1], 3)),
            (Some(vec![5, 4]), None)
        );
        assert_eq!(gone.since(77, 0), None);
        // A node that was given up ends what is known of the time before.
        assert!(gone.insert(NodeId(9), End::Dead) && !gone.insert(NodeId(9), End::Left));
        assert_eq!(gone.since(digests[4], 0), None);
        gone.remove(NodeId(9));
        assert_eq!(gone.since(digests[4], 5), Some(vec![]));
        assert!(gone.insert(NodeId(5), End::Dead), "another node has given it up");
        assert_eq!(gone.since(digests[3], 0), None);
    }

    #[test]
    fn a_digest_of_another_node_tells_who_has_left_since() {
        let (mut one, mut other) = (Gone::default(), Gone::default());
        for node in [1, 2, 3, 4] {
            assert!(one.leave(NodeId(node)) && !one.leave(NodeId(node)));
        }
        // It has taken over the order of the first three.
        let mut bytes = Vec::new();
        one.put(&mut bytes);
        for (node, _) in read(&mut Input::new(bytes.into())).into_iter().take(3) {
            other.leave(node);
        }
        other.insert(NodeId(9), End::Dead);
        one.insert(NodeId(9), End::Dead);
        other.leave(NodeId(4));
        assert_eq!((one.digest_at(4), one.digest_at(5)), (Some(one.digest()), Some(one.digest())));
        let counts = (0..=4).map(|count| other.count_at(one.digest_at(count).unwrap()));
        assert_eq!(counts.collect::<Vec<_>>(), [0, 1, 2, 3, 4].map(Some));
        assert_eq!(other.count_at(77), None);
        for node in 100..164 {
            one.leave(NodeId(node));
        }
        assert_eq!((one.digest_at(3), one.digest_at(4).is_some()), (None, true));
    }

    #[test]
    fn all_orders_have_one_digest() {
        let (mut one, mut other) = (Gone::default(), Gone::default());
        for node in 0..1_000_u64 {
            one.insert(NodeId(spread(node)), End::Left);
            other.insert(NodeId(spread(999 - node)), End::Left);
        }
        assert_eq!(one.digest(), other.digest());
        let mut bytes = Vec::new();
        one.put(&mut bytes);
        let read = read(&mut Input::new(bytes.into()));
        assert_eq!(read, one.nodes.into_iter().collect::<Vec<_>>());
    }
}
