//! A client of the simulation, which behaves as `sync.js`.

use jackfield_wamp::position::Since;
use serde_json::Value;

use super::node::RULE;
use super::*;
use crate::history::{ReplayRequest, RetainedWish};
use crate::peers::Barrier;

/// A client of one topic.
pub(super) struct Client {
    topic: usize,
    state: State,
    position: Option<Since>,
    /// The last event of each publisher.
    had: BTreeMap<NodeId, u64>,
    /// The last event of each publisher that may be missing, since the client was told so.
    told: BTreeMap<NodeId, u64>,
    /// The node of the last subscription.
    last: Option<NodeId>,
    has_hole: bool,
}

enum State {
    Away {
        until: Duration,
    },
    /// It waits for the other nodes to know of the subscription.
    Announced {
        place: usize,
        session: Box<Peer>,
        since: Since,
        barrier: Option<Barrier>,
        until: Duration,
    },
    /// It waits for the history.
    Completing {
        place: usize,
        session: Box<Peer>,
        since: Since,
        fill: u64,
        until: Duration,
    },
    Subscribed {
        place: usize,
        session: Box<Peer>,
    },
}

impl Client {
    pub(super) fn new(topic: usize) -> Self {
        Self {
            topic,
            state: State::Away { until: Duration::ZERO },
            position: None,
            had: BTreeMap::new(),
            told: BTreeMap::new(),
            last: None,
            has_hole: false,
        }
    }

    pub(super) const fn is_at(&self, at: usize) -> bool {
        match &self.state {
            State::Away { .. } => false,
            State::Announced { place, .. }
            | State::Completing { place, .. }
            | State::Subscribed { place, .. } => *place == at,
        }
    }

    pub(super) const fn is_subscribed(&self) -> bool {
        matches!(self.state, State::Subscribed { .. })
    }

    /// Checks that the client has all events, or was told.
    pub(super) fn check(&self, published: &BTreeMap<Source, u64>, what: &str) {
        assert!(!self.has_hole, "{what} was not told of a hole");
        for ((node, topic), count) in published {
            if *topic == self.topic {
                let known =
                    |map: &BTreeMap<NodeId, u64>| map.get(node).copied().unwrap_or_default();
                let (had, told) = (known(&self.had), known(&self.told));
                assert!(
                    had.max(told) == *count,
                    "{what} has had {had} of {count} events of {node}, and was told of {told}"
                );
            }
        }
    }

    /// Takes a message. Returns whether it is the answer to the position, whether that is recovered, and the
    /// number of replayed events.
    fn hear(&mut self, message: &str, published: &BTreeMap<Source, u64>) -> Option<(bool, u64)> {
        let message: Value = serde_json::from_str(message).unwrap();
        let details = message.get(3)?;
        if let Some(stream) = details.get("_stream") {
            let is_recovered = stream["recovered"] == true;
            if is_recovered {
                assert!(!self.has_hole, "a client with a hole is not recovered");
            } else {
                self.has_hole = false;
                let of_topic = published.iter().filter(|((_, topic), _)| *topic == self.topic);
                self.told = of_topic.map(|((node, _), count)| (*node, *count)).collect();
            }
            let epoch = stream["epoch"].as_str().unwrap().to_owned();
            let offset = stream["offset"].as_u64();
            let history = |epoch: &str| epoch.split('.').next().map(str::to_owned);
            let before = self
                .position
                .take()
                .filter(|it| it.epoch.as_deref().and_then(history) == history(&epoch));
            let (offset, at) = match before {
                Some(before) => (offset.max(before.offset), before.at),
                None => (offset, Some(BTreeMap::new())),
            };
            self.position = Some(Since { epoch: Some(epoch), offset, at, latest: false });
            return Some((is_recovered, stream["replayed"].as_u64().unwrap()));
        }
        let position = self.position.as_mut().unwrap();
        let offset = details["_offset"].as_u64();
        if offset <= position.offset {
            return None;
        }
        position.offset = offset;
        let at = &details["_at"];
        let node = u64::from_str_radix(at[0].as_str().unwrap(), 16).unwrap();
        position.at.as_mut().unwrap().insert(node, at[1].as_u64().unwrap());
        let has_place = position.epoch.as_ref().unwrap().contains('.');
        let (node, number) =
            (NodeId(message[4][0].as_u64().unwrap()), message[4][1].as_u64().unwrap());
        let had = self.had.get(&node).copied().unwrap_or_default();
        // After it was told, it may get some again. From the first one on, they come in order and once.
        let told = self.told.remove(&node);
        if number != had + 1 && told.is_none_or(|told| number > told + 1) {
            // A node that is late tells it when it has caught up; until then, no other node knows the place.
            assert!(number > had, "event {number} of {node} comes again after {had}");
            assert!(
                !has_place,
                "event {number} of {node} behind {had} and {told:?}, without a notice"
            );
            self.has_hole = true;
        }
        self.had.insert(node, number);
        None
    }
}

impl World {
    /// Ends the connection of a client. What waits in its outbox is lost.
    pub(super) fn cut(&mut self, index: usize) {
        let until = self.now + MILLISECOND * u32::try_from(self.below(600)).unwrap();
        let before = std::mem::replace(&mut self.clients[index].state, State::Away { until });
        match before {
            State::Away { .. } => {}
            State::Announced { place, session, .. }
            | State::Completing { place, session, .. }
            | State::Subscribed { place, session } => {
                if let Some(node) = &self.nodes[place] {
                    node.realm.leave(session.session.id);
                }
            }
        }
    }

    pub(super) fn run_client(&mut self, index: usize) {
        let now = self.now;
        // Its node is gone.
        let is_gone =
            (0..3).any(|place| self.nodes[place].is_none() && self.clients[index].is_at(place));
        if is_gone {
            self.cut(index);
        }
        let away = State::Away { until: now };
        match std::mem::replace(&mut self.clients[index].state, away) {
            State::Away { until } if until > now => {
                self.clients[index].state = State::Away { until };
            }
            State::Away { .. } => self.connect(index),
            State::Announced { place, session, since, barrier, until } => {
                let node = self.nodes[place].as_mut().unwrap();
                let waits = barrier.as_ref().is_some_and(|it| !node.cluster.is_acknowledged(it));
                if waits && until > now {
                    let state = State::Announced { place, session, since, barrier, until };
                    self.clients[index].state = state;
                    return;
                }
                if let Some(barrier) = barrier.filter(|_| waits) {
                    let notices = node.cluster.expire(&barrier);
                    node.take(&notices);
                }
                let topic = self.clients[index].topic;
                let fill = node.begin_fill(topic, None, now);
                let until = now + WAIT;
                self.clients[index].state =
                    State::Completing { place, session, since, fill, until };
            }
            State::Completing { place, session, since, fill, until } => {
                let node = self.nodes[place].as_ref().unwrap();
                let topic = TOPICS[self.clients[index].topic];
                let is_behind =
                    since.place().is_some_and(|place| node.realm.is_behind(topic, &place));
                let waits = node.fills.contains_key(&fill) || is_behind;
                if waits && until > now {
                    let state = State::Completing { place, session, since, fill, until };
                    self.clients[index].state = state;
                    return;
                }
                let epoch = PublicationId::new(self.rng.next_u64() >> 12 | 1).unwrap();
                let request = ReplayRequest {
                    rule: Some(RULE),
                    since: Some(&since),
                    retained: RetainedWish::Nothing,
                    overflow: None,
                    id: epoch,
                    now,
                };
                let mut batch = PendingFlushes::default();
                let acknowledge = |_| Some("[33]".into());
                let id = session.session.id;
                let exact = MatchPolicy::Exact;
                node.realm
                    .subscribe(id, topic, exact, Some(&request), &mut batch, acknowledge)
                    .unwrap();
                batch.flush();
                let is_moved = since.epoch.is_some()
                    && self.clients[index].last.is_some_and(|it| it != node.id);
                self.clients[index].last = Some(node.id);
                self.clients[index].state = State::Subscribed { place, session };
                // Some connections end while the missed events are read.
                let is_cut = self.below(4) == 0;
                let count = if is_cut { 2 + self.index(4) } else { usize::MAX };
                let answer = self.read(index, count);
                let (is_recovered, replayed) = answer.expect("an answer");
                if is_cut {
                    self.cut(index);
                }
                if is_moved {
                    self.moves.0 += 1;
                    self.moves.1 += u32::from(is_recovered);
                    self.replayed += u64::from(is_recovered) * replayed;
                }
            }
            State::Subscribed { place, session } => {
                self.clients[index].state = State::Subscribed { place, session };
                self.read(index, usize::MAX);
            }
        }
    }

    fn connect(&mut self, index: usize) {
        let now = self.now;
        let place = self.index(self.nodes.len());
        let Some(node) = self.nodes[place].as_ref().filter(|it| it.is_open()) else { return };
        if node.cluster.read(|peers| peers.is_joining(now)) {
            return;
        }
        self.last_session += 1;
        let bounds = Bounds { bytes: 1 << 24, frames: 10_000, overflow: Overflow::Disconnect };
        let identity = Identity::anonymous("joe".into(), Ipv4Addr::LOCALHOST.into());
        let session =
            Peer::join_bounded(&node.realm, self.last_session, V2, identity, false, bounds);
        let client = &mut self.clients[index];
        let since = client.position.clone().filter(|_| !node.may_lack_events(now));
        let since = since.unwrap_or_default();
        let barrier = node.announce(client.topic, now);
        let session = Box::new(session);
        client.state = State::Announced { place, session, since, barrier, until: now + WAIT };
    }

    /// Reads what has come, `count` messages at most: the others are lost. Returns the answer to the position.
    fn read(&mut self, index: usize, count: usize) -> Option<(bool, u64)> {
        let client = &mut self.clients[index];
        let State::Subscribed { session, .. } = &client.state else { return None };
        let mut answer = None;
        for message in session.read().into_iter().take(count) {
            answer = client.hear(&message, &self.published).or(answer);
        }
        answer
    }
}
