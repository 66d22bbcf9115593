//! Procedures and plugins of nodes, and messages of their hosts.

use super::*;

#[test]
fn an_offer_is_acknowledged_once_it_is_applied() {
    let (mut one, mut other) = pair();
    let now = Duration::ZERO;
    let procedure = InterestKey::registration(REALM, MatchPolicy::Exact, "a.b");
    let stake = Stake { count: 2, detail: Bytes::from_static(b"terms") };
    let barrier = one.offer(&procedure, &stake, now).unwrap();
    exchange(&mut one, &mut other, now);
    assert!(!one.is_acknowledged(&barrier));
    assert!(other.take_changed_offers().contains(&procedure));
    assert_eq!(other.nodes_with(&procedure), [(NodeId(1), stake)]);
    assert_eq!(other.count(REALM, "a.b"), 0, "it is no topic");
    assert!(other.settle());
    exchange(&mut one, &mut other, now);
    assert!(one.is_acknowledged(&barrier));
    // Its end is told at once, and a peer that leaves takes its offers along.
    one.offer(&procedure, &Stake::default(), now);
    let plugin = InterestKey::plugin("a.b");
    one.offer(&plugin, &Stake { count: 1, detail: Bytes::from(vec![1; 200]) }, now);
    exchange(&mut one, &mut other, now);
    assert_eq!(other.nodes_with(&procedure), []);
    assert_eq!(other.nodes_with(&plugin)[0].1.detail.len(), 64, "cut");
    one.leave();
    exchange(&mut one, &mut other, now);
    assert_eq!(other.nodes_with(&plugin), []);
    assert_eq!(other.take_changed_offers().len(), 2);
}

#[test]
fn a_peer_that_applies_offers_late_delays_one_alone() {
    let (mut one, mut other) = pair();
    let now = Duration::ZERO;
    let procedure = |name: &str| InterestKey::registration(REALM, MatchPolicy::Exact, name);
    let part = Stake { count: 1, detail: Bytes::new() };
    let barrier = one.offer(&procedure("a"), &part, now).unwrap();
    assert!(
        matches!(&one.expire_offer(&barrier)[..], [late @ Notice::OffersLate { .. }] if !late.is_doubt())
    );
    assert_eq!(one.expire_offer(&barrier), []);
    assert_eq!(one.offer(&procedure("b"), &part, now), None);
    assert!(one.announce(&key((MatchPolicy::Exact, "a.b")), now).is_some(), "a topic is awaited");
    exchange(&mut one, &mut other, now);
    assert_eq!(other.take_changed_offers().len(), 2);
    assert!(other.settle());
    exchange(&mut other, &mut one, now);
    assert!(one.offer(&procedure("c"), &part, now).is_some());
}

#[test]
fn messages_arrive_in_order_or_are_missed() {
    let (one, mut other) = pair();
    let now = Duration::ZERO;
    assert!(!one.send(NodeId(3), b"unknown"));
    assert!(!one.send(NodeId(2), &vec![0; (64 << 20) + 1]), "too long");
    let long = vec![7; 150_000];
    for message in [b"first".as_slice(), &long, b"last"] {
        assert!(one.send(NodeId(2), message));
    }
    let mut messages = Vec::new();
    while let Some((_, bytes)) = one.take_messages().pop() {
        messages.extend(other.receive(&bytes.into(), now).messages());
    }
    let expected = [b"first".to_vec(), long, b"last".to_vec()];
    assert_eq!(messages, expected.map(|it| (NodeId(1), it.into())));
    // One that is lost is noticed at the next one.
    assert!(one.send(NodeId(2), b"lost"));
    drop(one.take_messages());
    assert!(one.send(NodeId(2), b"next"));
    let received = other.receive(&one.take_messages().remove(0).1.into(), now);
    assert_eq!(received.messages().len(), 1);
    assert_eq!(received.notices[0].broken(), Some(NodeId(1)));
}
