//! Compressed events: once per publication and dialect, and for the sessions alone that take them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::*;
use crate::history::{ReplayRequest, RetainedWish};
use crate::recording::{HistoryRule, Recording};

/// A realm that compresses texts with an `x`, and counts.
fn counting_realm(count: fn(&Bytes) -> Option<Bytes>) -> Realm {
    let finish = |_, message: Vec<u8>| Bytes::from(message);
    let framing = Framing { headroom: 0, max_bytes: 1 << 20, finish, compress: count };
    Realm::new("realm1".into(), framing, LIMITS, &Arc::default())
}

fn compress(frame: &Bytes, counter: &AtomicUsize) -> Option<Bytes> {
    counter.fetch_add(1, Ordering::Relaxed);
    frame.contains(&b'x').then(|| [&b"small "[..], frame].concat().into())
}

/// Joins a session whose client takes compressed events.
fn join_compressed(realm: &Realm, id: u64, dialect: Dialect) -> Peer {
    let bounds = Bounds { bytes: 10_000, frames: 100, overflow: Overflow::Disconnect };
    let outbox = Arc::new(Outbox::new(bounds));
    let read = Mutex::default();
    let link = Arc::new(Recorder { outbox: Arc::clone(&outbox), read, blocked: false });
    let identity = Identity::anonymous(format!("user{id}"), Ipv4Addr::LOCALHOST.into());
    let (id, on) = (SessionId::new(id).unwrap(), Arc::clone(&link) as Arc<dyn Transport>);
    let session = Session::new(id, identity, dialect, Features::default(), outbox, on);
    let session = Arc::new(session.taking_compressed(true));
    realm.join(&session);
    Peer { session, link }
}

fn publish(realm: &Realm, args: &str) {
    let payload = Payload::from_json(args, "{}").unwrap();
    let mut batch = PendingFlushes::default();
    realm.publish(&publication("t", &payload), &mut batch).unwrap();
}

#[test]
fn an_event_is_compressed_once_for_a_dialect_and_plain_for_others() {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let realm = counting_realm(|frame| compress(frame, &COUNT));
    let plain: Vec<_> = (1..=10).map(|id| Peer::join(&realm, id, V2, &[])).collect();
    let join = |id| join_compressed(&realm, id, if id % 2 == 0 { Dialect::V1 } else { V2 });
    for peer in &plain {
        peer.subscribe(&realm, "t", MatchPolicy::Exact);
    }
    publish(&realm, "[\"x\"]");
    assert_eq!(COUNT.load(Ordering::Relaxed), 0, "no session takes compressed events");
    let compressed: Vec<_> = (11..=30).map(join).collect();
    for peer in &compressed {
        peer.subscribe(&realm, "t", MatchPolicy::Exact);
    }
    for peer in plain.iter().chain(&compressed) {
        peer.read();
    }

    publish(&realm, "[\"x\"]");
    assert_eq!(COUNT.load(Ordering::Relaxed), 2, "for two dialects");
    for peer in &plain {
        assert!(peer.read()[0].starts_with('['));
    }
    for peer in &compressed {
        assert!(peer.read()[0].starts_with("small ["));
    }

    // An event that is not worth it is sent as it is, and is tried once.
    publish(&realm, "[\"y\"]");
    assert_eq!(COUNT.load(Ordering::Relaxed), 4);
    for peer in plain.iter().chain(&compressed) {
        assert!(peer.read()[0].starts_with('['));
    }
}

#[test]
fn patterns_beyond_the_first_few_get_plain_events() {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let realm = counting_realm(|frame| compress(frame, &COUNT));
    let topic = "a".repeat(30);
    let peers: Vec<_> = (1..=30).map(|id| join_compressed(&realm, id, V2)).collect();
    for (peer, length) in peers.iter().zip(1..) {
        peer.subscribe(&realm, &topic[..length], MatchPolicy::Prefix);
        peer.read();
    }
    let payload = Payload::from_json("[\"x\"]", "{}").unwrap();
    let mut batch = PendingFlushes::default();
    realm.publish(&publication(&topic, &payload), &mut batch).unwrap();
    batch.flush();
    assert_eq!(COUNT.load(Ordering::Relaxed), 4);
    let small = |peer: &&Peer| {
        let [event] = &peer.read()[..] else { panic!("one event") };
        event.starts_with("small [")
    };
    assert_eq!(peers.iter().filter(small).count(), 4);
}

#[test]
fn a_replay_has_the_compressed_frame_of_the_first_delivery() {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let realm = counting_realm(|frame| compress(frame, &COUNT));
    let age = Duration::from_mins(1);
    let rule = HistoryRule { events: 5, age, bytes: 1 << 20, on_subscribe: 1 };
    let first = join_compressed(&realm, 1, V2);
    first.subscribe(&realm, "t", MatchPolicy::Exact);
    first.read();
    let payload = Payload::from_json("[\"x\"]", "{}").unwrap();
    let recording = Recording { rule, now: Duration::from_secs(1_000), is_durable: false };
    let event = Publication { recording: Some(&recording), ..publication("t", &payload) };
    realm.publish(&event, &mut PendingFlushes::default()).unwrap();
    let request = ReplayRequest {
        rule: Some(rule),
        since: None,
        retained: RetainedWish::Nothing,
        overflow: None,
        id: PublicationId::new(5).unwrap(),
        now: Duration::from_secs(1_001),
    };
    let replay = |peer: &Peer| {
        let mut batch = PendingFlushes::default();
        let (id, exact) = (peer.session.id, MatchPolicy::Exact);
        realm.subscribe(id, "t", exact, Some(&request), &mut batch, |_| None).unwrap();
        batch.flush();
        peer.read()
    };
    let sent = first.read();
    assert!(sent[0].starts_with("small ["), "{sent:?}");
    assert_eq!(replay(&join_compressed(&realm, 2, V2)), sent);
    assert_eq!(COUNT.load(Ordering::Relaxed), 1);
    let plain = replay(&Peer::join(&realm, 3, V2, &[]));
    assert_eq!(format!("small {}", plain[0]), sent[0]);
    // Another dialect has its own, once.
    for id in [4, 5] {
        let replayed = replay(&join_compressed(&realm, id, Dialect::V1));
        assert!(replayed[0].starts_with("small [8,"), "{replayed:?}");
        assert_eq!(COUNT.load(Ordering::Relaxed), 2);
    }
}
