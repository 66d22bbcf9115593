//! Log events of the connection to the other nodes, and of the nodes.

use std::time::Instant;

use jackfield_broker::peers::{IncompatibleNode, NodeId, Notice, Versions};
use jackfield_cluster::PipeEvent;
use tracing::{error, info, warn};

use crate::log::backoff::Backoff;

/// Logs a change of the connection. A server that is away is an event every few seconds.
pub(super) fn report(event: PipeEvent, urls: &str, faults: &Backoff<String>) {
    match event {
        PipeEvent::Connected => info!(name: "cluster.connected", "connected to NATS"),
        PipeEvent::Disconnected => {
            if let Some(times) = faults.happened("the connection".to_owned(), Instant::now()) {
                warn!(name: "cluster.disconnected", urls, times, "the connection to NATS is lost; connecting again");
            }
        }
        PipeEvent::SlowConsumer => {
            if let Some(times) = faults.happened("slow consumer".to_owned(), Instant::now()) {
                warn!(name: "cluster.slow", times, "messages of other nodes were dropped, because too many waited here");
            }
        }
        PipeEvent::Failed(reason) => {
            if let Some(times) = faults.happened(format!("failed: {reason}"), Instant::now()) {
                warn!(name: "cluster.error", reason, urls, times, "NATS cannot be used; see cluster.nats.urls, cluster.nats.credentials and cluster.nats.tls");
            }
        }
    }
}

/// Logs a notice, at the node of this name and these versions of the messages between nodes.
pub(super) fn log(notice: &Notice, own_name: &str, own: Versions) {
    let id = |node: &NodeId| node.to_string();
    match notice {
        Notice::Joined { node, name, .. } => {
            info!(name: "cluster.joined", peer = name, id = id(node), "a node has joined");
            if name == own_name {
                error!(name: "cluster.same_name", peer = name, id = id(node), "another running node has the name of this one, and homes are chosen by names; give each node a `cluster.node` of its own");
            }
        }
        Notice::Left { node, name } => {
            info!(name: "cluster.left", peer = name, id = id(node), "a node has left");
        }
        Notice::Dead { node, name } => {
            warn!(name: "cluster.dead", peer = name, id = id(node), "a node is silent and given up; its last events may be missing");
        }
        Notice::Stalled { node, name } => {
            warn!(name: "cluster.stalled", peer = name, id = id(node), "messages of a node come, but not those that are due; it is given up and met again, and its events until then may be missing");
        }
        Notice::Lost { node, name, records } => {
            warn!(name: "cluster.lost", peer = name, id = id(node), records, "messages of a node are lost");
        }
        Notice::Interrupted { is_repeated: true, .. } => {}
        Notice::Interrupted { node, name, .. } => {
            warn!(name: "cluster.interrupted", peer = name, id = id(node), "a node and this one had given each other up; its events until now may be missing");
        }
        Notice::Late { node, name } => {
            warn!(name: "cluster.late", peer = name, id = id(node), "a node does not acknowledge subscriptions in time; its events may be missing until it does");
        }
        Notice::OffersLate { node, name } => {
            warn!(name: "cluster.procedures_late", peer = name, id = id(node), "a node does not apply procedures of this one in time; its clients may not find them until it does");
        }
        Notice::CaughtUp { node, name } => {
            info!(name: "cluster.caught_up", peer = name, id = id(node), "a node has acknowledged all subscriptions again");
        }
        Notice::Incomplete { node, name } => {
            error!(name: "cluster.incomplete", peer = name, id = id(node), "a node has more topics than this one can keep, or unreadable ones; its clients miss events of this node");
        }
        Notice::Incompatible(IncompatibleNode { node, name, version, versions }) => {
            let Versions { lowest, highest } = *versions;
            error!(name: "cluster.incompatible", peer = name, id = id(node), version, "a node of another release speaks the versions {lowest} to {highest} of the messages between nodes, and this one {} to {}: they exchange nothing, and histories have holes", own.lowest, own.highest);
        }
        Notice::IncompatibleGone(IncompatibleNode { node, name, .. }) => {
            info!(name: "cluster.incompatible_gone", peer = name, id = id(node), "an incompatible node is not heard any more; its events until now are missing");
        }
        Notice::GoneElsewhere { node } => {
            warn!(name: "cluster.gone_elsewhere", id = id(node), "another node has lost a node that this one did not know; its events may be missing");
        }
        Notice::TooMany { limit } => {
            error!(name: "cluster.too_many_nodes", limit, "more nodes than a cluster can have; further ones are ignored");
        }
    }
}
