//! Clients that move between nodes on a simulated bus, which drops, delays and splits by a seed, while nodes stop,
//! die and start. The events that a client gets of each publisher are those that were published, in order and once,
//! or it was told that some may be missing.

mod client;
mod node;

use std::collections::{BTreeMap, VecDeque};

use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestRng};

use super::*;
use crate::history::Mirror;
use client::Client;
use node::Node;

/// Messages on their way, with the time of arrival.
type Way = VecDeque<(Duration, bool, Bytes)>;

const MILLISECOND: Duration = Duration::from_millis(1);
const TOPICS: [&str; 2] = ["a", "b"];

/// The wait for acknowledgements, and for answers.
const WAIT: Duration = Duration::from_millis(250);

/// A publisher and a topic.
type Source = (NodeId, usize);

/// What happens besides publications.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Faults {
    /// Nodes stop and start again, one after the other.
    Stops,
    /// They are killed as well, and messages are lost.
    All,
}

struct World {
    now: Duration,
    /// By place; `None` while a node is down.
    nodes: Vec<Option<Node>>,
    clients: Vec<Client>,
    /// By sender and receiver, with the time of arrival: the order of a pair is kept.
    ways: BTreeMap<(NodeId, NodeId), Way>,
    apart: BTreeMap<(usize, usize), Duration>,
    /// Questions and answers about histories, by number: messages have the number alone.
    asked: Vec<(usize, Vec<NodeId>)>,
    answers: Vec<Mirror>,
    /// The number of publications of each publisher.
    published: BTreeMap<Source, u64>,
    rng: TestRng,
    /// Of 1000 messages.
    drops: u64,
    max_delay: u64,
    last_node: u64,
    last_session: u64,
    /// Moves to another node, and those of them that were recovered.
    moves: (u32, u32),
    replayed: u64,
}

impl World {
    fn new(seed: u64, drops: u64, max_delay: u64) -> Self {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let mut world = Self {
            now: Duration::from_secs(1),
            nodes: Vec::new(),
            clients: Vec::new(),
            ways: BTreeMap::new(),
            apart: BTreeMap::new(),
            asked: Vec::new(),
            answers: Vec::new(),
            published: BTreeMap::new(),
            rng: TestRng::from_seed(RngAlgorithm::ChaCha, &bytes),
            drops,
            max_delay,
            last_node: 0,
            last_session: 0,
            moves: (0, 0),
            replayed: 0,
        };
        for _ in 0..3 {
            world.nodes.push(None);
        }
        for place in 0..3 {
            world.start(place);
        }
        world.run_for(2_500);
        world.clients = (0..6).map(|index| Client::new(index % 2)).collect();
        world
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.rng.next_u64() % limit
    }

    fn index(&mut self, limit: usize) -> usize {
        usize::try_from(self.below(limit as u64)).unwrap()
    }

    fn start(&mut self, place: usize) {
        self.last_node += 1;
        self.nodes[place] = Some(Node::new(NodeId(self.last_node), self.now));
    }

    fn place_of(&self, node: NodeId) -> Option<usize> {
        self.nodes.iter().position(|it| it.as_ref().is_some_and(|it| it.id == node))
    }

    /// Sends bytes to a node, unless they are lost.
    fn send(&mut self, from: usize, to: NodeId, is_hello: bool, bytes: Vec<u8>) {
        let Some(sender) = self.nodes[from].as_ref().map(|it| it.id) else { return };
        let receiver = self.place_of(to);
        let is_apart = receiver
            .and_then(|to| self.apart.get(&(from, to)))
            .is_some_and(|until| *until > self.now);
        if is_apart || self.below(1_000) < self.drops {
            return;
        }
        let at = self.now + MILLISECOND * u32::try_from(self.below(self.max_delay) + 1).unwrap();
        let way = self.ways.entry((sender, to)).or_default();
        let at = way.back().map_or(at, |(last, ..)| at.max(*last));
        way.push_back((at, is_hello, bytes.into()));
    }

    /// Passes one millisecond.
    fn step(&mut self) {
        self.now += MILLISECOND;
        let now = self.now;
        for pair in self.ways.keys().copied().collect::<Vec<_>>() {
            while let Some((_, is_hello, bytes)) =
                self.ways.get_mut(&pair).and_then(|way| way.pop_front_if(|(at, ..)| *at <= now))
            {
                if let Some(place) = self.place_of(pair.1) {
                    self.arrive(place, is_hello, &bytes);
                }
            }
        }
        for place in 0..self.nodes.len() {
            self.run_node(place);
        }
        for index in 0..self.clients.len() {
            self.run_client(index);
        }
    }

    fn run_for(&mut self, milliseconds: u64) {
        for _ in 0..milliseconds {
            self.step();
        }
    }

    fn publish(&mut self) {
        let (place, topic) = (self.index(self.nodes.len()), self.index(TOPICS.len()));
        let Some(node) = self.nodes[place].as_ref().filter(|it| it.is_open()) else { return };
        let number = self.published.entry((node.id, topic)).or_default();
        *number += 1;
        node.publish(topic, *number, self.now);
    }

    fn act(&mut self, faults: Faults) {
        if self.below(3) == 0 {
            self.publish();
        }
        if self.below(40) == 0 {
            let client = self.index(self.clients.len());
            self.cut(client);
        }
        // Before a node ends: its clients notice that in between.
        if self.below(400) == 0
            && let Some(place) = self.nodes.iter().position(Option::is_none)
        {
            self.start(place);
        }
        if self.below(2_500) == 0
            && self.nodes.iter().all(|it| it.as_ref().is_some_and(Node::is_settled))
        {
            let place = self.index(self.nodes.len());
            if faults == Faults::Stops || self.below(2) == 0 {
                self.stop(place);
            } else {
                self.nodes[place] = None;
            }
        }
        if faults == Faults::All && self.below(4_000) == 0 {
            let pair = (self.index(3), self.index(3));
            let length = MILLISECOND * u32::try_from(self.below(9_000)).unwrap();
            self.apart.insert(pair, self.now + length);
        }
    }

    /// Has the others follow the topics of a node, then ends it behind all its messages.
    fn stop(&mut self, place: usize) {
        let topics = self.nodes[place].as_ref().unwrap().realm.complete_topics();
        for topic in topics {
            let topic = TOPICS.iter().position(|it| *it == topic).unwrap();
            let other = (place + 1 + self.index(2)) % 3;
            self.keep(other, topic);
        }
        self.run_for(2 * self.max_delay + 300);
        for index in 0..self.clients.len() {
            if self.clients[index].is_at(place) {
                self.cut(index);
            }
        }
        let node = self.nodes[place].as_ref().unwrap();
        node.cluster.write(Peers::leave);
        self.send_waiting(place);
        self.nodes[place] = None;
    }
}

fn simulate(seed: u64, drops: u64, max_delay: u64, faults: Faults) -> World {
    let mut world = World::new(seed, drops, max_delay);
    for _ in 0..25_000 {
        world.act(faults);
        world.step();
    }
    (world.drops, world.apart) = (0, BTreeMap::new());
    for place in 0..3 {
        if world.nodes[place].is_none() {
            world.start(place);
        }
    }
    world.run_for(25_000);
    // All are back, and get the next events of all publishers.
    for _ in 0..200 {
        world.publish();
        world.step();
    }
    world.run_for(2_000);
    for (index, client) in world.clients.iter().enumerate() {
        assert!(client.is_subscribed(), "client {index}");
        client.check(&world.published, &format!("client {index}"));
    }
    world
}

/// Returns the part of the moves that were recovered, in per cent.
fn recovered(worlds: impl Iterator<Item = World>) -> u32 {
    let (mut all, mut recovered, mut replayed) = (0, 0, 0);
    for world in worlds {
        all += world.moves.0;
        recovered += world.moves.1;
        replayed += world.replayed;
    }
    assert!(all > 100 && replayed > 100, "{all} moves, {replayed} events");
    100 * recovered / all
}

#[test]
fn clients_that_move_are_recovered_while_nodes_stop_and_start() {
    let worlds = (0..3).map(|seed| simulate(seed, 0, 5, Faults::Stops));
    let percent = recovered(worlds);
    // Some may begin in the moment in which one node knows that another one has left, and a third one does not.
    assert!(percent >= 99, "{percent} %");
}

#[test]
fn most_clients_that_move_are_recovered_while_nodes_die() {
    let worlds = (0..3).map(|seed| simulate(seed, 0, 5, Faults::All));
    let percent = recovered(worlds);
    assert!((10..100).contains(&percent), "{percent} %");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, ..ProptestConfig::default() })]

    #[test]
    fn a_client_that_moves_is_told_of_each_hole(seed: u64, drops in 0..30_u64, delay in 1..60_u64) {
        simulate(seed, drops, delay, Faults::All);
    }
}
