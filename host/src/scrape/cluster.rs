//! Metrics of a node in a cluster. Without a cluster, most have no samples.

use jackfield_metrics::Page;

use super::catalogue;
use crate::cluster::{ClusterCounts, ClusterNode, ClusterNumbers, DifferentNodes, PipeState};

/// Writes the metrics.
pub(super) fn write(page: &mut Page, cluster: Option<&ClusterNode>) {
    let peers = cluster.map(ClusterNode::peers);
    let numbers = cluster.map(|it| it.counts().numbers());
    let is_working = cluster.map(|it| u64::from(it.pipe() == PipeState::Working));
    let peers = peers.as_deref();
    let joined =
        peers.map(|all| all.iter().filter(|it| it.is_synced && it.is_heard).count() as u64);
    let homes = cluster.map(|it| {
        it.homes().list().iter().filter(|(_, home)| *home == Some(it.id())).count() as u64
    });
    let leases = cluster.map(|it| it.homes().leases() as u64);
    let lag = peers.map(|all| all.iter().map(|it| it.lag).max().unwrap_or_default());
    let waiting = peers.map(|all| all.iter().map(|it| it.waiting_bytes as u64).sum());
    let number = |of: fn(&ClusterNumbers) -> u64| numbers.as_ref().map(of);
    for (metric, value) in [
        (&catalogue::CLUSTER_PIPE, is_working),
        (&catalogue::CLUSTER_PEERS, joined),
        (&catalogue::CLUSTER_HOMES, homes),
        (&catalogue::CLUSTER_LEASES, leases),
        (&catalogue::CLUSTER_LAG, lag),
        (&catalogue::CLUSTER_OUTBOX, waiting),
        (&catalogue::CLUSTER_EVENTS, number(|it| it.events_received)),
        (&catalogue::CLUSTER_REFUSED, number(|it| it.events_refused)),
        (&catalogue::CLUSTER_LOST, number(|it| it.records_lost)),
    ] {
        page.begin(metric);
        if let Some(value) = value {
            page.sample(metric, &[], value);
        }
    }
    // Zeros without a cluster: a page has each label of its metrics.
    page.begin(&catalogue::CLUSTER_DIFFERENT);
    let different = cluster.map(ClusterNode::different).unwrap_or_default();
    let DifferentNodes { version, site, incompatible } = different;
    for (kind, count) in [("version", version), ("site", site), ("incompatible", incompatible)] {
        page.sample(&catalogue::CLUSTER_DIFFERENT, &[kind], count);
    }
    page.begin(&catalogue::CLUSTER_INCIDENTS);
    let numbers = numbers.unwrap_or_else(|| ClusterCounts::default().numbers());
    for (kind, count) in numbers.incidents {
        page.sample(&catalogue::CLUSTER_INCIDENTS, &[kind], count);
    }
}
