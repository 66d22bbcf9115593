//! The state machine on a simulated bus, which drops, delays, duplicates and splits by a seed.

mod exchange;
mod forged;

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::test_runner::TestRng;

use super::super::*;
use super::versions::{max_lag, of_some_release};
use super::{MatchPolicy, Payload, REALM, hello_of, key, publication};
use exchange::OFFERS;

const MILLISECOND: Duration = Duration::from_millis(1);

/// A node with its subscribers, each a set of keys with one session at most.
struct Node {
    peers: Peers,
    subscribed: BTreeMap<Place, Subscriber>,
    waiting: Vec<(Place, Barrier, Duration)>,
    /// The number of publications so far, and of each topic.
    published: u64,
    by_topic: BTreeMap<&'static str, u64>,
    /// Doubts about other nodes, by their number so far.
    doubts: u64,
    /// The number of messages for the host of each node, and the number of the next one from each.
    said: BTreeMap<NodeId, u64>,
    heard: BTreeMap<NodeId, u64>,
    /// The number of the offer of each of [`OFFERS`]; 0 is none.
    offers: [u32; OFFERS],
    /// Whether there is a hole that only a later notice tells.
    awaits_notice: bool,
    next_hello: Duration,
    next_tick: Duration,
}

/// The index of a topic or pattern in [`PLACES`].
type Place = usize;

#[derive(Default)]
struct Subscriber {
    /// For each publisher and topic: the next number, and the doubts when it became that.
    next: BTreeMap<(NodeId, &'static str), (u64, u64)>,
    /// The greatest number of each publisher, across topics.
    last: BTreeMap<NodeId, u64>,
}

/// A message on the way.
struct Message {
    to: Option<usize>,
    bytes: Bytes,
}

struct World {
    now: Duration,
    nodes: Vec<Node>,
    /// By sender and receiver, with the time of arrival: the order of a pair is kept.
    ways: BTreeMap<(usize, usize), VecDeque<(Duration, Message)>>,
    rng: TestRng,
    /// The time until which each pair is apart.
    apart: BTreeMap<(usize, usize), Duration>,
    /// Of 1000 messages.
    drops: u64,
    /// Whether somebody else sends messages in the name of nodes.
    is_forged: bool,
    /// Whether forged messages may have made holes.
    is_trusting: bool,
    max_delay: u64,
    events: usize,
}

const TOPICS: [&str; 3] = ["a.b", "a.c", "x.c"];
const PLACES: [(MatchPolicy, &str); 5] = [
    (MatchPolicy::Exact, "a.b"),
    (MatchPolicy::Exact, "a.c"),
    (MatchPolicy::Exact, "x.c"),
    (MatchPolicy::Prefix, "a."),
    (MatchPolicy::Wildcard, ".c"),
];

fn matches(place: Place, topic: &str) -> bool {
    let (policy, uri) = PLACES[place];
    match policy {
        MatchPolicy::Exact => uri == topic,
        MatchPolicy::Prefix => topic.starts_with(uri),
        MatchPolicy::Wildcard => topic.ends_with(uri),
    }
}

impl World {
    fn new(count: usize, seed: u64, drops: u64, max_delay: u64) -> Self {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let rng = TestRng::from_seed(proptest::test_runner::RngAlgorithm::ChaCha, &bytes);
        let node = |index: usize| Node {
            peers: of_some_release(index, seed),
            subscribed: BTreeMap::new(),
            waiting: Vec::new(),
            published: 0,
            by_topic: BTreeMap::new(),
            doubts: 0,
            said: BTreeMap::new(),
            heard: BTreeMap::new(),
            offers: [0; OFFERS],
            awaits_notice: false,
            next_hello: MILLISECOND * 7 * u32::try_from(index).unwrap(),
            next_tick: MILLISECOND * 11 * u32::try_from(index).unwrap(),
        };
        Self {
            now: Duration::ZERO,
            nodes: (0..count).map(node).collect(),
            ways: BTreeMap::new(),
            rng,
            apart: BTreeMap::new(),
            drops,
            is_forged: false,
            is_trusting: false,
            max_delay,
            events: 0,
        }
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.rng.next_u64() % limit
    }

    fn index(&mut self, limit: usize) -> usize {
        usize::try_from(self.below(limit as u64)).unwrap()
    }

    fn send(&mut self, from: usize, to: usize, is_hello: bool, bytes: &[u8]) {
        let is_apart = self.apart.get(&(from, to)).is_some_and(|until| *until > self.now);
        if is_apart || self.below(1000) < self.drops {
            return;
        }
        // A copy behind the end of its sender, which was forged, would be taken for a new one.
        let has_copy = self.drops > 0 && !self.is_forged && self.below(50) == 0;
        for _ in 0..=u8::from(has_copy) {
            let delay = self.below(self.max_delay) + 1;
            let at = self.now + MILLISECOND * u32::try_from(delay).unwrap();
            let way = self.ways.entry((from, to)).or_default();
            let at = way.back().map_or(at, |(last, _)| at.max(*last));
            let to = (!is_hello).then_some(to);
            way.push_back((at, Message { to, bytes: Bytes::copy_from_slice(bytes) }));
        }
    }

    /// Passes one millisecond.
    fn step(&mut self) {
        self.now += MILLISECOND;
        let pairs: Vec<_> = self.ways.keys().copied().collect();
        for (from, to) in pairs {
            let now = self.now;
            while let Some((_, message)) = self
                .ways
                .get_mut(&(from, to))
                .and_then(|way| way.pop_front_if(|(at, _)| *at <= now))
            {
                self.arrive(to, &message);
            }
        }
        for index in 0..self.nodes.len() {
            self.run(index);
        }
    }

    fn arrive(&mut self, at: usize, message: &Message) {
        let now = self.now;
        let node = &mut self.nodes[at];
        if message.to.is_none() {
            assert!(!node.peers.hear_hello(&message.bytes, now));
            return;
        }
        let received = node.peers.receive(&message.bytes, now);
        node.note(&received.notices);
        node.hear_messages(&received, self.is_trusting);
        // The host applies offers a while later.
        if !self.rng.next_u64().is_multiple_of(3) {
            node.apply_offers();
        }
        for event in received.events() {
            self.events += 1;
            let numbers: Vec<u64> = serde_json::from_str(&event.payload.args_json()).unwrap();
            let [publisher, number, of_topic] = numbers[..] else { panic!("{numbers:?}") };
            let publisher = NodeId(publisher);
            assert_ne!(publisher, node.peers.node(), "no event comes back");
            let topic = TOPICS.into_iter().find(|it| *it == event.topic).unwrap();
            let doubts = node.doubts;
            for (place, subscriber) in &mut node.subscribed {
                if !matches(*place, topic) {
                    continue;
                }
                let last = subscriber.last.entry(publisher).or_default();
                assert!(*last < number, "in order, across topics");
                *last = number;
                let next = subscriber.next.entry((publisher, topic)).or_insert((0, 0));
                if of_topic < next.0 {
                    // It was on its way before SUBSCRIBED.
                    continue;
                }
                let is_noticed = self.is_trusting || of_topic == next.0 || doubts > next.1;
                if !is_noticed {
                    // Of a peer that is late. Until it has caught up, no client is told that it has missed
                    // nothing.
                    assert!(!node.peers.are_heard(now, Duration::MAX), "a hole without a notice");
                    node.awaits_notice = true;
                }
                *next = (of_topic + 1, doubts);
            }
        }
    }

    fn run(&mut self, index: usize) {
        let now = self.now;
        let node = &mut self.nodes[index];
        if node.next_hello <= now {
            let hello = node.peers.hello();
            node.next_hello = now + MILLISECOND * 1000;
            for to in (0..self.nodes.len()).filter(|to| *to != index) {
                self.send(index, to, true, &hello);
            }
        }
        let node = &mut self.nodes[index];
        if node.next_tick <= now {
            node.next_tick = now + MILLISECOND * 1000;
            let (notices, _) = node.peers.tick(now);
            node.note(&notices);
            for (place, known) in PLACES.into_iter().enumerate() {
                let count = usize::from(node.subscribed.contains_key(&place));
                node.peers.set_count(&key(known), count, Duration::ZERO, now);
            }
            let _looked_at = node.peers.take_claimed().count();
            node.apply_offers();
        }
        self.settle(index);
        for (to, bytes) in self.nodes[index].peers.take_messages() {
            assert!(bytes.len() <= MAX_ENVELOPE_BYTES);
            let to = usize::try_from(to.0).unwrap() - 1;
            if to < self.nodes.len() {
                self.send(index, to, false, &bytes);
            }
        }
    }

    /// Ends the waits of subscriptions that are acknowledged or late: SUBSCRIBED.
    fn settle(&mut self, index: usize) {
        let now = self.now;
        let waiting = std::mem::take(&mut self.nodes[index].waiting);
        for (place, barrier, until) in waiting {
            let peers = &mut self.nodes[index].peers;
            if peers.is_acknowledged(&barrier) {
                self.subscribed(index, place);
            } else if until <= now {
                let notices = peers.expire(&barrier);
                self.nodes[index].note(&notices);
                self.subscribed(index, place);
            } else {
                self.nodes[index].waiting.push((place, barrier, until));
            }
        }
    }

    fn subscribe(&mut self, index: usize, place: Place) {
        let node = &mut self.nodes[index];
        let is_waiting = node.waiting.iter().any(|(it, ..)| *it == place);
        if is_waiting || node.subscribed.contains_key(&place) {
            return;
        }
        match node.peers.announce(&key(PLACES[place]), self.now) {
            Some(barrier) => node.waiting.push((place, barrier, self.now + MILLISECOND * 250)),
            None => self.subscribed(index, place),
        }
    }

    fn subscribed(&mut self, index: usize, place: Place) {
        let mut subscriber = Subscriber::default();
        let doubts = self.nodes[index].doubts;
        for (other, node) in self.nodes.iter().enumerate() {
            if other != index {
                for (topic, count) in &node.by_topic {
                    subscriber.next.insert((node.peers.node(), topic), (*count, doubts));
                }
                subscriber.last.insert(node.peers.node(), 0);
            }
        }
        self.nodes[index].subscribed.insert(place, subscriber);
    }

    fn publish(&mut self, index: usize, topic: &'static str) {
        let node = &mut self.nodes[index];
        node.published += 1;
        let of_topic = node.by_topic.entry(topic).or_default();
        let args = format!("[{},{},{of_topic}]", node.peers.node().0, node.published);
        *of_topic += 1;
        let payload = Payload::from_json(&args, "").unwrap();
        let publication = publication(topic, &payload);
        node.peers.publish(REALM, &publication);
    }

    fn act(&mut self) {
        if self.is_forged && self.below(2_000) == 0 {
            self.forge();
        }
        let index = self.index(self.nodes.len());
        match self.below(20) {
            0 => {
                let place = self.index(PLACES.len());
                self.subscribe(index, place);
            }
            1 => {
                let place = self.index(PLACES.len());
                self.nodes[index].subscribed.remove(&place);
            }
            2 if self.drops > 0 && self.below(100) == 0 => {
                let other = self.index(self.nodes.len());
                let length = MILLISECOND * u32::try_from(self.below(9000)).unwrap();
                self.apart.insert((index, other), self.now + length);
                if self.below(2) == 0 {
                    self.apart.insert((other, index), self.now + length);
                }
            }
            2 => {}
            3 => self.say(index),
            4 => self.offer(index),
            _ => {
                let topic = TOPICS[self.index(TOPICS.len())];
                self.publish(index, topic);
            }
        }
    }

    fn run_for(&mut self, milliseconds: u64, acts: bool) {
        for _ in 0..milliseconds {
            if acts {
                self.act();
            }
            self.step();
        }
    }
}

impl Node {
    fn note(&mut self, notices: &[Notice]) {
        let doubts = notices.iter().filter(|it| it.is_doubt()).count() as u64;
        self.doubts += doubts;
        // After a notice about a node, messages of it may be missing.
        for notice in notices {
            if let Some(node) = notice.broken() {
                self.heard.remove(&node);
            }
        }
        self.awaits_notice &= doubts == 0;
    }
}

fn simulate(count: usize, seed: u64, drops: u64, max_delay: u64, is_forged: bool) {
    let mut world = World::new(count, seed, drops, max_delay);
    (world.is_forged, world.is_trusting) = (is_forged, is_forged);
    world.run_for(3_000, false);
    for node in &mut world.nodes {
        node.peers.open();
    }
    world.run_for(20_000, true);
    // Healed: all nodes find one another, and every count converges.
    (world.drops, world.is_forged, world.apart) = (0, false, BTreeMap::new());
    world.run_for(20_000, false);
    // Nothing is lost unnoticed from now on.
    world.is_trusting = false;
    world.run_for(2_000, true);
    world.run_for(8_000, false);
    assert!(world.nodes.iter().all(|node| !node.awaits_notice), "a hole without a notice");
    let doubts: Vec<_> = world.nodes.iter().map(|node| node.doubts).collect();
    for node in &world.nodes {
        assert!(node.peers.is_synced() && node.waiting.is_empty());
        for view in node.peers.views(world.now) {
            assert!(view.is_heard && view.is_synced, "{view:?}");
            assert!(view.lag <= max_lag(&node.peers) && view.waiting_bytes == 0, "{view:?}");
        }
        assert_eq!(node.peers.views(world.now).len(), count - 1);
        node.check_offers(&world.nodes);
        for (place, topic) in TOPICS.into_iter().enumerate() {
            let others = world.nodes.iter().filter(|it| it.peers.node() != node.peers.node());
            let expected = others.filter(|it| it.subscribed.contains_key(&place)).count();
            assert_eq!(node.peers.count(REALM, topic), expected, "{topic}");
        }
    }
    // Nothing more is lost.
    for index in 0..count {
        for topic in TOPICS {
            world.publish(index, topic);
        }
    }
    world.run_for(2_000, false);
    for (node, doubts) in world.nodes.iter().zip(doubts) {
        assert_eq!(node.doubts, doubts);
        for (place, subscriber) in &node.subscribed {
            for other in world.nodes.iter().filter(|it| it.peers.node() != node.peers.node()) {
                for topic in TOPICS.into_iter().filter(|topic| matches(*place, topic)) {
                    let all = other.by_topic.get(topic).copied().unwrap_or_default();
                    let next = subscriber.next.get(&(other.peers.node(), topic));
                    let next = next.map_or(0, |(next, _)| *next);
                    assert_eq!(
                        next,
                        all,
                        "{topic} of {} on {}",
                        other.peers.node(),
                        node.peers.node()
                    );
                }
            }
        }
    }
    assert!(world.events > 100, "{} events", world.events);
}

/// Its nodes are late while others subscribe.
#[test]
fn a_hole_of_a_late_node_is_told_when_it_has_caught_up() {
    simulate(4, 11_880_633_807_300_852_875, 41, 9, false);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn a_hole_is_never_silent(seed: u64, count in 2..5_usize, drops in 0..60_u64, delay in 1..80_u64) {
        simulate(count, seed, drops, delay, false);
    }

    #[test]
    fn nodes_come_together_again_after_forged_messages(seed: u64, count in 2..5_usize, drops in 0..30_u64) {
        simulate(count, seed, drops, 40, true);
    }

    #[test]
    fn survives_any_bytes(all in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..120), 1..20)) {
        let mut peers = Peers::new(NodeId(1), "a", "1");
        for mut bytes in all {
            if let Some(version) = bytes.first_mut() {
                *version = 1;
            }
            let bytes = Bytes::from(bytes);
            peers.hear_hello(&bytes, Duration::ZERO);
            let _any = peers.receive(&bytes, Duration::ZERO);
        }
    }
}
