//! Flushes of a task that publishes: when they are due.

use super::*;

const BOUNDS: Bounds = Bounds { bytes: 1 << 20, frames: 10_000, overflow: Overflow::Disconnect };

/// Publishes to a topic with so many subscribers until the batch is due. Returns the number of events.
fn events_until_due(subscribers: u64, filter: Option<&ReceiverFilter>) -> usize {
    let realm = limited(RealmLimits { realm_subscriptions: 10_000, ..LIMITS });
    let peers: Vec<Peer> = (1..=subscribers)
        .map(|id| {
            let identity = Identity::anonymous(format!("user{id}"), Ipv4Addr::LOCALHOST.into());
            let peer = Peer::join_bounded(&realm, id, V2, identity, false, BOUNDS);
            peer.subscribe(&realm, "t", MatchPolicy::Exact);
            peer.session.flush();
            peer.read();
            peer
        })
        .collect();
    let mut batch = PendingFlushes::default();
    let payload = Payload::empty(Codec::Json);
    let mut events = 0;
    while !batch.is_due() {
        let id = PublicationId::new(9).unwrap();
        let publication = Publication { filter, ..Publication::new("t", id, &payload) };
        realm.publish(&publication, &mut batch).unwrap();
        events += 1;
    }
    batch.flush();
    assert!(!batch.is_due());
    let expected = if filter.is_some() { 0 } else { events };
    assert!(peers.iter().all(|peer| peer.read().len() == expected));
    events
}

#[test]
fn a_task_yields_after_a_number_of_visits() {
    assert_eq!(events_until_due(64, None), 512);
    let nobody = ReceiverFilter { eligible: Some(BTreeSet::new()), ..ReceiverFilter::default() };
    assert_eq!(events_until_due(3_000, Some(&nobody)), 11, "subscribers are visited in vain");
}

#[test]
fn a_write_to_many_receivers_has_many_events() {
    assert_eq!(events_until_due(3_000, None), 16);
}
