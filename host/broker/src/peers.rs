//! Peers: the other nodes of a cluster, as a state machine without I/O and clock.
//!
//! Each node tells its peers which topics and patterns its sessions are subscribed to, so a publication goes to the
//! nodes that have receivers. Messages are envelopes of numbered records, so the receiver knows of each loss: it asks
//! for a snapshot of the interest, and a [`Notice`] says that histories have a hole.
//!
//! The first subscriber of a topic waits until all peers have acknowledged it ([`Barrier`]). An event that is
//! published anywhere after SUBSCRIBED therefore reaches the subscriber, or is reported as doubt.
//!
//! In reading order: `envelope`, `link`: numbered records; `interest`, `remote`: tables; `event`: publications between
//! nodes; `notice`; `peer`: one peer; this page: all; `offers`: procedures, plugins, messages of the host; `gone`,
//! `membership`: nodes that leave and join; `home`: the node of a key; `versions`: other releases. Time is a duration.

pub(crate) mod bytes;
mod envelope;
mod event;
mod gone;
mod home;
mod interest;
mod link;
mod membership;
mod notice;
mod offers;
mod peer;
mod remote;
mod versions;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use ::bytes::Bytes;

use crate::publication::{PatternAudience, Publication};

pub use crate::node::NodeId;
pub use envelope::MAX_ENVELOPE_BYTES;
pub use event::RemoteEvent;
pub use home::{hash, home};
pub use interest::{InterestKey, InterestKind, Stake};
pub use notice::Notice;
pub use peer::PeerView;
pub use versions::{IncompatibleNode, Versions};

use envelope::Kind;
pub(crate) use gone::Gone;
use gone::{End, SharedGone};
use interest::LocalInterest;
use peer::{About, Peer};
use remote::RemoteInterest;
use versions::{Hello, IncompatibleNodes};

/// The result of received bytes.
#[derive(Debug, Default)]
pub struct Received {
    /// Events and messages, in order.
    pub deliveries: Vec<Delivery>,
    /// What happened before them.
    pub notices: Vec<Notice>,
    /// Whether procedures or plugins of peers have changed, see [`Peers::take_changed_offers`].
    pub has_offers: bool,
    /// Nodes that are gone, as a peer knows them.
    gone: Vec<(NodeId, End)>,
}

/// What a peer has sent for the host.
#[derive(Debug)]
pub enum Delivery {
    /// An event.
    Event(Box<RemoteEvent>),
    /// A message of the peer's host.
    Message(NodeId, Bytes),
}

/// A subscription's wait for acknowledgements: peers, their links, and the records to acknowledge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Barrier(Vec<(NodeId, u64, u64)>);

/// The state of a node among its peers.
pub struct Peers {
    about: About,
    last_link: u64,
    by_id: BTreeMap<NodeId, Peer>,
    /// The last nodes that have left, with the time: what they sent before may arrive later.
    left: VecDeque<(NodeId, Duration)>,
    /// The names of the last nodes that were given up.
    names: VecDeque<(NodeId, String)>,
    /// The nodes with which this one has no version of the envelope in common.
    incompatible: IncompatibleNodes,
    gone: SharedGone,
    /// Whether a node was ignored since the last tick, because there are too many.
    has_refused: bool,
    /// Whether that was reported.
    is_refusal_known: bool,
    local: LocalInterest,
    remote: RemoteInterest,
}

/// The silence after which a subscription does not wait for a peer.
const SUSPECTED_AFTER: Duration = Duration::from_secs(3);

/// The silence after which a peer is given up; also the time without progress of its records.
const DEAD_AFTER: Duration = Duration::from_secs(5);

/// The ticks without an acknowledgement after which a peer is given up.
const STALLED_AFTER_TICKS: u32 = 5;

/// The time for which the messages of a node that has left are ignored.
const LEFT_FOR: Duration = Duration::from_secs(10);

/// The maximum size of all incomplete records together.
const MAX_PARTIAL_BYTES: usize = 128 << 20;

/// The maximum number of peers. HELLOs of further ones are ignored.
const MAX_PEERS: usize = 64;

impl Peers {
    /// Creates the state of a node without peers. It is fresh: it has not served clients yet.
    pub fn new(node: NodeId, name: &str, version: &str) -> Self {
        let (name, version) = (name.to_owned(), version.to_owned());
        Self {
            about: About {
                node,
                name,
                version,
                site: String::new(),
                versions: Versions::SPOKEN,
                is_fresh: true,
                is_later: false,
            },
            last_link: 0,
            by_id: BTreeMap::new(),
            left: VecDeque::new(),
            names: VecDeque::new(),
            incompatible: IncompatibleNodes::default(),
            gone: SharedGone::default(),
            has_refused: false,
            is_refusal_known: false,
            local: LocalInterest::default(),
            remote: RemoteInterest::default(),
        }
    }

    /// Returns the id of this node.
    pub fn node(&self) -> NodeId {
        self.about.node
    }

    /// Returns the message that all nodes get every second.
    pub fn hello(&self) -> Vec<u8> {
        self.about.hello().encode()
    }

    /// Notes that clients are served from now on. Peers that have not joined may miss their publications.
    pub fn open(&mut self) {
        self.about.is_fresh = false;
        for peer in self.by_id.values_mut().filter(|peer| !peer.is_joined) {
            peer.send().is_fresh = false;
        }
    }

    /// Returns whether the interest of all known peers is complete, and they know that of this node.
    pub fn is_synced(&self) -> bool {
        self.by_id.values().all(|peer| peer.is_joined)
    }

    /// Returns whether all known peers are joined, were heard in this time, and know of all subscriptions:
    /// events of one that is late may be missing until it has caught up. Those of an incompatible node are
    /// missing.
    pub fn are_heard(&self, now: Duration, within: Duration) -> bool {
        let is_heard = |peer: &Peer| {
            peer.is_joined && peer.late_until.is_none() && now.saturating_sub(peer.heard) < within
        };
        self.incompatible.is_empty() && self.by_id.values().all(is_heard)
    }

    /// Notes a HELLO. Returns whether it is the own one, which has passed through the pipe.
    pub fn hear_hello(&mut self, bytes: &Bytes, now: Duration) -> bool {
        let Some(hello) = Hello::decode(bytes) else { return false };
        let node = hello.from;
        if node == self.about.node {
            return true;
        }
        let common = self.about.versions.common(hello.versions);
        // A node does not change its versions: one that is a peer, or is not, has not said the opposite.
        let has_changed = match self.by_id.get(&node) {
            Some(peer) => common != Some(peer.envelope),
            None => common.is_some() && self.incompatible.contains(node),
        };
        if has_changed {
            return false;
        }
        match common {
            Some(version) => {
                if let Some(peer) = self.meet(node, version, now) {
                    peer.greet(hello.site, now);
                }
            }
            None => self.incompatible.hear(hello, now),
        }
        false
    }

    /// Takes a message to this node.
    pub fn receive(&mut self, bytes: &Bytes, now: Duration) -> Received {
        let mut received = Received::default();
        let Some((header, records)) = envelope::decode(bytes, self.about.versions) else {
            return received;
        };
        // A node that sends an envelope before its HELLO has heard the one of this node.
        let version = header.version;
        let from = header.from;
        let is_of_link = |peer: &Peer| peer.envelope == version;
        if from == self.about.node
            || self.incompatible.contains(from)
            || !self.by_id.get(&from).is_none_or(is_of_link)
            || self.meet(from, version, now).is_none()
        {
            return received;
        }
        let partial: usize = self.by_id.values().map(|peer| peer.receive.partial_bytes()).sum();
        let Self { by_id: peers, local, remote, .. } = self;
        let Some(peer) = peers.get_mut(&header.from) else { return received };
        let room = MAX_PARTIAL_BYTES.saturating_sub(partial);
        peer.receive(&header, records, room, now, remote, &mut received);
        if self.about.is_fresh {
            // Before it serves clients, a node has missed nothing.
            received.notices.iter_mut().for_each(Notice::end_doubt);
        }
        if received.notices.iter().any(|it| matches!(it, Notice::Left { .. })) {
            self.take_leave(header.from, now);
        } else if peer.send().takes_request(&header, now) {
            peer.push_snapshot(&self.about, local, &self.gone);
        }
        self.take_gone(&mut received, now);
        received.has_offers = self.remote.has_changed();
        received
    }

    /// Gives up silent and stalled peers, and tells all that topics have had no subscriber for a while:
    /// their keys are returned, too. Each peer gets an envelope, which shows it that nothing was lost.
    pub fn tick(&mut self, now: Duration) -> (Vec<Notice>, Vec<InterestKey>) {
        let mut notices = Vec::new();
        let given_up = self.by_id.iter_mut().filter_map(|(node, peer)| {
            peer.watch(now).then_some((*node, peer.has_spoken(), peer.is_silent(now)))
        });
        for (node, has_spoken, is_silent) in given_up.collect::<Vec<_>>() {
            // A HELLO alone is no peer that could have published.
            let Some(name) = self.remove(node).filter(|_| has_spoken) else { continue };
            self.names.truncate(MAX_PEERS - 1);
            self.names.push_front((node, name.clone()));
            self.give_up(node);
            notices.push(if is_silent {
                Notice::Dead { node, name }
            } else {
                Notice::Stalled { node, name }
            });
        }
        let has_refused = std::mem::take(&mut self.has_refused);
        if has_refused && !self.is_refusal_known {
            notices.push(Notice::TooMany { limit: MAX_PEERS });
        }
        self.is_refusal_known = has_refused;
        notices.extend(self.incompatible.tick(now));
        let expired = self.local.expire(now);
        for key in &expired {
            self.tell(key, &Stake::default());
        }
        let unknown = self.about.is_later.then(envelope::unknown_record);
        for peer in self.by_id.values_mut() {
            peer.send().push_bounded(unknown.as_slice());
            peer.send().is_due = true;
        }
        (notices, expired)
    }

    /// Announces a topic or pattern before its subscription exists. `None` if all peers know of it.
    pub fn announce(&mut self, key: &InterestKey, now: Duration) -> Option<Barrier> {
        if let Some(announced) = self.local.claim(key, now) {
            let waits = &mut announced.unacknowledged;
            waits.retain(|wait| is_waiting(&self.by_id, *wait));
            let awaited = waits.iter().filter(|wait| is_awaited(&self.by_id, **wait, now));
            let awaited: Vec<_> = awaited.copied().collect();
            return (!awaited.is_empty()).then_some(Barrier(awaited));
        }
        self.tell(key, &Stake::subscribers(1));
        let mut unacknowledged = Vec::new();
        for (node, peer) in &mut self.by_id {
            let is_silent = peer.has_spoken() && now.saturating_sub(peer.heard) >= SUSPECTED_AFTER;
            let send = peer.send();
            let (link, end) = (send.number, send.next);
            unacknowledged.push((*node, link, end));
            if is_silent || peer.late_until.is_some() {
                peer.late_until = Some(end);
            }
        }
        self.local.add_claim(key, unacknowledged);
        self.announce(key, now)
    }

    /// Returns whether all peers of a barrier have acknowledged it, or are gone.
    pub fn is_acknowledged(&self, barrier: &Barrier) -> bool {
        !barrier.0.iter().any(|wait| is_waiting(&self.by_id, *wait))
    }

    /// Ends the wait of a barrier: the peers that have not acknowledged it are late.
    pub fn expire(&mut self, barrier: &Barrier) -> Vec<Notice> {
        let late = self.mark_late(barrier, |peer| &mut peer.late_until);
        late.into_iter().map(|(node, name)| Notice::Late { node, name }).collect()
    }

    /// Marks the peers that have not acknowledged a barrier as late, in one of their fields. Returns those
    /// that were not late before.
    fn mark_late(
        &mut self,
        barrier: &Barrier,
        until: fn(&mut Peer) -> &mut Option<u64>,
    ) -> Vec<(NodeId, String)> {
        let mut late = Vec::new();
        for &(node, link, end) in &barrier.0 {
            if is_waiting(&self.by_id, (node, link, end))
                && let Some(peer) = self.by_id.get_mut(&node)
                && until(peer).replace(end).is_none()
            {
                late.push((node, peer.name.clone()));
            }
        }
        late
    }

    /// Returns the keys that were announced since the last call: their subscription may not exist.
    pub fn take_claimed(&mut self) -> impl Iterator<Item = InterestKey> + use<> {
        self.local.take_claimed().into_iter()
    }

    /// Sets the number of the own subscribers of a topic or pattern. Without any, the peers send its
    /// events for some seconds more, or for `keep` if it is longer.
    pub fn set_count(&mut self, key: &InterestKey, count: usize, keep: Duration, now: Duration) {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        if self.local.set(key, count, keep.max(interest::LINGER), now) {
            self.tell(key, &Stake::subscribers(count));
        }
    }

    /// Queues an event for each peer with subscribers. Returns whether there is one, and the number of
    /// matching steps.
    pub fn publish(&self, realm: &str, publication: &Publication<'_>) -> (bool, usize) {
        let with_patterns = publication.patterns != PatternAudience::Nobody;
        let (nodes, steps) = self.remote.nodes(realm, publication.topic, with_patterns);
        if nodes.is_empty() {
            return (false, steps);
        }
        let records = event::records(realm, publication);
        for peer in nodes.iter().filter_map(|node| self.by_id.get(node)) {
            peer.lock().push_bounded(&records);
        }
        (true, steps)
    }

    /// Returns the number of subscribers of a topic by name on all peers, as last heard.
    pub fn count(&self, realm: &str, topic: &str) -> usize {
        self.remote.count(realm, topic)
    }

    /// Takes the next message to each peer for which one waits.
    pub fn take_messages(&self) -> Vec<(NodeId, Vec<u8>)> {
        let waiting = self.by_id.iter().filter_map(|(node, peer)| {
            let mut send = peer.lock();
            let version = peer.envelope;
            send.waits().then(|| (*node, send.take(self.about.node, version, &peer.receive)))
        });
        waiting.collect()
    }

    /// Queues the end for all peers, behind all events.
    pub fn leave(&mut self) {
        let records = envelope::records(Kind::Bye, &[]);
        for peer in self.by_id.values_mut() {
            peer.send().push(&records);
        }
    }

    /// Returns the peers for operators.
    pub fn views(&self, now: Duration) -> Vec<PeerView> {
        self.by_id.iter().map(|(node, peer)| peer.view(*node, now)).collect()
    }

    /// Returns the peer, a new one of this version if it is unknown; `None` if there are too many, or if it
    /// has left.
    fn meet(&mut self, node: NodeId, version: u8, now: Duration) -> Option<&mut Peer> {
        if !self.by_id.contains_key(&node) {
            self.left.retain(|(_, at)| now.saturating_sub(*at) < LEFT_FOR);
            if self.left.iter().any(|(left, _)| *left == node) {
                return None;
            }
            if self.by_id.len() >= MAX_PEERS {
                self.has_refused = true;
                return None;
            }
            self.revive(node);
            self.last_link += 1;
            let known = self.names.iter().position(|(known, _)| *known == node);
            let (_, name) = known.and_then(|at| self.names.remove(at)).unzip();
            let name = name.unwrap_or_default();
            let peer = Peer::new(self.last_link, name, version, self.about.is_fresh, now);
            // It asks for a snapshot with its first envelope.
            self.by_id.insert(node, peer);
        }
        self.by_id.get_mut(&node)
    }

    /// Removes a peer and its interest. Returns its name.
    fn remove(&mut self, node: NodeId) -> Option<String> {
        let peer = self.by_id.remove(&node)?;
        for key in peer.keys.iter() {
            self.remote.remove(node, key);
        }
        Some(peer.name)
    }

    /// Queues the part of this node in a key for all peers.
    fn tell(&mut self, key: &InterestKey, stake: &Stake) {
        let records = envelope::records(Kind::Interest, &interest::encode(key, stake));
        for peer in self.by_id.values_mut() {
            peer.send().push_bounded(&records);
        }
    }
}

/// Returns whether a peer has neither acknowledged the records of a link nor gone.
fn is_waiting(peers: &BTreeMap<NodeId, Peer>, (node, link, end): (NodeId, u64, u64)) -> bool {
    peers.get(&node).is_some_and(|peer| {
        let send = peer.lock();
        send.number == link && send.complete < end
    })
}

/// Returns whether a subscription waits for a peer: not for one that is silent or late, nor for one that
/// has said only HELLO. If that one serves clients, its joining is a doubt.
fn is_awaited(
    peers: &BTreeMap<NodeId, Peer>,
    (node, ..): (NodeId, u64, u64),
    now: Duration,
) -> bool {
    peers.get(&node).is_some_and(|peer| {
        peer.has_spoken()
            && peer.late_until.is_none()
            && now.saturating_sub(peer.heard) < SUSPECTED_AFTER
    })
}

#[cfg(test)]
mod tests;
