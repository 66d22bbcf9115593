//! Nodes of a cluster: their ids, and sessions that stand for a node or for a caller of another one.

/// A node of a cluster: a number that each process draws, so that a restart is another node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u64);

impl std::fmt::Display for NodeId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// The remote party of a session that stands for others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relay {
    /// The callees of a node.
    Callees(NodeId),
    /// A caller of a node.
    Caller(NodeId),
}
