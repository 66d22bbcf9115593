//! Two nodes whose messages the test carries; `simulation`: several, on a bus with faults.

use jackfield_wamp::id::PublicationId;
use jackfield_wamp::payload::Payload;
use jackfield_wamp::uri::MatchPolicy;

use super::*;

mod simulation;

const REALM: &str = "shop";

fn key((policy, uri): (MatchPolicy, &str)) -> InterestKey {
    InterestKey::new(REALM, policy, uri)
}

fn publication<'a>(topic: &'a str, payload: &'a Payload) -> Publication<'a> {
    Publication {
        topic,
        id: PublicationId::new(1).unwrap(),
        disclosed: None,
        except: None,
        filter: None,
        narrowed: None,
        patterns: PatternAudience::Everybody,
        overflow: None,
        recording: None,
        payload,
    }
}

/// Exchanges all messages of two nodes until none is left.
fn exchange(one: &mut Peers, other: &mut Peers, now: Duration) -> Vec<Notice> {
    let mut notices = Vec::new();
    loop {
        let (there, back) = (one.take_messages(), other.take_messages());
        if there.is_empty() && back.is_empty() {
            return notices;
        }
        for (_, bytes) in there {
            notices.extend(other.receive(&bytes.into(), now).notices);
        }
        for (_, bytes) in back {
            notices.extend(one.receive(&bytes.into(), now).notices);
        }
    }
}

fn pair() -> (Peers, Peers) {
    let mut one = Peers::new(NodeId(1), "web-1", "1.0");
    let mut other = Peers::new(NodeId(2), "web-2", "1.0");
    let hello = other.hello().into();
    assert!(!one.hear_hello(&hello, Duration::ZERO));
    assert!(other.hear_hello(&hello, Duration::ZERO), "its own");
    let notices = exchange(&mut one, &mut other, Duration::ZERO);
    assert!(one.is_synced() && other.is_synced());
    assert_eq!(notices.len(), 2, "{notices:?}");
    assert!(!notices.iter().any(Notice::is_doubt), "both are fresh");
    (one, other)
}

#[test]
fn the_first_subscriber_waits_for_the_peers() {
    let (mut one, mut other) = pair();
    let now = Duration::ZERO;
    let place = key((MatchPolicy::Exact, "a.b"));
    let barrier = one.announce(&place, now).unwrap();
    assert!(one.announce(&place, now).is_some(), "the second one waits as well");
    assert!(!one.is_acknowledged(&barrier));
    exchange(&mut one, &mut other, now);
    assert!(one.is_acknowledged(&barrier));
    assert_eq!(one.announce(&place, now), None);
    assert_eq!(other.count(REALM, "a.b"), 1);
    // Its subscription ends. It stays for a while, and comes back without a wait.
    one.set_count(&place, 0, Duration::ZERO, now);
    assert_eq!(one.announce(&place, Duration::from_secs(4)), None);
    one.hear_hello(&other.hello().into(), Duration::from_secs(5));
    assert_eq!(one.tick(Duration::from_secs(5)).1, []);
    assert_eq!(one.tick(Duration::from_secs(9)).1, [place]);
    exchange(&mut one, &mut other, Duration::from_secs(9));
    assert_eq!(other.count(REALM, "a.b"), 0);
}

#[test]
fn a_late_peer_delays_one_subscription_alone() {
    let (mut one, mut other) = pair();
    let now = Duration::ZERO;
    let barrier = one.announce(&key((MatchPolicy::Exact, "a.b")), now).unwrap();
    assert!(matches!(one.expire(&barrier)[..], [Notice::Late { .. }]));
    assert_eq!(one.expire(&barrier), []);
    assert_eq!(one.announce(&key((MatchPolicy::Exact, "a.c")), now), None);
    let notices = exchange(&mut one, &mut other, now);
    assert!(matches!(notices[..], [Notice::CaughtUp { .. }]), "{notices:?}");
    assert!(one.announce(&key((MatchPolicy::Exact, "x")), now).is_some());
}

#[test]
fn a_peer_that_leaves_is_no_loss_and_one_that_is_silent_is() {
    let (mut one, mut other) = pair();
    other.leave();
    let notices = exchange(&mut one, &mut other, Duration::ZERO);
    assert!(matches!(&notices[..], [Notice::Left { name, .. }] if name == "web-2"), "{notices:?}");
    // What it sent before does not bring it back.
    one.hear_hello(&other.hello().into(), Duration::ZERO);
    assert_eq!(one.views(Duration::ZERO), []);
    let (mut one, _gone) = pair();
    assert_eq!(one.tick(Duration::from_secs(4)).0, []);
    let (notices, _) = one.tick(Duration::from_secs(5));
    assert!(matches!(&notices[..], [dead @ Notice::Dead { .. }] if dead.is_doubt()), "{notices:?}");
}

#[test]
fn an_outbox_that_overflows_is_counted_by_the_receiver() {
    let (mut one, mut other) = pair();
    let now = Duration::ZERO;
    let _barrier = other.announce(&key((MatchPolicy::Exact, "a.b")), now).unwrap();
    exchange(&mut one, &mut other, now);
    let payload = Payload::from_json(&format!("[\"{}\"]", "x".repeat(100_000)), "").unwrap();
    let publication = publication("a.b", &payload);
    for _ in 0..200 {
        assert!(one.publish(REALM, &publication).0);
    }
    let [view] = &one.views(now)[..] else { panic!("one peer") };
    assert!(view.dropped > 0 && view.waiting_bytes <= 16 << 20, "{view:?}");
    let mut events = 0;
    let mut lost = 0;
    loop {
        let messages = one.take_messages();
        if messages.is_empty() {
            break;
        }
        for (_, bytes) in messages {
            let received = other.receive(&bytes.into(), now);
            events += received.events.len() as u64;
            for notice in received.notices {
                let Notice::Lost { records: Some(records), .. } = notice else {
                    panic!("{notice:?}")
                };
                lost += records;
            }
        }
    }
    // Each event has three parts.
    assert_eq!(events * 3 + lost, 600);
    assert_eq!(lost, view.dropped);
    exchange(&mut one, &mut other, now);
    assert!(one.views(now)[0].is_synced && other.views(now)[0].is_synced);
}
