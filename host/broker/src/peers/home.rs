//! Home: one node of several for a key, the same on all nodes (rendezvous hashing). A node that joins or
//! leaves moves only the keys that it gets, or had.

use std::hash::Hasher;

use fnv::FnvHasher;

use super::NodeId;

/// Returns the node of a key among others; `None` without any.
pub fn home(nodes: impl IntoIterator<Item = NodeId>, key: &[u8]) -> Option<NodeId> {
    let key = mix(hash(key));
    nodes.into_iter().max_by_key(|node| (mix(key ^ mix(node.0)), *node))
}

/// Hashes bytes, as all nodes do (FNV-1a).
pub fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = FnvHasher::default();
    hasher.write(bytes);
    hasher.finish()
}

/// Spreads a number over all bits (the finalizer of SplitMix64).
const fn mix(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
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
