//! The cluster in `GET /v1/status`: this node, its connection, and its peers.

use jackfield_broker::peers::{IncompatibleNode, NodeId};
use serde_json::{Value, json};

use crate::cluster::{ClusterNode, ClusterNumbers, NodeView, OwnRelease, Rule};
use crate::server_state::ServerState;

/// Shows a node.
pub(super) fn state(cluster: &ClusterNode, state: &ServerState) -> Value {
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
        "leases": cluster.rule().label(),
        "homes": homes(cluster, state),
        "peers": cluster.nodes().iter().map(peer).collect::<Vec<_>>(),
        "incompatible": cluster.incompatible().iter().map(incompatible).collect::<Vec<_>>(),
    })
}

/// The nodes that run the plugins with state.
fn homes(cluster: &ClusterNode, state: &ServerState) -> Vec<Value> {
    let (here, by_lease) = (cluster.id(), cluster.rule() == Rule::Lease);
    let homes = cluster.homes().list().into_iter();
    let home = |(plugin, node): (String, Option<NodeId>)| {
        let is_copied = by_lease
            && state.realms.default_realm().copies_store(&plugin)
            && state.stores.is_saved(&plugin);
        json!({
            "plugin": plugin,
            "node": node.map(|node| cluster.name_of(node)),
            "id": node.map(|node| node.to_string()),
            "here": node == Some(here),
            "lease": by_lease && node.is_some(),
            "store_copied": is_copied,
        })
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
