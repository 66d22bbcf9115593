//! Members: the nodes of the cluster as this one sees them.

use jackfield_broker::peers::NodeId;

/// The nodes of the cluster that are joined now, this one included, by their id.
#[derive(Clone, Debug, PartialEq, Eq)]
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

    /// Returns the other nodes.
    pub(crate) fn others(&self) -> impl Iterator<Item = NodeId> {
        self.nodes.iter().map(|(node, _)| *node).filter(|node| *node != self.this)
    }
}
