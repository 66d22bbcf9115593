//! A node of the simulation, as its tasks run it.

use super::*;
use crate::history::{EventHistory, ReplayLimits};
use crate::peers::{Barrier, Delivery, Notice, Received};
use crate::realm::cluster::MirrorBegin;
use crate::recording::{HistoryRule, Recording};

pub(super) const RULE: HistoryRule =
    HistoryRule { events: 1_000, age: Duration::from_mins(10), bytes: 1 << 24, on_subscribe: 0 };

/// The time for which a topic without subscribers stays announced.
const KEPT: Duration = Duration::from_mins(10);

/// The time in which each peer must have been heard.
const HEARD_WITHIN: Duration = Duration::from_millis(2_500);

pub(super) struct Node {
    pub(super) id: NodeId,
    pub(super) cluster: Arc<Cluster>,
    pub(super) realm: Realm,
    pub(super) fills: BTreeMap<u64, Fill>,
    began: Duration,
    opened: Option<Duration>,
    next_tick: Duration,
    last_fill: u64,
}

/// A topic that is being completed.
pub(super) struct Fill {
    topic: usize,
    /// The topic is announced first.
    barrier: Option<Barrier>,
    begin: Option<MirrorBegin>,
    answers: Vec<(NodeId, Mirror)>,
    until: Duration,
}

/// The kinds of messages between hosts.
const QUESTION: u64 = 0;
const ANSWER: u64 = 1;
const MISSED: u64 = 2;

fn message(numbers: [u64; 3]) -> Vec<u8> {
    numbers.iter().flat_map(|it| it.to_le_bytes()).collect()
}

impl Node {
    pub(super) fn new(id: NodeId, now: Duration) -> Self {
        let cluster = Arc::new(Cluster::new(Peers::new(id, &format!("web-{id}"), "1"), || {}));
        let finish = |_, message: Vec<u8>| Bytes::from(message);
        let framing = Framing { headroom: 0, max_bytes: 1 << 20, finish, compress: |_| None };
        let limits = ReplayLimits { events: 1_000, bytes: 1 << 24 };
        let history = EventHistory::new(1 << 28, limits);
        let realm = Realm::new("realm1".into(), framing, LIMITS, &history).in_cluster(&cluster);
        let (fills, opened) = (BTreeMap::new(), None);
        Self { id, cluster, realm, fills, began: now, opened, next_tick: now, last_fill: 0 }
    }

    pub(super) fn is_open(&self) -> bool {
        self.opened.is_some()
    }

    /// Returns whether all nodes have known one another for a while.
    pub(super) fn is_settled(&self) -> bool {
        self.is_open() && self.cluster.read(|peers| peers.is_synced() && peers.joined().len() == 2)
    }

    pub(super) fn publish(&self, topic: usize, number: u64, now: Duration) {
        let payload = Payload::from_json(&format!("[{},{number}]", self.id.0), "").unwrap();
        let recording = Recording { rule: RULE, now, is_durable: false };
        let id = PublicationId::new(self.id.0 << 32 | number << 1 | topic as u64).unwrap();
        let event =
            Publication { id, recording: Some(&recording), ..publication(TOPICS[topic], &payload) };
        let mut batch = PendingFlushes::default();
        self.realm.publish(&event, &mut batch).unwrap();
        batch.flush();
    }

    pub(super) fn may_lack_events(&self, now: Duration) -> bool {
        !self.cluster.read(|peers| peers.are_heard(now, HEARD_WITHIN))
    }

    /// Announces a topic.
    pub(super) fn announce(&self, topic: usize, now: Duration) -> Option<Barrier> {
        let key = InterestKey::new("realm1", MatchPolicy::Exact, TOPICS[topic]);
        self.cluster.announce(&key, now)
    }

    pub(super) fn take(&mut self, notices: &[Notice]) {
        for notice in notices {
            if let Some(node) = notice.broken() {
                self.break_fills(node);
                if notice.is_gap() {
                    self.cluster.send(node, &message([MISSED, 0, 0]));
                }
            }
        }
        if notices.iter().any(Notice::is_doubt) {
            let mut batch = PendingFlushes::default();
            self.realm.interrupt_histories(PublicationId::new(1).unwrap(), &mut batch);
        }
    }

    fn break_fills(&mut self, node: NodeId) {
        self.fills
            .retain(|_, fill| !fill.begin.as_ref().is_some_and(|it| it.asked.contains(&node)));
    }

    fn deliver(&self, event: &crate::peers::RemoteEvent, now: Duration) {
        let recording = Recording { rule: RULE, now, is_durable: false };
        let event = Publication {
            id: event.id,
            recording: Some(&recording),
            source: event.source,
            ..publication(&event.topic, &event.payload)
        };
        let mut batch = PendingFlushes::default();
        self.realm.publish_here(&event, &mut batch).unwrap();
        batch.flush();
    }
}

impl World {
    pub(super) fn arrive(&mut self, place: usize, is_hello: bool, bytes: &Bytes) {
        let now = self.now;
        let node = self.nodes[place].as_mut().unwrap();
        if is_hello {
            node.cluster.write(|peers| peers.hear_hello(bytes, now));
            return;
        }
        let received = node.cluster.receive(bytes, now);
        let Received { deliveries, notices, .. } = received;
        node.cluster.write(Peers::settle);
        node.take(&notices);
        for delivery in deliveries {
            let node = self.nodes[place].as_mut().unwrap();
            match delivery {
                Delivery::Event(event) => node.deliver(&event, now),
                Delivery::Message(from, message) => self.hear(place, from, &message),
            }
        }
    }

    fn hear(&mut self, place: usize, from: NodeId, bytes: &[u8]) {
        let number = |at: usize| u64::from_le_bytes(bytes[at * 8..at * 8 + 8].try_into().unwrap());
        let (kind, fill, content) = (number(0), number(1), usize::try_from(number(2)).unwrap());
        let node = self.nodes[place].as_mut().unwrap();
        match kind {
            QUESTION => {
                let (topic, there) = &self.asked[content];
                self.answers.push(node.realm.mirror(TOPICS[*topic], there).unwrap());
                let answer = message([ANSWER, fill, self.answers.len() as u64 - 1]);
                node.cluster.send(from, &answer);
            }
            ANSWER => {
                if let Some(fill) = node.fills.get_mut(&fill) {
                    fill.answers.push((from, self.answers[content].clone()));
                }
            }
            _ => node.break_fills(from),
        }
    }

    pub(super) fn run_node(&mut self, place: usize) {
        let now = self.now;
        let Some(node) = self.nodes[place].as_mut() else { return };
        // As at a start: it finds the others, and waits for them, for a bounded time.
        let age = now.saturating_sub(node.began);
        let is_found = age >= Duration::from_millis(1_300) && node.cluster.read(Peers::is_synced);
        if !node.is_open() && (is_found || age >= Duration::from_secs(5)) {
            node.cluster.write(Peers::open);
            node.opened = Some(now);
        }
        if node.next_tick <= now {
            node.next_tick = now + MILLISECOND * 1_000;
            let (notices, expired) = node.cluster.write(|peers| peers.tick(now));
            for topic in expired.iter().filter_map(InterestKey::topic) {
                let mut batch = PendingFlushes::default();
                node.realm.interrupt_history(topic, PublicationId::new(1).unwrap(), &mut batch);
            }
            node.take(&notices);
            let mut changed: Vec<_> = node.cluster.write(|peers| peers.take_claimed().collect());
            changed.extend(node.realm.take_changes());
            for key in changed {
                let (count, is_kept) = node.realm.interest(&key);
                let keep = if is_kept { KEPT } else { Duration::ZERO };
                node.cluster.write(|peers| peers.set_count(&key, count, keep, now));
            }
            let hello = node.cluster.read(Peers::hello);
            let others: Vec<_> = self.nodes.iter().flatten().map(|it| it.id).collect();
            let own = self.nodes[place].as_ref().unwrap().id;
            for to in others.into_iter().filter(|to| *to != own) {
                self.send(place, to, true, hello.clone());
            }
        }
        self.run_fills(place);
        self.send_waiting(place);
    }

    pub(super) fn send_waiting(&mut self, place: usize) {
        loop {
            let node = self.nodes[place].as_ref().unwrap();
            let messages = node.cluster.take_messages();
            if messages.is_empty() {
                return;
            }
            for (to, bytes) in messages {
                self.send(place, to, false, bytes);
            }
        }
    }

    /// Has a node follow a topic, as one that leaves asks for.
    pub(super) fn keep(&mut self, place: usize, topic: usize) {
        let now = self.now;
        if let Some(node) = self.nodes[place].as_mut() {
            let barrier = node.announce(topic, now);
            node.begin_fill(topic, barrier, now);
        }
    }

    fn run_fills(&mut self, place: usize) {
        let now = self.now;
        let node = self.nodes[place].as_mut().unwrap();
        for id in node.fills.keys().copied().collect::<Vec<_>>() {
            let node = self.nodes[place].as_mut().unwrap();
            let fill = node.fills.get_mut(&id).unwrap();
            if fill.until <= now {
                node.fills.remove(&id);
                continue;
            }
            if let Some(barrier) = fill.barrier.take_if(|it| node.cluster.is_acknowledged(it)) {
                drop(barrier);
            }
            if fill.barrier.is_some() {
                continue;
            }
            let Some(begin) = &fill.begin else {
                let epoch = PublicationId::new(self.rng.next_u64() >> 12 | 1).unwrap();
                fill.begin = node.realm.begin_mirror(TOPICS[fill.topic], epoch, now);
                let Some(begin) = &fill.begin else {
                    node.fills.remove(&id);
                    continue;
                };
                self.asked.push((fill.topic, begin.asked.clone()));
                let question = message([QUESTION, id, self.asked.len() as u64 - 1]);
                for to in &begin.asked {
                    node.cluster.send(*to, &question);
                }
                continue;
            };
            if fill.answers.len() == begin.asked.len() {
                let fill = node.fills.remove(&id).unwrap();
                node.realm.end_mirror(TOPICS[fill.topic], &fill.begin.unwrap(), fill.answers);
            }
        }
    }
}

impl Node {
    /// Begins to complete a topic. Returns the number of the attempt.
    pub(super) fn begin_fill(
        &mut self,
        topic: usize,
        barrier: Option<Barrier>,
        now: Duration,
    ) -> u64 {
        self.last_fill += 1;
        let until = now + WAIT * if barrier.is_some() { 2 } else { 1 };
        let fill = Fill { topic, barrier, begin: None, answers: Vec::new(), until };
        self.fills.insert(self.last_fill, fill);
        self.last_fill
    }
}
