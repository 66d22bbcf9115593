//! Releases: nodes of different versions and with different sites in one cluster, as during a rolling upgrade.

use std::env;

use jackfield_broker::peers::{IncompatibleNode, NodeId, PeerView, Peers, Versions};

use super::ClusterNode;

/// The version of this Jackfield.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Lets this node speak as one of the next release, for tests of upgrades: it speaks one more version of the
/// envelope, and sends records that no release knows. With the value `alone`, it speaks that version alone.
/// Only for servers of NATS on this machine: a real next release would have another form of that version.
const TEST_VARIABLE: &str = "JACKFIELD_TEST_NEXT_RELEASE";

/// Creates the state of a node.
pub(super) fn peers(id: NodeId, name: &str, urls: &[String]) -> Peers {
    let peers = Peers::new(id, name, VERSION);
    let Some(value) = env::var_os(TEST_VARIABLE) else { return peers };
    if !urls.iter().all(|url| is_of_machine(url)) {
        tracing::warn!(name: "cluster.test_release", variable = TEST_VARIABLE, "the variable is ignored: it is for tests with servers of NATS on this machine");
        return peers;
    }
    let Versions { lowest, highest } = Versions::SPOKEN;
    let highest = highest.saturating_add(1);
    let lowest = if value == "alone" { highest } else { lowest };
    let versions = Versions { lowest, highest };
    tracing::warn!(name: "cluster.test_release", variable = TEST_VARIABLE, "this node speaks as one of the next release, for a test");
    peers.as_later_release(versions)
}

/// Returns whether a URL of NATS is of this machine.
fn is_of_machine(url: &str) -> bool {
    let place = url.split_once("://").map_or(url, |(_, place)| place);
    ["127.", "[::1]", "localhost"].iter().any(|local| place.starts_with(local))
}

/// What this node speaks and serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OwnRelease {
    /// The versions of the messages between nodes.
    pub(crate) versions: Versions,
    /// The digest of its routes and plugins.
    pub(crate) site: String,
}

/// Another node beside this one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NodeView {
    /// The node.
    pub(crate) peer: PeerView,
    /// Whether it has another version of Jackfield; `None` if it has not said it yet.
    pub(crate) has_other_version: Option<bool>,
    /// Whether it has other routes or plugins; `None` if it has not said it yet.
    pub(crate) has_other_site: Option<bool>,
}

/// The number of nodes that differ from this one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct DifferentNodes {
    /// Those of another version of Jackfield.
    pub(crate) version: u64,
    /// Those with other routes or plugins.
    pub(crate) site: u64,
    /// Those with which this one exchanges nothing.
    pub(crate) incompatible: u64,
}

impl ClusterNode {
    /// Returns what this node speaks and serves.
    pub(crate) fn release(&self) -> OwnRelease {
        self.cluster.read(|it| OwnRelease { versions: it.versions(), site: it.site().to_owned() })
    }

    /// Sets the digest of the routes and plugins that this node serves.
    pub(crate) fn set_site(&self, site: &str) {
        self.cluster.write(|it| it.set_site(site));
    }

    /// Returns the other nodes.
    pub(crate) fn nodes(&self) -> Vec<NodeView> {
        let own = self.release().site;
        self.peers().into_iter().map(|peer| NodeView::new(peer, &own)).collect()
    }

    /// Returns the nodes with which this one exchanges nothing.
    pub(crate) fn incompatible(&self) -> Vec<IncompatibleNode> {
        self.cluster.read(Peers::incompatible)
    }

    /// Returns the number of nodes that differ from this one.
    pub(crate) fn different(&self) -> DifferentNodes {
        let nodes = self.nodes();
        let count = |differs: fn(&NodeView) -> Option<bool>| {
            nodes.iter().filter(|it| differs(it) == Some(true)).count() as u64
        };
        DifferentNodes {
            version: count(|it| it.has_other_version),
            site: count(|it| it.has_other_site),
            incompatible: self.incompatible().len() as u64,
        }
    }
}

impl NodeView {
    fn new(peer: PeerView, site: &str) -> Self {
        let differs = |of_peer: &str, own: &str| {
            (!of_peer.is_empty() && !own.is_empty()).then(|| of_peer != own)
        };
        let has_other_version = differs(&peer.version, VERSION);
        let has_other_site = differs(&peer.site, site);
        Self { peer, has_other_version, has_other_site }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_of_releases_are_for_one_machine() {
        for url in ["nats://127.0.0.1:4222", "tls://localhost:4222", "nats://[::1]:4222"] {
            assert!(is_of_machine(url), "{url}");
        }
        for url in ["nats://10.0.0.1:4222", "tls://nats.example.org:4222"] {
            assert!(!is_of_machine(url), "{url}");
        }
    }
}
