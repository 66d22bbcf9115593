//! Two nodes whose messages the test carries; `simulation`: several, on a bus with faults.

use jackfield_wamp::id::PublicationId;
use jackfield_wamp::payload::Payload;
use jackfield_wamp::uri::MatchPolicy;

use super::*;
use crate::publication::EventSource;

mod offers;
mod simulation;
mod versions;

const REALM: &str = "shop";

impl Received {
    pub(crate) fn events(&self) -> Vec<&RemoteEvent> {
        let mut events = Vec::new();
        for delivery in &self.deliveries {
            match delivery {
                Delivery::Event(event) => events.push(&**event),
                Delivery::Message(..) => {}
            }
        }
        events
    }

    fn messages(&self) -> Vec<(NodeId, Bytes)> {
        let message = |delivery: &Delivery| match delivery {
            Delivery::Message(from, message) => Some((*from, message.clone())),
            Delivery::Event(_) => None,
        };
        self.deliveries.iter().filter_map(message).collect()
    }
}

fn key((policy, uri): (MatchPolicy, &str)) -> InterestKey {
    InterestKey::new(REALM, policy, uri)
}

fn publication<'a>(topic: &'a str, payload: &'a Payload) -> Publication<'a> {
    Publication {
        topic,
        id: PublicationId::new(1).unwrap(),
        client: None,
        disclosed: None,
        except: None,
        filter: None,
        narrowed: None,
        patterns: PatternAudience::Everybody,
        overflow: None,
        recording: None,
        retain: None,
        trustlevel: None,
        source: EventSource::Here,
        payload,
    }
}

/// The HELLO of a node that does not exist.
fn hello_of(node: u64) -> Vec<u8> {
    Peers::new(NodeId(node), "ghost", "1").hello()
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

/// Passes a second on one node, whose messages reach the other.
fn pass_second(one: &mut Peers, other: &mut Peers, now: Duration) -> Vec<Notice> {
    let (mut notices, _) = one.tick(now);
    other.hear_hello(&one.hello().into(), now);
    notices.extend(exchange(one, other, now));
    notices
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
    pass_second(&mut other, &mut one, Duration::from_secs(4));
    assert_eq!(one.tick(Duration::from_secs(5)).1, []);
    pass_second(&mut other, &mut one, Duration::from_secs(8));
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
            events += received.events().len() as u64;
            for notice in received.notices {
                let Notice::Lost { records, .. } = notice else { panic!("{notice:?}") };
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

/// An envelope in the name of node 2 that it has not sent.
fn forged(link: u64, first: u64, records: &[Bytes]) -> Bytes {
    let header = envelope::Header {
        version: 1,
        from: NodeId(2),
        link,
        first,
        peer_link: 1,
        received: u64::MAX,
        complete: 0,
        wants_snapshot: true,
        is_fresh: true,
    };
    envelope::encode(&header, records).into()
}

/// Passes seconds until both nodes have joined again. Returns their number, and the notices.
fn heal(one: &mut Peers, other: &mut Peers) -> (u32, Vec<Notice>) {
    let mut notices = Vec::new();
    for second in 1..60 {
        let now = Duration::from_secs(1) * second;
        notices.extend(pass_second(one, other, now));
        notices.extend(pass_second(other, one, now));
        let are_joined = |peers: &Peers| peers.views(now).iter().any(|it| it.is_synced);
        let has_caught_up = |peers: &Peers| peers.views(now).iter().all(|it| it.lag == 0);
        if [&*one, &*other].into_iter().all(|it| are_joined(it) && has_caught_up(it)) {
            return (second, notices);
        }
    }
    panic!("not healed: {notices:?}")
}

#[test]
fn nodes_meet_again_after_a_forged_envelope() {
    let begin = envelope::records(Kind::SnapshotBegin, b"");
    let bye = envelope::records(Kind::Bye, b"");
    for (link, first, records, has_effect) in [
        (u64::MAX, 0, &begin, true),
        (u64::MAX, u64::MAX, &begin, true),
        (u64::MAX, u64::MAX, &bye, true),
        (1, 1 << 20, &begin, true),
        (1, 2, &bye, true),
        // No real gap is so large.
        (1, 1 << 63, &begin, false),
    ] {
        let (mut one, mut other) = pair();
        one.open();
        other.open();
        let notices = one.receive(&forged(link, first, records), Duration::ZERO).notices;
        assert_eq!(!notices.is_empty(), has_effect, "{link} {first}");
        let (seconds, later) = heal(&mut one, &mut other);
        assert!(seconds <= 12, "{link} {first}: {seconds} s");
        let is_doubted = notices.iter().chain(&later).any(Notice::is_doubt);
        assert_eq!(is_doubted, has_effect, "{link} {first}: {notices:?} {later:?}");
        let place = key((MatchPolicy::Exact, "a.b"));
        let now = Duration::from_secs(seconds.into());
        let barrier = one.announce(&place, now).expect("a peer");
        exchange(&mut one, &mut other, now);
        assert!(one.is_acknowledged(&barrier));
        let payload = Payload::from_json("[1]", "").unwrap();
        assert!(other.publish(REALM, &publication("a.b", &payload)).0);
        let messages = other.take_messages();
        let received = one.receive(&messages[0].1.clone().into(), now);
        assert_eq!((received.events().len(), received.notices), (1, vec![]));
    }
}

#[test]
fn a_peer_without_acknowledgements_is_met_again() {
    let (mut one, mut other) = pair();
    let _barrier = one.announce(&key((MatchPolicy::Exact, "a.b")), Duration::ZERO);
    // What it sends is lost, and it hears the other.
    let mut notices = Vec::new();
    for second in 1..8 {
        let now = Duration::from_secs(second);
        notices.extend(one.tick(now).0);
        drop((one.take_messages(), other.tick(now)));
        for (_, bytes) in other.take_messages() {
            one.receive(&bytes.into(), now);
        }
    }
    assert!(
        matches!(&notices[..], [stalled @ Notice::Stalled { name, .. }] if name == "web-2" && stalled.is_doubt()),
        "{notices:?}"
    );
}

#[test]
fn hellos_alone_are_no_peers() {
    let (mut one, mut other) = pair();
    one.open();
    for ghost in 0..1_000 {
        one.hear_hello(&hello_of(100 + ghost).into(), Duration::ZERO);
    }
    assert_eq!(one.views(Duration::ZERO).len(), MAX_PEERS);
    let (notices, _) = one.tick(Duration::from_secs(1));
    assert_eq!(notices, [Notice::TooMany { limit: MAX_PEERS }], "once");
    one.hear_hello(&hello_of(5_000).into(), Duration::from_secs(1));
    assert_eq!(one.tick(Duration::from_secs(1)).0, []);
    // They delay no subscription, and their end is no doubt.
    let now = Duration::from_secs(2);
    let barrier = one.announce(&key((MatchPolicy::Exact, "a.b")), now).expect("a peer");
    assert_eq!(barrier.0.len(), 1);
    pass_second(&mut other, &mut one, now);
    assert_eq!(one.tick(Duration::from_secs(5)).0, []);
    assert_eq!(one.views(Duration::from_secs(5)).len(), 1);
}

#[test]
fn a_node_that_serves_before_it_has_joined_is_a_doubt() {
    for (serves, is_early, doubts) in [(false, true, 0), (true, false, 0), (true, true, 2)] {
        let [mut one, mut other] = [1, 2].map(|id| Peers::new(NodeId(id), "web", "1.0"));
        if serves {
            one.open();
        }
        one.hear_hello(&other.hello().into(), Duration::ZERO);
        // Its first envelope says that it is fresh; then it gives up waiting.
        for (_, bytes) in one.take_messages() {
            other.receive(&bytes.into(), Duration::ZERO);
        }
        for (_, bytes) in other.take_messages() {
            one.receive(&bytes.into(), Duration::ZERO);
        }
        if is_early {
            other.open();
        }
        let notices = exchange(&mut one, &mut other, Duration::ZERO);
        assert_eq!(notices.iter().filter(|it| it.is_doubt()).count(), doubts, "{notices:?}");
    }
}

#[test]
fn a_peer_that_asks_again_and_again_gets_few_snapshots() {
    let (mut one, _other) = pair();
    for number in 0..1_000 {
        one.set_count(
            &key((MatchPolicy::Exact, &format!("a.{number}"))),
            1,
            Duration::ZERO,
            Duration::ZERO,
        );
    }
    let mut bytes = 0;
    for tenth in 0..300 {
        let now = Duration::from_millis(100) * tenth;
        // A record that cannot be read: what follows is not complete.
        one.receive(&forged(1, 2, &[]), now);
        bytes += one.take_messages().iter().map(|(_, bytes)| bytes.len()).sum::<usize>();
    }
    // At 0, 1, 3, 7 and 15 s, and the changes themselves.
    assert!(bytes < 7 * 30_000, "{bytes} bytes");
}

#[test]
fn unreadable_and_too_many_keys_are_reported_once() {
    let (mut one, _other) = pair();
    let long = key((MatchPolicy::Exact, &"x".repeat(2_000)));
    let records =
        envelope::records(Kind::Interest, &interest::encode(&long, &Stake::subscribers(1)));
    let notices = one.receive(&forged(1, 2, &records), Duration::ZERO).notices;
    assert!(matches!(&notices[..], [Notice::Incomplete { .. }]), "{notices:?}");
    assert!(one.views(Duration::ZERO)[0].is_incomplete);
    // A snapshot without an end does not grow for ever.
    let mut first = 3;
    for round in 0..40 {
        let mut records = Vec::new();
        if round == 0 {
            records = envelope::records(Kind::SnapshotBegin, b"");
        }
        for number in 0..30_000 {
            let key = key((MatchPolicy::Exact, &format!("{round}.{number}")));
            records.extend(envelope::records(
                Kind::Interest,
                &interest::encode(&key, &Stake::subscribers(1)),
            ));
        }
        let received = one.receive(&forged(1, first, &records), Duration::ZERO);
        assert_eq!(received.notices, []);
        first += records.len() as u64;
    }
    assert_eq!(one.views(Duration::ZERO)[0].keys, 0);
}

#[test]
fn parts_behind_a_lost_first_one_are_no_event() {
    let (mut one, mut other) = pair();
    let _barrier = other.announce(&key((MatchPolicy::Exact, "a.b")), Duration::ZERO);
    exchange(&mut one, &mut other, Duration::ZERO);
    let payload = Payload::from_json(&format!("[\"{}\"]", "x".repeat(200_000)), "").unwrap();
    one.publish(REALM, &publication("a.b", &payload));
    let messages = std::iter::from_fn(|| one.take_messages().pop()).collect::<Vec<_>>();
    assert!(messages.len() > 1);
    let mut events = 0;
    let mut lost = 0;
    for (_, bytes) in messages.into_iter().skip(1) {
        let received = other.receive(&bytes.into(), Duration::ZERO);
        events += received.events().len();
        lost += received.notices.iter().filter(|it| it.is_doubt()).count();
    }
    assert_eq!((events, lost), (0, 1));
}

#[test]
fn parts_of_all_peers_share_their_room() {
    let (mut one, _other) = pair();
    let part = vec![1; 48 << 10];
    let mut content = vec![Kind::Event as u8];
    content.extend(&part);
    let parts = |kind| vec![envelope::raw_record(kind, &content)];
    let mut notices = Vec::new();
    for first in 2..2_000_u64 {
        let kind = if first == 2 { Kind::FirstPart } else { Kind::Part };
        notices.extend(one.receive(&forged(1, first, &parts(kind)), Duration::ZERO).notices);
    }
    assert!(matches!(&notices[..], [Notice::Lost { records: 1, .. }]), "{notices:?}");
}

#[test]
fn idle_keys_are_bounded() {
    let (mut one, _other) = pair();
    let keep = Duration::from_mins(10);
    let count = interest::MAX_IDLE + 10;
    for number in 0..count {
        let place = key((MatchPolicy::Exact, &format!("a.{number}")));
        let _barrier = one.announce(&place, Duration::ZERO);
        one.set_count(&place, 0, keep, Duration::from_millis(number as u64 / 100));
    }
    let (_, expired) = one.tick(Duration::from_secs(1));
    assert_eq!(expired.len(), 10);
    assert_eq!(expired[0], key((MatchPolicy::Exact, "a.0")), "oldest first");
}
