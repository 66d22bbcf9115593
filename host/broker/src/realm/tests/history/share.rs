//! Shares of the memory: a client cannot push the histories of others out.

use super::*;
use crate::client_key::ClientKey;

const MEMORY: usize = 1 << 20;

fn client(name: &str) -> ClientKey {
    let identity = Identity::anonymous(name.to_owned(), Ipv4Addr::LOCALHOST.into());
    ClientKey::of(&Identity { anonymous_from: None, ..identity })
}

impl World {
    fn publish_of(&mut self, client: Option<ClientKey>, topic: &str, payload: &Payload) {
        self.published += 1;
        self.now += Duration::from_millis(1);
        let recording = Recording { rule: self.rule, now: self.now, is_durable: false };
        let event = Publication {
            id: PublicationId::new(1_000 + self.published).unwrap(),
            client,
            recording: Some(&recording),
            ..publication(topic, payload)
        };
        self.realm.publish(&event, &mut PendingFlushes::default()).unwrap();
    }

    /// Returns the number of events of a topic.
    fn kept(&self, topic: &str) -> usize {
        let peer = self.join(99, "reader", V2);
        let id = PublicationId::new(MARKER).unwrap();
        let rule = (self.rule, self.now);
        let page = self.realm.history_page(topic, rule, id, (None, 100), &peer.session);
        self.realm.leave(peer.session.id);
        page.events.len()
    }
}

/// Returns what is left of five quiet topics, after a client has published to ever new ones.
fn left(percent: u32, is_hostile: bool) -> [usize; 5] {
    let mut world = World::new();
    world.history.set_limits(MEMORY, ReplayLimits::default());
    world.history.set_client_percent(percent);
    let payload = Payload::from_json("[\"order\"]", "").unwrap();
    let owners = [Some(client("ann")), Some(client("ann")), Some(client("bob")), None, None];
    for (number, owner) in owners.into_iter().enumerate() {
        for _ in 0..5 {
            world.publish_of(owner, &format!("orders.{number}"), &payload);
        }
    }
    let text = "x".repeat(2_000);
    let large = Payload::from_json(&format!("[\"{text}\"]"), "").unwrap();
    for number in 0..20_000 {
        let (owner, payload) = match number % 2 {
            // Positions alone fill the memory, too: large events leave them behind.
            0 => (client("eve"), &payload),
            _ => (client("eve"), &large),
        };
        let owner = is_hostile.then_some(owner);
        world.publish_of(owner, &format!("flood.{number}"), payload);
        assert!(world.history.numbers().bytes <= MEMORY, "{number}");
    }
    std::array::from_fn(|number| world.kept(&format!("orders.{number}")))
}

#[test]
fn a_client_that_publishes_to_ever_new_topics_loses_its_own_histories() {
    assert_eq!(left(25, true), [5; 5]);
    // Without shares, and if a handler publishes, the topics longest without an event lose theirs.
    assert_eq!(left(100, true), [0; 5]);
    assert_eq!(left(25, false), [0; 5]);
}

/// Each of four clients publishes to ever new topics, and stays within its share.
#[test]
fn a_quiet_client_keeps_its_newest_events_beside_busy_ones() {
    let mut world = World::new();
    world.history.set_limits(MEMORY, ReplayLimits::default());
    world.history.set_client_percent(25);
    let payload = Payload::from_json("[\"order\"]", "").unwrap();
    let busy = ["eve", "fay", "gus", "hal"].map(client);
    let mut flood = (0..).map(|number: usize| (format!("flood.{number}"), busy[number % 4]));
    for round in 0..10 {
        for number in 0..50 {
            world.publish_of(Some(client("ann")), &format!("orders.{number}"), &payload);
        }
        for (topic, owner) in flood.by_ref().take(2_000) {
            world.publish_of(Some(owner), &topic, &payload);
        }
        let kept =
            (0..50).filter(|it| world.kept(&format!("orders.{it}")) == (round + 1).min(5)).count();
        assert_eq!(kept, 50, "{round}");
    }
    assert!(world.history.numbers().evictions > 0);
}

/// Topics that count for no client, as after a restart.
#[test]
fn positions_do_not_push_the_newest_events_out() {
    let mut world = World::new();
    world.history.set_limits(MEMORY, ReplayLimits::default());
    world.history.set_client_percent(25);
    let payload = Payload::from_json("[\"order\"]", "").unwrap();
    for number in 0..20_000_usize {
        world.publish_of(None, &format!("t.{number}"), &payload);
        if number % 97 == 0 {
            for newest in number.saturating_sub(300)..=number {
                assert_eq!(world.kept(&format!("t.{newest}")), 1, "{newest} of {number}");
            }
        }
    }
    assert!(world.history.numbers().evictions > 0);
}

#[test]
fn a_share_counts_only_when_the_memory_is_used_up() {
    let mut world = World::new();
    world.history.set_limits(MEMORY, ReplayLimits::default());
    world.history.set_client_percent(1);
    let payload = Payload::from_json("[1]", "").unwrap();
    for number in 0..500 {
        world.publish_of(Some(client("ann")), &format!("t.{number}"), &payload);
    }
    assert!(world.history.numbers().bytes > MEMORY / 4);
    assert_eq!(world.history.numbers().evictions, 0);
    assert_eq!(world.kept("t.0"), 1);
}

/// A topic counts for the client of its first event, not for one that has subscribed before it.
#[test]
fn a_topic_counts_for_its_publisher_and_not_for_its_subscriber() {
    let mut world = World::new();
    world.history.set_limits(MEMORY, ReplayLimits::default());
    world.history.set_client_percent(25);
    let payload = Payload::from_json("[\"order\"]", "").unwrap();
    // A session has few subscriptions, and the realm not many.
    for number in 0..40 {
        let visitor = world.join(number + 1, "ann", V2);
        let topic = format!("orders.{number}");
        world.subscribe_to(&visitor, &topic, MatchPolicy::Exact, Some(&Since::default()));
        world.publish_of(Some(client("backend")), &topic, &payload);
    }
    // Positions of the visitor that never have an event, and another client above its share.
    for number in 0..40 {
        let visitor = world.join(number + 41, "ann", V2);
        let topic = format!("empty.{number}");
        world.subscribe_to(&visitor, &topic, MatchPolicy::Exact, Some(&Since::default()));
    }
    let text = "x".repeat(2_000);
    let large = Payload::from_json(&format!("[\"{text}\"]"), "").unwrap();
    for number in 0..2_000 {
        world.publish_of(Some(client("eve")), &format!("flood.{number}"), &large);
    }
    let kept = (0..40).filter(|it| world.kept(&format!("orders.{it}")) == 1).count();
    assert_eq!(kept, 40);
}
