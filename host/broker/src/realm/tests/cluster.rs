//! A realm on two nodes, whose messages the test carries.

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::cluster::Cluster;
use crate::peers::{InterestKey, NodeId, Peers, RemoteEvent};

mod moving;

const NOW: Duration = Duration::ZERO;

struct Node {
    cluster: Arc<Cluster>,
    realm: Realm,
}

fn node(id: u64) -> Node {
    let peers = Peers::new(NodeId(id), &format!("web-{id}"), "1.0");
    let cluster = Arc::new(Cluster::new(peers, || {}));
    let realm = realm().in_cluster(&cluster);
    Node { cluster, realm }
}

/// Carries all messages, and returns the events for `to`.
fn carry(from: &Node, to: &Node) -> Vec<RemoteEvent> {
    carry_at(from, to, NOW)
}

fn carry_at(from: &Node, to: &Node, now: Duration) -> Vec<RemoteEvent> {
    let mut events = Vec::new();
    loop {
        let (there, back) = (from.cluster.take_messages(), to.cluster.take_messages());
        if there.is_empty() && back.is_empty() {
            return events;
        }
        for (_, bytes) in there {
            let received = to.cluster.receive(&bytes.into(), now);
            events.extend(received.events().into_iter().cloned());
        }
        for (_, bytes) in back {
            from.cluster.receive(&bytes.into(), now);
        }
    }
}

/// Tells the peers of the node's subscriptions, as its tasks do.
fn tell(node: &Node) {
    for key in node.realm.take_changes() {
        let (count, _) = node.realm.interest(&key);
        node.cluster.write(|peers| peers.set_count(&key, count, Duration::ZERO, NOW));
    }
}

#[test]
fn a_publication_goes_once_to_each_node_with_subscribers() {
    let (one, other) = (node(1), node(2));
    one.cluster.write(|peers| peers.hear_hello(&other.cluster.read(Peers::hello).into(), NOW));
    carry(&one, &other);
    let exact = Peer::join(&other.realm, 1, V2, &[]);
    let id = exact.subscribe(&other.realm, "a.b", MatchPolicy::Exact);
    let prefix = Peer::join(&other.realm, 2, V2, &[]);
    prefix.subscribe(&other.realm, "a.", MatchPolicy::Prefix);
    tell(&other);
    assert_eq!(other.realm.take_changes(), []);
    carry(&other, &one);
    assert_eq!((one.realm.count("a.b"), one.realm.local_count("a.b")), (1, 0));

    let payload = Payload::from_json("[1]", "").unwrap();
    let mut batch = PendingFlushes::default();
    let report = one.realm.publish(&publication("a.b", &payload), &mut batch).unwrap();
    assert_eq!(report.delivered, 0, "it counts the sessions of this node");
    assert!(!batch.is_empty(), "the other node waits for the flush");
    let events = carry(&one, &other);
    assert_eq!(events.len(), 1);
    let remote = Publication {
        topic: &events[0].topic,
        payload: &events[0].payload,
        ..publication("a.b", &payload)
    };
    other.realm.publish_here(&remote, &mut batch).unwrap();
    batch.flush();
    assert_eq!((exact.read().len(), prefix.read().len()), (2, 2), "SUBSCRIBED and the event");
    assert!(carry(&other, &one).is_empty(), "it does not go back");

    // Without subscribers, nothing is sent any more.
    other.realm.unsubscribe(exact.session.id, id, &mut batch, None).unwrap();
    other.realm.leave(prefix.session.id);
    tell(&other);
    for seconds in 1..=6 {
        let now = NOW + Duration::from_secs(seconds);
        for node in [&one, &other] {
            node.cluster.write(|peers| peers.tick(now));
        }
        carry_at(&other, &one, now);
    }
    one.realm.publish(&publication("a.b", &payload), &mut batch).unwrap();
    assert!(carry(&one, &other).is_empty());
    let key = InterestKey::new(one.realm.name(), MatchPolicy::Exact, "a.b");
    assert_eq!(other.realm.interest(&key), (0, false));
}
