//! Home: one node of several for a key, the same on all nodes (rendezvous hashing). A node that joins or
//! leaves moves only the keys that it gets, or had.

use std::hash::Hasher;

use fnv::FnvHasher;

use super::NodeId;
use crate::spread::spread;

/// Returns the node of a key among others; `None` without any.
pub fn home(nodes: impl IntoIterator<Item = NodeId>, key: &[u8]) -> Option<NodeId> {
    let key = spread(hash(key));
    nodes.into_iter().max_by_key(|node| (spread(key ^ spread(node.0)), *node))
}

/// Hashes bytes, as all nodes do (FNV-1a).
pub fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = FnvHasher::default();
    hasher.write(bytes);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_home_moves_only_with_its_node() {
        let nodes = [3, 7, 12, 99].map(NodeId);
        let mut counts = [0; 4];
        for key in 0..4_000_u32 {
            let key = key.to_le_bytes();
            let found = home(nodes, &key).unwrap();
            assert_eq!(home(nodes.into_iter().rev(), &key), Some(found), "in any order");
            for (place, gone) in nodes.into_iter().enumerate() {
                let rest = nodes.into_iter().filter(|node| *node != gone);
                let moved = home(rest, &key).unwrap();
                assert!(moved == found || gone == found);
                counts[place] += usize::from(gone == found);
            }
        }
        assert!(counts.iter().all(|count| (800..1_200).contains(count)), "{counts:?}");
        assert_eq!(home([], b"key"), None);
    }
}
