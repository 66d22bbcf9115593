//! The cluster in `GET /v1/status`: this node, its connection, and its peers.

use jackfield_broker::peers::{IncompatibleNode, NodeId};
use serde_json::{Value, json};

use crate::cluster::{ClusterNode, ClusterNumbers, NodeView, OwnRelease};

/// Shows a node.
pub(super) fn state(cluster: &ClusterNode) -> Value {
    let (node, id, name) = cluster.names();
    let ClusterNumbers { events_received, events_refused, records_lost, incidents } =
        cluster.counts().numbers();
    let incidents: serde_json::Map<_, _> =
        incidents.into_iter().map(|(kind, count)| (kind.to_owned(), count.into())).collect();
    let OwnRelease { versions, site } = cluster.release();
    json!({
        "name": name,
        "node": node,
        "id": id,
        "protocols": [versions.lowest, versions.highest],
        "site": site,
        "pipe": cluster.pipe().label(),
        "events_received": events_received,
        "events_refused": events_refused,
        "lost": records_lost,
        "incidents": incidents,
        "homes": homes(cluster),
        "peers": cluster.nodes().iter().map(peer).collect::<Vec<_>>(),
        "incompatible": cluster.incompatible().iter().map(incompatible).collect::<Vec<_>>(),
    })
}

/// The nodes that run the plugins with state.
fn homes(cluster: &ClusterNode) -> Vec<Value> {
    let here = cluster.id();
    let homes = cluster.homes().list().into_iter();
    let home = |(plugin, node): (String, NodeId)| {
        let (name, id, is_here) = (cluster.name_of(node), node.to_string(), node == here);
        json!({ "plugin": plugin, "node": name, "id": id, "here": is_here })
    };
    homes.map(home).collect()
}

fn peer(node: &NodeView) -> Value {
    let NodeView { peer, has_other_version, has_other_site } = node;
    json!({
        "node": peer.name,
        "id": peer.node.to_string(),
        "version": peer.version,
        "other_version": has_other_version,
        "protocol": peer.envelope,
        "site": peer.site,
        "other_site": has_other_site,
        "heard": peer.is_heard,
        "synced": peer.is_synced,
        "topics": peer.keys,
        "incomplete": peer.is_incomplete,
        "lag": peer.lag,
        "waiting_bytes": peer.waiting_bytes,
        "dropped": peer.dropped,
        "gaps": peer.gaps,
        "lost": peer.lost,
        "skipped": peer.skipped,
    })
}

fn incompatible(node: &IncompatibleNode) -> Value {
    json!({
        "node": node.name,
        "id": node.node.to_string(),
        "version": node.version,
        "protocols": [node.versions.lowest, node.versions.highest],
    })
}
