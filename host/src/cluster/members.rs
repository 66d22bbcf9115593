//! Members: the nodes of the cluster as this one sees them.

use jackfield_broker::peers::{NodeId, home};

/// The nodes of the cluster that are joined now, this one included, by their id.
#[derive(Clone, Debug)]
pub(crate) struct Members {
    nodes: Vec<(NodeId, String)>,
    this: NodeId,
}

impl Members {
    pub(super) fn new(this: NodeId, name: &str, joined: Vec<(NodeId, String)>) -> Self {
        let mut nodes = joined;
        nodes.push((this, name.to_owned()));
        nodes.sort_unstable();
        Self { nodes, this }
    }

    /// Returns the two nodes that remember a key, the first of which decides. A node that joins or
    /// leaves replaces one of them at most.
    pub(crate) fn homes(&self, key: &[u8]) -> Vec<NodeId> {
        let nodes = || self.nodes.iter().map(|(node, _)| *node);
        let first = home(nodes(), key);
        let second = home(nodes().filter(|node| Some(*node) != first), key);
        first.into_iter().chain(second).collect()
    }

    /// Returns the nodes with their names.
    pub(super) fn names(&self) -> impl Iterator<Item = (NodeId, &str)> {
        self.nodes.iter().map(|(node, name)| (*node, name.as_str()))
    }

    /// Returns whether a node is among them.
    pub(super) fn contains(&self, node: NodeId) -> bool {
        self.nodes.iter().any(|(known, _)| *known == node)
    }

    /// Returns the other nodes.
    pub(crate) fn others(&self) -> impl Iterator<Item = NodeId> {
        self.nodes.iter().map(|(node, _)| *node).filter(|node| *node != self.this)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_of_one_node_keeps_a_home() {
        let members = |ids: &[u64]| {
            let joined = ids.iter().map(|id| (NodeId(*id), "web".to_owned())).collect();
            Members::new(NodeId(1), "this", joined)
        };
        for key in 0..500_u32 {
            let key = key.to_le_bytes();
            let homes = members(&[2, 3, 4]).homes(&key);
            assert_eq!(homes.len(), 2);
            for changed in [&[3, 4][..], &[2, 4], &[2, 3], &[2, 3, 4, 5]] {
                let next = members(changed).homes(&key);
                assert!(next.iter().any(|node| homes.contains(node)), "{homes:?} {next:?}");
            }
        }
        assert_eq!(members(&[]).homes(b"key"), [NodeId(1)]);
    }
}
