//! Retained events, and searches in a history.

use std::ops::Bound;

use super::*;
use crate::history::{EventQuery, RetainedWish, UnknownPublication};

impl World {
    /// Publishes a retained event, with the number of the publication as its argument.
    fn retain(&mut self, topic: &str, has_history: bool, filter: Option<&ReceiverFilter>) {
        self.published += 1;
        self.now += Duration::from_millis(1);
        let payload = Payload::from_json(&format!("[{}]", self.published), "").unwrap();
        let recording = Recording { rule: self.rule, now: self.now, is_durable: false };
        let event = Publication {
            id: PublicationId::new(1_000 + self.published).unwrap(),
            recording: has_history.then_some(&recording),
            retain: Some(self.now),
            filter,
            ..publication(topic, &payload)
        };
        self.realm.publish(&event, &mut PendingFlushes::default()).unwrap();
    }

    /// Subscribes, and returns what follows SUBSCRIBED: `_stream` in short, or argument and details.
    fn ask(&self, peer: &Peer, uri: &str, request: &ReplayRequest<'_>) -> Vec<Value> {
        let policy = match request.retained {
            RetainedWish::OfPattern(policy, _) => policy,
            RetainedWish::Nothing | RetainedWish::OfTopic => MatchPolicy::Exact,
        };
        let mut batch = PendingFlushes::default();
        let id = peer.session.id;
        let acknowledge = |_| Some("[33]".into());
        if !self.realm.acknowledge(id, uri, Some(request), &mut batch, acknowledge) {
            let realm = &self.realm;
            realm.subscribe(id, uri, policy, Some(request), &mut batch, acknowledge).unwrap();
        }
        batch.flush();
        let mut read =
            peer.read().into_iter().map(|it| serde_json::from_str::<Value>(&it).unwrap());
        assert_eq!(read.next(), Some(json!([33])));
        let short = |message: Value| match message[3].get("_stream") {
            Some(stream) => json!([stream["offset"], stream["recovered"], stream["replayed"]]),
            None => json!([message[4][0], message[3]]),
        };
        read.map(short).collect()
    }

    fn request<'a>(&self, retained: RetainedWish<'a>) -> ReplayRequest<'a> {
        let id = PublicationId::new(MARKER).unwrap();
        ReplayRequest { rule: None, since: None, retained, overflow: None, id, now: self.now }
    }
}

fn to_users(name: &str) -> ReceiverFilter {
    let names = Some(BTreeSet::from([name.to_owned()]));
    ReceiverFilter { eligible_authid: names, ..ReceiverFilter::default() }
}

#[test]
fn the_last_retained_event_of_a_topic_without_history_is_sent_to_those_who_ask() {
    let mut world = World::new();
    world.retain("t", false, None);
    world.retain("t", false, None);
    let payload = Payload::empty(Codec::Json);
    let plain = publication("t", &payload);
    world.realm.publish(&plain, &mut PendingFlushes::default()).unwrap();
    let peer = world.join(1, "ann", V2);
    assert_eq!(world.ask(&peer, "t", &world.request(RetainedWish::Nothing)), [json!(null); 0]);
    let wish = world.request(RetainedWish::OfTopic);
    let expect = [json!([2, { "retained": true }])];
    assert_eq!(world.ask(&peer, "t", &wish), expect, "also if it is a subscriber already");
    let other = world.join(2, "bob", V2);
    assert_eq!(world.ask(&other, "t", &wish), expect);
    assert_eq!(world.ask(&other, "u", &wish), [json!(null); 0]);
    // A reload ends histories, and what is retained without one stays.
    world.realm.end_histories(|_| true);
    assert_eq!(world.ask(&world.join(3, "eve", V2), "t", &wish), expect);
}

#[test]
fn a_retained_event_is_not_sent_twice_to_one_that_has_missed_it() {
    let mut world = World::new();
    world.publish_all(1);
    world.retain("t", true, None);
    world.publish_all(1);
    let epoch = format!("{:x}", 1_001);
    let ask = |world: &World, offset: Option<u64>, on_subscribe| {
        let peer = world.join(1, "ann", V2);
        let position = offset.map(|offset| since(&epoch, offset));
        let request = ReplayRequest {
            rule: Some(HistoryRule { on_subscribe, ..world.rule }),
            since: position.as_ref(),
            ..world.request(RetainedWish::OfTopic)
        };
        let read = world.ask(&peer, "t", &request);
        world.realm.leave(peer.session.id);
        read
    };
    let retained = json!([2, { "retained": true }]);
    let [two, three] = [2, 3].map(|it| json!([it, { "_offset": it }]));
    assert_eq!(ask(&world, None, 0), std::slice::from_ref(&retained));
    assert_eq!(ask(&world, None, 1), [retained.clone(), three.clone()]);
    assert_eq!(ask(&world, None, 2), [two.clone(), three.clone()]);
    assert_eq!(ask(&world, Some(1), 0), [json!([1, true, 2]), two, three.clone()]);
    assert_eq!(ask(&world, Some(2), 0), [retained.clone(), json!([2, true, 1]), three]);
    // It stays when the events are too old.
    world.now += Duration::from_mins(2);
    assert_eq!(ask(&world, Some(3), 0), [retained, json!([3, true, 0])]);
}

#[test]
fn retained_events_as_a_leak() {
    let mut world = World::new();
    let bob = SessionId::new(2).unwrap();
    world.retain("t", false, None);
    let ids = ReceiverFilter { eligible: Some([bob].into()), ..ReceiverFilter::default() };
    world.retain("t", false, Some(&ids));
    world.retain("u", false, Some(&ids));
    world.retain("v", false, Some(&to_users("ann")));
    let (ann, bob) = (world.join(1, "ann", V2), world.join(2, "bob", V2));
    let wish = world.request(RetainedWish::OfTopic);
    let seen = |topic: &str| {
        [&ann, &bob].map(|it| world.ask(it, topic, &wish).first().map(|it| it[0].clone()))
    };
    // One that is for session ids is not retained, and the one before stays.
    assert_eq!(seen("t"), [Some(json!(1)), Some(json!(1))]);
    assert_eq!(seen("u"), [None, None]);
    assert_eq!(seen("v"), [Some(json!(4)), None]);
}

#[test]
fn a_pattern_gets_the_retained_events_of_its_topics() {
    let mut world = World::new();
    for topic in ["a.c.x", "a.b.x", "a.b.y", "secret.x", "b"] {
        world.retain(topic, false, None);
    }
    world.retain("a.b.x", true, Some(&to_users("ann")));
    let may_receive = |topic: &str| !topic.starts_with("secret");
    let ask = |world: &World, user: &str, pattern: &str, policy| {
        let peer = world.join(1, user, V2);
        let wish = world.request(RetainedWish::OfPattern(policy, &may_receive));
        let read = world.ask(&peer, pattern, &wish);
        world.realm.leave(peer.session.id);
        assert!(read.iter().all(|it| it[1]["retained"] == true), "{read:?}");
        read.iter().map(|it| format!("{}={}", it[1]["topic"].as_str().unwrap(), it[0])).collect()
    };
    let (prefix, wildcard) = (MatchPolicy::Prefix, MatchPolicy::Wildcard);
    let all = |it: Vec<String>| it.join(" ");
    assert_eq!(all(ask(&world, "ann", "", prefix)), "a.c.x=1 a.b.y=3 b=5 a.b.x=6");
    assert_eq!(all(ask(&world, "bob", "a.", prefix)), "a.c.x=1 a.b.y=3");
    assert_eq!(all(ask(&world, "ann", "a..x", wildcard)), "a.c.x=1 a.b.x=6");
    assert_eq!(all(ask(&world, "ann", ".b.", wildcard)), "a.b.y=3 a.b.x=6");
    assert_eq!(all(ask(&world, "ann", "c", prefix)), "");
    world.history.set_limits(1 << 20, ReplayLimits { events: 2, bytes: 1 << 20 });
    assert_eq!(all(ask(&world, "ann", "", prefix)), "b=5 a.b.x=6");
}

#[test]
fn retained_events_push_out_no_history() {
    let mut world = World::new();
    let memory = 100_000;
    world.history.set_limits(memory, ReplayLimits::default());
    world.rule.on_subscribe = 1;
    world.publish_all(1);
    for topic in 0..1_000 {
        world.retain(&format!("made.up.{topic}"), false, None);
        assert!(world.history.numbers().bytes <= memory);
    }
    let peer = world.join(1, "ann", V2);
    world.subscribe(&peer, None);
    assert_eq!(short(&peer.read()), [json!(33), json!("1@1")]);
    let wish = world.request(RetainedWish::OfTopic);
    assert_eq!(world.ask(&peer, "made.up.0", &wish), [json!(null); 0]);
    assert_eq!(world.ask(&peer, "made.up.999", &wish).len(), 1);
    let all = |_: &str| true;
    let of_all = world.request(RetainedWish::OfPattern(MatchPolicy::Prefix, &all));
    assert!(world.ask(&world.join(2, "bob", V2), "made.up.", &of_all).len() > 10);
    // All is counted, and given back.
    world.history.set_limits(0, ReplayLimits::default());
    world.retain("made.up.1", false, None);
    world.retain("made.up.2", false, None);
    assert!(world.history.numbers().bytes < 1_000, "{:?}", world.history.numbers());
}

#[test]
fn retained_events_are_saved_without_a_history_too() {
    let mut world = World::new();
    world.retain("plain", false, None);
    world.retain("t", true, None);
    let mut saved = world.realm.save_histories(|topic| topic == "t");
    saved.sort_by(|a, b| a.topic.cmp(&b.topic));
    let kept: Vec<_> =
        saved.iter().map(|it| (&*it.topic, it.events.len(), it.retained.is_some())).collect();
    assert_eq!(kept, [("plain", 0, true), ("t", 1, true)]);
    let next = World::new();
    next.realm.restore_histories(saved);
    let all = |_: &str| true;
    let wish = next.request(RetainedWish::OfPattern(MatchPolicy::Prefix, &all));
    let read = next.ask(&next.join(1, "ann", V2), "", &wish);
    assert_eq!(read.iter().map(|it| it[0].clone()).collect::<Vec<_>>(), [json!(1), json!(2)]);
}

/// What a subscriber gets of a retained event does not depend on the place where it is kept.
#[test]
fn a_retained_event_comes_once_after_a_restart_and_if_it_is_too_long_for_the_history() {
    let mut world = World::new();
    world.publish_all(1);
    world.retain("t", true, None);
    let next = World::new();
    next.realm.restore_histories(world.realm.save_histories(|_| true));
    let ask = |world: &World| {
        let request = ReplayRequest {
            rule: Some(HistoryRule { on_subscribe: 5, ..world.rule }),
            ..world.request(RetainedWish::OfTopic)
        };
        let read = world.ask(&world.join(1, "ann", V2), "t", &request);
        read.iter().map(|it| (it[0].clone(), it[1]["retained"].clone())).collect::<Vec<_>>()
    };
    let events = [(json!(1), json!(null)), (json!(2), json!(null))];
    assert_eq!(ask(&next), events, "as an event of the history");

    let mut small = World::new();
    small.publish_all(2);
    small.rule.bytes = 1;
    small.retain("t", true, None);
    small.rule = RULE;
    assert!(ask(&small).contains(&(json!(3), json!(true))), "{:?}", ask(&small));
}

#[test]
fn an_event_that_does_not_fit_hides_no_other_from_a_pattern() {
    let mut world = World::new();
    world.retain("a.1", false, None);
    let long = Payload::from_json(&format!("[\"{}\"]", "x".repeat(2_000)), "").unwrap();
    let event = Publication { retain: Some(world.now), ..publication("a.2", &long) };
    world.realm.publish(&event, &mut PendingFlushes::default()).unwrap();
    world.retain("a.3", false, None);
    world.history.set_limits(1 << 20, ReplayLimits { events: 300, bytes: 1_000 });
    let all = |_: &str| true;
    let wish = world.request(RetainedWish::OfPattern(MatchPolicy::Prefix, &all));
    let read = world.ask(&world.join(1, "ann", V2), "a.", &wish);
    assert_eq!(read.iter().map(|it| it[0].clone()).collect::<Vec<_>>(), [json!(1), json!(2)]);
}

/// A search begins at its ranges, however many events are outside of them.
#[test]
fn finds_every_event_of_a_long_history_page_by_page() {
    const EVENTS: usize = 10_000;
    let mut world = World::new();
    world.rule = HistoryRule { events: EVENTS, bytes: 1 << 30, ..RULE };
    world.history.set_limits(1 << 30, ReplayLimits::default());
    world.publish_all(EVENTS);
    let ann = world.join(1, "ann", V2);
    for reverse in [false, true] {
        let (mut seen, mut last) = (0, Bound::Unbounded);
        loop {
            let range = if reverse { (Bound::Unbounded, last) } else { (last, Bound::Unbounded) };
            let query =
                EventQuery { reverse, limit: 300, times: Vec::new(), publications: vec![range] };
            let clock = (world.rule, world.now);
            let id = PublicationId::new(99).unwrap();
            let found = world.realm.find_events("t", clock, id, &query, &ann.session).unwrap();
            let Some(newest) = found.events.last() else { break };
            last = Bound::Excluded(newest.publication);
            seen += found.events.len();
        }
        assert_eq!(seen, EVENTS, "reverse: {reverse}");
    }
}

#[test]
fn finds_events_by_time_publication_and_order() {
    let mut world = World::new();
    for _ in 0..3 {
        world.now += Duration::from_secs(1);
        world.publish_all(1);
    }
    world.publish(&published_to(to_users("ann")));
    let ids = ReceiverFilter { eligible: Some([].into()), ..ReceiverFilter::default() };
    world.publish(&published_to(ids));
    let bob = world.join(2, "bob", V2);
    let id = |number: u64| PublicationId::new(1_000 + number).unwrap();
    let plain =
        EventQuery { reverse: false, limit: 9, times: Vec::new(), publications: Vec::new() };
    let find = |query: &EventQuery| {
        let clock = (world.rule, world.now);
        let found = world.realm.find_events("t", clock, id(99), query, &bob.session)?;
        let numbers: Vec<_> = found.events.iter().map(|it| it.offset).collect();
        Ok::<_, UnknownPublication>((numbers, found.has_more))
    };
    let numbers = |query: EventQuery| find(&query).unwrap();
    assert_eq!(numbers(plain.clone()), (vec![1, 2, 3], false), "what bob may see");
    assert_eq!(numbers(EventQuery { limit: 2, ..plain.clone() }), (vec![1, 2], true));
    assert_eq!(
        numbers(EventQuery { limit: 2, reverse: true, ..plain.clone() }),
        (vec![3, 2], true)
    );
    let at = |seconds: u128| seconds * 1_000;
    let time = |begin, end| EventQuery { times: vec![(begin, end)], ..plain.clone() };
    assert_eq!(numbers(time(Bound::Included(at(1_002)), Bound::Unbounded)).0, [2, 3]);
    assert_eq!(numbers(time(Bound::Excluded(at(1_001)), Bound::Excluded(at(1_003)))).0, [2]);
    let by = |begin, end| EventQuery { publications: vec![(begin, end)], ..plain.clone() };
    assert_eq!(numbers(by(Bound::Excluded(id(1)), Bound::Unbounded)).0, [2, 3]);
    assert_eq!(numbers(by(Bound::Unbounded, Bound::Included(id(2)))).0, [1, 2]);
    let unknown = by(Bound::Excluded(id(77)), Bound::Unbounded);
    assert_eq!(find(&unknown).unwrap_err(), UnknownPublication(id(77)));
}
