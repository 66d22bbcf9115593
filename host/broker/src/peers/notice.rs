//! Notices: what the peers do, for operators and for histories.

use super::{IncompatibleNode, NodeId};

/// What operators and histories are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// A peer and this node know each other's interest.
    Joined {
        /// The peer.
        node: NodeId,
        /// Its name.
        name: String,
        /// Whether the peer may have published events before that this node did not get.
        is_doubtful: bool,
    },
    /// The peer has said that it leaves. All its events were received.
    Left {
        /// The peer.
        node: NodeId,
        /// Its name.
        name: String,
    },
    /// The peer was silent for too long. Events that it published last may be missing.
    Dead {
        /// The peer.
        node: NodeId,
        /// Its name.
        name: String,
    },
    /// The peer is heard, and its records or acknowledgements do not advance. It is given up, and met
    /// again at its next message.
    Stalled {
        /// The peer.
        node: NodeId,
        /// Its name.
        name: String,
    },
    /// Records of the peer did not arrive.
    Lost {
        /// The peer.
        node: NodeId,
        /// Its name.
        name: String,
        /// Their number.
        records: u64,
    },
    /// One of the two nodes had given up the other: records of an unknown number may be missing.
    Interrupted {
        /// The peer.
        node: NodeId,
        /// Its name.
        name: String,
        /// Whether it was reported before, and the peer has not joined since.
        is_repeated: bool,
    },
    /// The peer did not acknowledge a subscription in time: its events may be missing until it does.
    Late {
        /// The peer.
        node: NodeId,
        /// Its name.
        name: String,
    },
    /// The peer did not apply the procedures of this node in time: its calls may not find them until it
    /// does.
    OffersLate {
        /// The peer.
        node: NodeId,
        /// Its name.
        name: String,
    },
    /// The peer has acknowledged all subscriptions again.
    CaughtUp {
        /// The peer.
        node: NodeId,
        /// Its name.
        name: String,
    },
    /// The interest of the peer is not known completely: it has too many topics, or unreadable ones.
    Incomplete {
        /// The peer.
        node: NodeId,
        /// Its name.
        name: String,
    },
    /// A node of the cluster speaks no version of the messages that this one speaks: they exchange nothing.
    Incompatible(IncompatibleNode),
    /// Such a node is not heard any more. Its events until now are missing.
    IncompatibleGone(IncompatibleNode),
    /// A node is gone that another node knew, and this one did not: its events may be missing.
    GoneElsewhere {
        /// The node.
        node: NodeId,
    },
    /// More nodes say HELLO than a cluster can have.
    TooMany {
        /// The maximum.
        limit: usize,
    },
}

impl Notice {
    /// Returns the peer with which the exchange of messages is broken: some may be missing, in either
    /// direction.
    pub const fn broken(&self) -> Option<NodeId> {
        match self {
            Self::Left { node, .. }
            | Self::Dead { node, .. }
            | Self::Stalled { node, .. }
            | Self::Lost { node, .. }
            | Self::Interrupted { node, .. } => Some(*node),
            Self::Joined { .. }
            | Self::Late { .. }
            | Self::OffersLate { .. }
            | Self::CaughtUp { .. }
            | Self::Incomplete { .. }
            | Self::Incompatible(_)
            | Self::IncompatibleGone(_)
            | Self::GoneElsewhere { .. }
            | Self::TooMany { .. } => None,
        }
    }

    /// Returns whether the peer does not know that messages of it are missing here.
    pub const fn is_gap(&self) -> bool {
        matches!(self, Self::Lost { .. })
    }

    /// Notes that no history should have the events that the peer has published before it joined.
    pub(super) const fn end_doubt(&mut self) {
        if let Self::Joined { is_doubtful, .. } = self {
            *is_doubtful = false;
        }
    }

    /// Returns whether events of the peer may be missing that a history should have.
    pub const fn is_doubt(&self) -> bool {
        match self {
            Self::Joined { is_doubtful, .. } => *is_doubtful,
            Self::Left { .. }
            | Self::OffersLate { .. }
            | Self::Incomplete { .. }
            | Self::TooMany { .. } => false,
            Self::Dead { .. }
            | Self::Stalled { .. }
            | Self::Lost { .. }
            | Self::Interrupted { .. }
            | Self::Late { .. }
            | Self::Incompatible(_)
            | Self::IncompatibleGone(_)
            | Self::GoneElsewhere { .. }
            | Self::CaughtUp { .. } => true,
        }
    }
}
