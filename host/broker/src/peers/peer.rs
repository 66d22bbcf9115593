//! One peer: its links, its interest, and whether it is heard.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;

use super::bytes::{Input, put_bytes};
use super::envelope::{self, Header, Kind};
use super::event::RemoteEvent;
use super::interest::{self, Digest, InterestKey, LocalInterest, RemoteInterest};
use super::link::{Arrival, ReceiveLink, SendLink};
use super::{NodeId, Notice, Received, SUSPECTED_AFTER};

/// This node, as its peers know it.
#[derive(Debug)]
pub(super) struct About {
    pub(super) node: NodeId,
    pub(super) name: String,
    pub(super) version: String,
    pub(super) is_fresh: bool,
}

/// A peer.
pub(super) struct Peer {
    pub(super) name: String,
    version: String,
    /// The time of its last message.
    pub(super) heard: Duration,
    /// Publishers push here while others do; no other lock is taken under it.
    send: Mutex<SendLink>,
    pub(super) receive: ReceiveLink,
    pub(super) keys: HashSet<InterestKey>,
    /// The keys of a snapshot so far.
    snapshot: Option<Vec<(InterestKey, u32)>>,
    /// Whether both nodes have had the interest of each other.
    pub(super) is_joined: bool,
    /// Whether the peer may have published before this node's interest reached it.
    is_doubtful: bool,
    /// The record that a late peer has to acknowledge.
    pub(super) late_until: Option<u64>,
    pub(super) is_leaving: bool,
    gaps: u64,
    lost: u64,
}

/// A peer for operators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerView {
    /// Its id.
    pub node: NodeId,
    /// Its name; empty until it has said it.
    pub name: String,
    /// The version of its Jackfield.
    pub version: String,
    /// Whether it was heard lately.
    pub is_heard: bool,
    /// Whether both nodes know each other's interest.
    pub is_synced: bool,
    /// The topics and patterns of its sessions.
    pub keys: usize,
    /// Records for it that it has not received yet.
    pub lag: u64,
    /// The size of the events that wait for it in bytes.
    pub waiting_bytes: usize,
    /// Records for it that were dropped, because too many waited.
    pub dropped: u64,
    /// Gaps in the records from it.
    pub gaps: u64,
    /// Records from it that did not arrive.
    pub lost: u64,
}

impl Peer {
    pub(super) fn new(link: u64, now: Duration) -> Self {
        Self {
            name: String::new(),
            version: String::new(),
            heard: now,
            send: Mutex::new(SendLink::new(link)),
            receive: ReceiveLink::default(),
            keys: HashSet::new(),
            snapshot: None,
            is_joined: false,
            is_doubtful: false,
            late_until: None,
            is_leaving: false,
            gaps: 0,
            lost: 0,
        }
    }

    /// Returns the sending end, which this reference has alone.
    pub(super) fn send(&mut self) -> &mut SendLink {
        self.send.get_mut().unwrap_or_else(PoisonError::into_inner)
    }

    /// Locks the sending end.
    pub(super) fn lock(&self) -> MutexGuard<'_, SendLink> {
        self.send.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues the whole interest of this node. Its records are neighbours: nothing is between them.
    pub(super) fn push_snapshot(&mut self, about: &About, local: &LocalInterest) {
        let mut begin = Vec::new();
        put_bytes(about.name.as_bytes(), &mut begin);
        put_bytes(about.version.as_bytes(), &mut begin);
        let end = Digest::of(local.iter().map(|(key, _)| key)).encode();
        let send = self.send();
        send.push(&envelope::records(Kind::SnapshotBegin, &begin));
        for (key, count) in local.iter() {
            send.push(&envelope::records(Kind::Interest, &interest::encode(key, count)));
        }
        send.push(&envelope::records(Kind::SnapshotEnd, &end));
        send.snapshot_end = send.next;
    }

    /// Takes an envelope.
    pub(super) fn receive(
        &mut self,
        header: &Header,
        records: Vec<(u8, Bytes)>,
        remote: &mut RemoteInterest,
        received: &mut Received,
    ) {
        let node = header.from;
        self.note(header, received);
        let was_synced = self.receive.is_synced;
        if let Some(is_doubtful) = self.receive.begin(header) {
            (self.is_joined, self.snapshot) = (false, None);
            self.is_doubtful |= is_doubtful || !header.is_fresh;
            self.send().is_due = true;
            if is_doubtful {
                self.doubt(node, None, received);
            }
        }
        let count = records.len();
        let Arrival::New { old, lost } = self.receive.arrive(header, count) else { return };
        if lost > 0 {
            self.snapshot = None;
            self.gaps += 1;
            self.lost += lost;
            self.doubt(node, Some(lost), received);
        }
        for (kind, content) in records.into_iter().skip(old) {
            if let Some((kind, content)) = self.receive.assemble(kind, content) {
                self.take(kind, content, node, remote, received);
            }
        }
        if self.receive.is_synced {
            self.receive.complete = self.receive.next;
        }
        // An acknowledgement at once, and a snapshot at once.
        if !self.receive.is_synced && was_synced {
            self.send().is_due = true;
        }
        self.join(header, received);
    }

    /// Takes a record.
    fn take(
        &mut self,
        kind: Kind,
        content: Bytes,
        node: NodeId,
        remote: &mut RemoteInterest,
        received: &mut Received,
    ) {
        match kind {
            Kind::Event => received.events.extend(RemoteEvent::decode(content)),
            Kind::SnapshotBegin => {
                let mut input = Input::new(content);
                if let (Some(name), Some(version)) = (input.text(), input.text()) {
                    (self.name, self.version) = (name, version);
                }
                self.snapshot = Some(Vec::new());
            }
            Kind::Interest => {
                let Some((key, count)) = interest::decode(content) else { return };
                if let Some(snapshot) = &mut self.snapshot {
                    snapshot.push((key, count));
                } else {
                    let has_room = remote.set(node, &mut self.keys, key, count);
                    self.receive.is_synced &= has_room;
                    self.send().is_due = true;
                }
            }
            Kind::SnapshotEnd => {
                let Some(snapshot) = self.snapshot.take() else { return };
                let digest = Digest::of(snapshot.iter().map(|(key, _)| key));
                if Digest::decode(content) == Some(digest) {
                    self.replace(node, snapshot, remote);
                }
                self.send().is_due = true;
            }
            Kind::Bye => {
                self.is_leaving = true;
                received.notices.push(Notice::Left { node, name: self.name.clone() });
            }
            // They were assembled.
            Kind::Part | Kind::LastPart => {}
        }
    }

    /// Replaces the interest of the peer by that of a snapshot.
    fn replace(
        &mut self,
        node: NodeId,
        snapshot: Vec<(InterestKey, u32)>,
        remote: &mut RemoteInterest,
    ) {
        let kept: HashSet<_> = snapshot.iter().map(|(key, _)| key).collect();
        let gone: Vec<_> = self.keys.iter().filter(|key| !kept.contains(key)).cloned().collect();
        for key in gone {
            self.keys.remove(&key);
            remote.remove(node, &key);
        }
        let mut has_room = true;
        for (key, count) in snapshot {
            has_room &= remote.set(node, &mut self.keys, key, count);
        }
        self.receive.is_synced = has_room;
    }

    /// Notes what the peer has of this node.
    fn note(&mut self, header: &Header, received: &mut Received) {
        let send = self.send();
        send.note(header);
        let complete = send.complete;
        if self.late_until.take_if(|until| *until <= complete).is_some() {
            let (node, name) = (header.from, self.name.clone());
            received.notices.push(Notice::CaughtUp { node, name });
        }
    }

    /// Reports once that both nodes know each other's interest.
    fn join(&mut self, header: &Header, received: &mut Received) {
        // What the peer says now: it may have forgotten what it had.
        let is_known = header.complete > 0 && header.peer_link == self.send().number;
        if self.is_joined || !is_known || !self.receive.is_synced {
            return;
        }
        self.is_joined = true;
        let node = header.from;
        let is_doubtful = std::mem::take(&mut self.is_doubtful);
        received.notices.push(Notice::Joined { node, name: self.name.clone(), is_doubtful });
    }

    fn doubt(&self, node: NodeId, records: Option<u64>, received: &mut Received) {
        received.notices.push(Notice::Lost { node, name: self.name.clone(), records });
    }

    pub(super) fn view(&self, node: NodeId, now: Duration) -> PeerView {
        let send = self.lock();
        PeerView {
            node,
            name: self.name.clone(),
            version: self.version.clone(),
            is_heard: now.saturating_sub(self.heard) < SUSPECTED_AFTER,
            is_synced: self.is_joined && self.receive.is_synced,
            keys: self.keys.len(),
            lag: send.lag(),
            waiting_bytes: send.waiting_bytes(),
            dropped: send.dropped,
            gaps: self.gaps,
            lost: self.lost,
        }
    }
}
