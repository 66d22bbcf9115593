//! Replays: the events that subscribers get from the history of a topic.

use std::time::Duration;

use jackfield_wamp::position::Since;
use serde_json::{Value, json};

use super::*;
use crate::history::{EventHistory, ReplayLimits, ReplayRequest, RetainedWish};
use crate::recording::{HistoryRule, Recording};

mod durable;
mod model;
mod retained;
mod share;

const RULE: HistoryRule =
    HistoryRule { events: 5, age: Duration::from_mins(1), bytes: 1 << 20, on_subscribe: 0 };
const MARKER: u64 = 0x5e9;

/// A realm whose topics all have a history, and a clock.
struct World {
    realm: Realm,
    history: Arc<EventHistory>,
    rule: HistoryRule,
    now: Duration,
    published: u64,
}

impl World {
    fn new() -> Self {
        let finish = |_, message: Vec<u8>| Bytes::from(message);
        let framing = Framing { headroom: 0, max_bytes: 1 << 20, finish, compress: |_| None };
        let history = Arc::default();
        let realm = Realm::new("realm1".into(), framing, LIMITS, &history);
        Self { realm, history, rule: RULE, now: Duration::from_secs(1_000), published: 0 }
    }

    fn join(&self, id: u64, user: &str, dialect: Dialect) -> Peer {
        self.join_bounded(id, user, dialect, 1 << 20)
    }

    fn join_bounded(&self, id: u64, user: &str, dialect: Dialect, bytes: usize) -> Peer {
        let bounds = Bounds { bytes, frames: 100, overflow: Overflow::Disconnect };
        let identity = Identity::anonymous(user.to_owned(), Ipv4Addr::LOCALHOST.into());
        Peer::join_bounded(&self.realm, id, dialect, identity, false, bounds)
    }

    /// Publishes an event with the number of the publication as its argument.
    fn publish(&mut self, to: &Restriction) -> u64 {
        self.published += 1;
        let number = self.published;
        let payload = Payload::from_json(&format!("[{number}]"), "").unwrap();
        let recording = Recording { rule: self.rule, now: self.now, is_durable: false };
        let event = Publication {
            id: PublicationId::new(1_000 + number).unwrap(),
            recording: Some(&recording),
            filter: to.filter.as_ref(),
            narrowed: to.narrowed.as_ref(),
            except: to.except,
            ..publication("t", &payload)
        };
        let mut batch = PendingFlushes::default();
        self.realm.publish(&event, &mut batch).unwrap();
        batch.flush();
        number
    }

    fn publish_all(&mut self, count: usize) {
        for _ in 0..count {
            self.publish(&Restriction::default());
        }
    }

    fn subscribe(&self, peer: &Peer, since: Option<&Since>) {
        self.subscribe_to(peer, "t", MatchPolicy::Exact, since);
    }

    fn subscribe_to(&self, peer: &Peer, uri: &str, policy: MatchPolicy, since: Option<&Since>) {
        let mut batch = PendingFlushes::default();
        let rule = (policy == MatchPolicy::Exact).then_some(self.rule);
        let (id, now) = (PublicationId::new(MARKER).unwrap(), self.now);
        let request =
            ReplayRequest { rule, since, retained: RetainedWish::Nothing, overflow: None, id, now };
        let acknowledge = |_| Some("[33]".into());
        let id = peer.session.id;
        if !self.realm.acknowledge(id, uri, Some(&request), &mut batch, acknowledge) {
            let acknowledge = |_| Some("[33]".into());
            let realm = &self.realm;
            realm.subscribe(id, uri, policy, Some(&request), &mut batch, acknowledge).unwrap();
        }
        batch.flush();
    }
}

/// The receivers of a publication, chosen by its publisher and by the handler.
#[derive(Default)]
struct Restriction {
    filter: Option<ReceiverFilter>,
    narrowed: Option<ReceiverFilter>,
    except: Option<SessionId>,
}

fn published_to(filter: ReceiverFilter) -> Restriction {
    Restriction { filter: Some(filter), ..Restriction::default() }
}

fn narrowed_to(filter: ReceiverFilter) -> Restriction {
    Restriction { narrowed: Some(filter), ..Restriction::default() }
}

/// Returns messages in short: `33`, the stream of a marker, or argument and offset of an event.
fn short(messages: &[String]) -> Vec<Value> {
    let messages = messages.iter().map(|it| serde_json::from_str::<Value>(it).unwrap());
    let short = |message: Value| match (message[0].as_u64(), message[3].get("_stream")) {
        (Some(33), _) => json!(33),
        (Some(36), Some(stream)) => {
            assert_eq!(message.as_array().unwrap().len(), 4, "without arguments: {message}");
            json!([stream["offset"], stream["recovered"], stream["replayed"]])
        }
        (Some(36), None) => {
            let publication = 1_000 + message[4][0].as_u64().unwrap();
            assert_eq!(message[2], publication, "a replayed event keeps its id");
            json!(format!("{}@{}", message[4][0], message[3]["_offset"]))
        }
        // Version 1.
        _ => message[2].clone(),
    };
    messages.map(short).collect()
}

fn epoch(messages: &[String]) -> String {
    let messages = messages.iter().map(|it| serde_json::from_str::<Value>(it).unwrap());
    let mut found = messages.filter_map(|it| Some(it[3]["_stream"]["epoch"].as_str()?.to_owned()));
    found.next().unwrap()
}

fn since(epoch: &str, offset: u64) -> Since {
    Since { epoch: Some(epoch.to_owned()), offset: Some(offset), ..Since::default() }
}

#[test]
fn the_newest_event_alone_is_sent_to_those_who_want_it_so() {
    let mut world = World::new();
    let peer = world.join(1, "ann", V2);
    let latest = |since: Since| Since { latest: true, ..since };
    world.subscribe(&peer, Some(&latest(Since::default())));
    let read = peer.read();
    assert_eq!(short(&read), [json!(33), json!([0, false, 0])]);
    let epoch = epoch(&read);
    world.realm.leave(peer.session.id);
    world.publish_all(3);
    let returned = |world: &World, since: &Since| {
        let peer = world.join(2, "ann", V2);
        world.subscribe(&peer, Some(since));
        let read = short(&peer.read());
        world.realm.leave(peer.session.id);
        read[1..].to_vec()
    };
    let last = [json!([2, false, 1]), json!("3@3")];
    assert_eq!(returned(&world, &latest(since(&epoch, 1))), last);
    assert_eq!(returned(&world, &latest(since("abc", 1))), last);
    assert_eq!(returned(&world, &latest(Since::default())), last);
    assert_eq!(returned(&world, &latest(since(&epoch, 3))), [json!([3, true, 0])]);
}

#[test]
fn returns_missed_events_between_the_acknowledgement_and_later_events() {
    let mut world = World::new();
    let first = world.join(1, "ann", V2);
    world.subscribe(&first, Some(&Since::default()));
    world.publish_all(2);
    let read = first.read();
    assert_eq!(short(&read), [json!(33), json!([0, false, 0]), json!("1@1"), json!("2@2")]);
    let epoch = epoch(&read);
    world.realm.leave(first.session.id);
    world.publish_all(3);
    for id in [2, 3] {
        let again = world.join(id, "ann", V2);
        world.subscribe(&again, Some(&since(&epoch, 2)));
        world.publish_all(1);
        let read = short(&again.read());
        let number = world.published;
        assert_eq!(read[..2], [json!(33), json!([2, true, number - 3])]);
        let expect: Vec<_> = (3..=number).map(|it| json!(format!("{it}@{it}"))).collect();
        assert_eq!(read[2..], expect);
        world.realm.leave(again.session.id);
    }
}

#[test]
fn the_frames_are_shared_by_live_and_replayed_events() {
    let mut world = World::new();
    let live = world.join(1, "ann", V2);
    world.subscribe(&live, None);
    world.publish_all(1);
    let read = live.read();
    world.realm.leave(live.session.id);
    // The subscription has gone, and its id comes back.
    assert_eq!(world.realm.topic_count(), 0);
    world.subscribe_to(&world.join(3, "eve", V2), "other", MatchPolicy::Exact, None);
    let late = world.join(2, "bob", V2);
    world.rule.on_subscribe = 1;
    world.subscribe(&late, None);
    assert_eq!(late.read(), ["[33]".to_owned(), read[1].clone()]);
}

#[test]
fn says_when_it_does_not_know() {
    let mut world = World::new();
    let peer = world.join(1, "ann", V2);
    world.subscribe(&peer, Some(&Since::default()));
    world.publish_all(6);
    let epoch = epoch(&peer.read());
    world.realm.leave(peer.session.id);
    let recovered = |world: &World, since: &Since| {
        let peer = world.join(2, "ann", V2);
        world.subscribe(&peer, Some(since));
        let read = short(&peer.read());
        world.realm.leave(peer.session.id);
        read[1].clone()
    };
    // Five events are kept: 2 to 6.
    assert_eq!(recovered(&world, &since(&epoch, 6)), json!([6, true, 0]));
    assert_eq!(recovered(&world, &since(&epoch, 1)), json!([1, true, 5]));
    assert_eq!(recovered(&world, &since(&epoch, 0)), json!([6, false, 0]), "a hole");
    assert_eq!(recovered(&world, &since(&epoch, 7)), json!([6, false, 0]), "ahead");
    assert_eq!(recovered(&world, &since("abc", 6)), json!([6, false, 0]), "another epoch");
    assert_eq!(recovered(&world, &since("?", 6)), json!([6, false, 0]), "no epoch of ours");
    assert_eq!(recovered(&world, &Since::default()), json!([6, false, 0]));
    world.history.set_limits(1 << 20, ReplayLimits { events: 2, bytes: 1 << 20 });
    assert_eq!(recovered(&world, &since(&epoch, 4)), json!([4, true, 2]));
    assert_eq!(recovered(&world, &since(&epoch, 3)), json!([6, false, 0]), "too many");
    world.history.set_limits(1 << 20, ReplayLimits { events: 300, bytes: 50 });
    assert_eq!(recovered(&world, &since(&epoch, 4)), json!([6, false, 0]), "too large");
    world.history.set_limits(1 << 20, ReplayLimits::default());
    world.now += Duration::from_secs(61);
    assert_eq!(recovered(&world, &since(&epoch, 4)), json!([6, false, 0]), "too old");
    assert_eq!(recovered(&world, &since(&epoch, 6)), json!([6, true, 0]), "nothing was missed");
    world.realm.end_histories(|topic| topic == "t");
    assert_eq!(recovered(&world, &since(&epoch, 6)), json!([6, false, 0]), "ended by a reload");
}

#[test]
fn connected_subscribers_with_a_position_are_told_that_events_may_be_missing() {
    let mut world = World::new();
    let located = world.join(1, "ann", V2);
    world.subscribe(&located, Some(&Since::default()));
    // It asks for a position later.
    let late = world.join(2, "bob", V2);
    world.subscribe(&late, None);
    world.subscribe(&late, Some(&Since::default()));
    let others = [world.join(3, "eve", V2), world.join(4, "joe", Dialect::V1)];
    for other in &others {
        world.subscribe(other, None);
    }
    let gone = world.join(5, "kim", V2);
    world.subscribe(&gone, Some(&Since::default()));
    let subscription = world.realm.subscription(gone.session.id, "t").unwrap();
    let mut batch = PendingFlushes::default();
    world.realm.unsubscribe(gone.session.id, subscription, &mut batch, None).unwrap();
    world.publish_all(2);
    let before = epoch(&located.read());
    for peer in [&late, &others[0], &others[1], &gone] {
        peer.read();
    }
    let id = PublicationId::new(MARKER).unwrap();
    world.realm.interrupt_history("other", id, &mut batch);
    world.realm.interrupt_histories(id, &mut batch);
    batch.flush();
    world.publish_all(1);
    let told = located.read();
    assert_ne!(epoch(&told), before);
    assert_eq!(short(&told), [json!([2, false, 0]), json!("3@3")]);
    assert_eq!(short(&late.read()), [json!([2, false, 0]), json!("3@3")]);
    assert_eq!(short(&others[0].read()), [json!("3@3")]);
    assert_eq!(short(&others[1].read()), [json!(3)]);
    assert!(gone.read().is_empty());
    // Of a topic alone.
    world.realm.interrupt_history("t", id, &mut batch);
    batch.flush();
    assert_eq!(short(&located.read()), [json!([3, false, 0])]);
    assert!(others.iter().all(|other| other.read().is_empty()));
}

#[test]
fn patterns_and_topics_without_history_have_no_position() {
    let world = World::new();
    let peer = world.join(1, "ann", V2);
    world.subscribe_to(&peer, "t", MatchPolicy::Prefix, Some(&since("5e9", 1)));
    let expect = format!("[36,1,{MARKER},{{\"_stream\":{{\"recovered\":false,\"replayed\":0}}}}]");
    assert_eq!(peer.read(), ["[33]".to_owned(), expect]);
}

#[test]
fn a_new_subscriber_gets_the_newest_events_in_both_versions() {
    let mut world = World::new();
    world.rule.on_subscribe = 2;
    world.publish_all(3);
    let (one, two) = (world.join(1, "ann", Dialect::V1), world.join(2, "bob", V2));
    world.subscribe(&one, None);
    world.subscribe(&two, None);
    assert_eq!(short(&one.read()), [json!(33), json!(2), json!(3)]);
    assert_eq!(short(&two.read()), [json!(33), json!("2@2"), json!("3@3")]);
    // With a position that is unknown, too, behind the answer.
    let three = world.join(3, "eve", V2);
    world.subscribe(&three, Some(&since("abc", 1)));
    let expect = [json!(33), json!([1, false, 2]), json!("2@2"), json!("3@3")];
    assert_eq!(short(&three.read()), expect);
    // A subscriber that asks again gets no event twice.
    let epoch = epoch(&{
        world.subscribe(&two, Some(&Since::default()));
        two.read()
    });
    world.subscribe(&two, Some(&since(&epoch, 1)));
    world.subscribe(&two, Some(&since(&epoch, 3)));
    world.subscribe(&one, None);
    let expect = [json!(33), json!([3, false, 0]), json!(33), json!([3, true, 0])];
    assert_eq!(short(&two.read()), expect);
    assert_eq!(short(&one.read()), [json!(33)]);
}

#[test]
fn history_as_a_leak() {
    let mut world = World::new();
    world.rule.on_subscribe = 5;
    let bob = SessionId::new(2).unwrap();
    let names = |user: &str| Some(BTreeSet::from([user.to_owned()]));
    let only_ann = ReceiverFilter { eligible_authid: names("ann"), ..ReceiverFilter::default() };
    let not_ann =
        ReceiverFilter { exclude_authid: names("ann").unwrap(), ..ReceiverFilter::default() };
    let members =
        ReceiverFilter { eligible_authrole: names("member"), ..ReceiverFilter::default() };
    let session = ReceiverFilter { eligible: Some([bob].into()), ..ReceiverFilter::default() };
    world.publish(&published_to(only_ann));
    world.publish(&narrowed_to(not_ann));
    world.publish(&published_to(members));
    world.publish(&narrowed_to(session));
    world.publish(&Restriction { except: Some(bob), ..Restriction::default() });
    let seen = |world: &World, id: u64, user: &str| {
        let peer = world.join(id, user, V2);
        world.subscribe(&peer, None);
        world.realm.leave(peer.session.id);
        short(&peer.read())
    };
    assert_eq!(seen(&world, 1, "ann"), [json!(33), json!("1@1"), json!("5@5")]);
    // The fourth was for this session, which may be another client's now.
    assert_eq!(seen(&world, 2, "bob"), [json!(33), json!("2@2")]);
    // A publisher that returns gets its own event.
    assert_eq!(seen(&world, 3, "bob"), [json!(33), json!("2@2"), json!("5@5")]);
    // No client is told that it has all events.
    let peer = world.join(4, "ann", V2);
    world.subscribe(&peer, Some(&Since::default()));
    let epoch = epoch(&peer.read());
    world.realm.leave(peer.session.id);
    let recovered = |offset| {
        let peer = world.join(5, "ann", V2);
        world.subscribe(&peer, Some(&since(&epoch, offset)));
        world.realm.leave(peer.session.id);
        short(&peer.read())[1][1].clone()
    };
    assert_eq!([recovered(3), recovered(4)], [json!(false), json!(true)]);
}

#[test]
fn a_replay_respects_the_bounds_of_the_outbox() {
    let mut world = World::new();
    world.publish_all(5);
    let epoch = format!("{:x}", 1_001);
    let peer = world.join_bounded(1, "ann", V2, 140);
    world.subscribe(&peer, Some(&since(&epoch, 0)));
    assert_eq!(short(&peer.read()), [json!(33), json!([5, false, 0])]);
    assert!(!peer.session.is_closing());
    let peer = world.join_bounded(2, "ann", V2, 1_000);
    world.subscribe(&peer, Some(&since(&epoch, 0)));
    assert_eq!(short(&peer.read())[1], json!([0, true, 5]));
}

#[test]
fn memory_is_bounded_and_positions_stay() {
    let mut world = World::new();
    world.rule.events = 1_000;
    let memory = 100_000;
    world.history.set_limits(memory, ReplayLimits::default());
    let peer = world.join(1, "ann", V2);
    world.subscribe(&peer, Some(&Since::default()));
    world.publish_all(100);
    let epoch = epoch(&peer.read());
    world.realm.leave(peer.session.id);
    assert!(world.history.numbers().bytes > 40_000);
    let payload = Payload::from_json(&format!("[\"{}\"]", "x".repeat(1_000)), "").unwrap();
    for topic in 0..200 {
        let recording = Recording { rule: world.rule, now: world.now, is_durable: false };
        world.now += Duration::from_secs(1);
        let topic = format!("other.{topic}");
        let event = Publication { recording: Some(&recording), ..publication(&topic, &payload) };
        world.realm.publish(&event, &mut PendingFlushes::default()).unwrap();
        assert!(world.history.numbers().bytes <= memory);
    }
    // The events are gone, the position is known.
    let recovered = |world: &World, offset| {
        let peer = world.join(2, "ann", V2);
        world.subscribe(&peer, Some(&since(&epoch, offset)));
        world.realm.leave(peer.session.id);
        short(&peer.read())[1].clone()
    };
    assert_eq!(recovered(&world, 99), json!([100, false, 0]));
    assert_eq!(recovered(&world, 100), json!([100, true, 0]));
    // Positions without an event are forgotten first, however many a client makes.
    for topic in 0..1_000 {
        let peer = world.join(2, "eve", V2);
        let topic = format!("made.up.{topic}");
        world.subscribe_to(&peer, &topic, MatchPolicy::Exact, Some(&Since::default()));
        world.realm.leave(peer.session.id);
    }
    world.publish_all(1);
    assert!(world.history.numbers().bytes <= memory);
    assert_eq!(recovered(&world, 100)[1], json!(true));
}

#[test]
fn idle_positions_are_forgotten_after_a_day_and_offsets_go_on() {
    let mut world = World::new();
    world.publish_all(3);
    for topic in 0..100 {
        let recording = Recording { rule: world.rule, now: world.now, is_durable: false };
        let payload = Payload::empty(Codec::Json);
        let topic = format!("other.{topic}");
        let event = Publication { recording: Some(&recording), ..publication(&topic, &payload) };
        world.realm.publish(&event, &mut PendingFlushes::default()).unwrap();
        world.now += Duration::from_hours(1);
    }
    let peer = world.join(1, "ann", V2);
    world.subscribe(&peer, None);
    world.publish_all(1);
    let read = short(&peer.read());
    assert_eq!(read[1], json!("4@4"), "no subscriber sees an offset twice");
    assert!(world.history.numbers().topics < 80, "{}", world.history.numbers().topics);
}
