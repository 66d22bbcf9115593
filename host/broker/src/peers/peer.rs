//! One peer: its links, its interest, and whether it is heard.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;

use super::bytes::{Input, put_bytes};
use super::envelope::{self, Header, Kind};
use super::event::RemoteEvent;
use super::gone::{self, Gone};
use super::interest::{self, Digest, LocalInterest, Told};
use super::link::{Arrival, ReceiveLink, SendLink};
use super::remote::{Keys, RemoteInterest, Snapshot};
use super::versions::{Hello, Versions, cut};
use super::{DEAD_AFTER, Delivery, NodeId, Notice, Received, STALLED_AFTER_TICKS, SUSPECTED_AFTER};
use crate::publication::EventSource;

/// This node, as its peers know it.
#[derive(Debug)]
pub(super) struct About {
    pub(super) node: NodeId,
    pub(super) name: String,
    pub(super) version: String,
    /// The site that it serves.
    pub(super) site: String,
    /// The versions of the envelope that it speaks.
    pub(super) versions: Versions,
    pub(super) is_fresh: bool,
    /// Whether it sends records and keys that no version knows.
    pub(super) is_later: bool,
}

impl About {
    pub(super) fn hello(&self) -> Hello {
        let Self { node, name, version, site, versions, .. } = self;
        let (name, version, site) = (name.clone(), version.clone(), site.clone());
        Hello { from: *node, versions: *versions, name, version, site }
    }
}

/// A peer.
pub(super) struct Peer {
    pub(super) name: String,
    version: String,
    /// The site that it serves, by its HELLO.
    site: String,
    /// The version of the envelopes to it.
    pub(super) envelope: u8,
    /// The time of its last message, also of one that is old, or a HELLO.
    pub(super) seen: Duration,
    /// The time of its last records, or of an envelope that shows that none is missing.
    pub(super) heard: Duration,
    /// The ticks since it has acknowledged a record, and how far that was.
    unacknowledged_ticks: u32,
    acknowledged: u64,
    /// Publishers push here while others do; no other lock is taken under it.
    send: Mutex<SendLink>,
    pub(super) receive: ReceiveLink,
    pub(super) keys: Keys,
    /// The number of its next event.
    number: Option<u64>,
    /// A snapshot so far.
    snapshot: Option<Snapshot>,
    /// Whether both nodes have had the interest of each other.
    pub(super) is_joined: bool,
    /// Whether the peer may have published before this node's interest reached it.
    is_doubtful: bool,
    /// Whether [`Notice::Interrupted`] was reported, and the peer has not joined since.
    is_interrupted: bool,
    /// The record that a late peer has to acknowledge.
    pub(super) late_until: Option<u64>,
    /// The record with offers that a late peer has to acknowledge.
    pub(super) offers_late_until: Option<u64>,
    gaps: u64,
    lost: u64,
    skipped: u64,
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
    /// The site that it serves, as [`Peers::set_site`](super::Peers::set_site) says it there; empty before
    /// its first HELLO.
    pub site: String,
    /// The version of the envelope that both use.
    pub envelope: u8,
    /// Whether it was heard lately.
    pub is_heard: bool,
    /// Whether both nodes know each other's interest.
    pub is_synced: bool,
    /// The topics and patterns of its sessions.
    pub keys: usize,
    /// Whether some of them are not known here: too many, or unreadable.
    pub is_incomplete: bool,
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
    /// Records and keys from it of kinds that only a later version knows.
    pub skipped: u64,
}

impl Peer {
    pub(super) fn new(
        link: u64,
        name: String,
        envelope: u8,
        is_fresh: bool,
        now: Duration,
    ) -> Self {
        Self {
            name,
            version: String::new(),
            site: String::new(),
            envelope,
            seen: now,
            heard: now,
            unacknowledged_ticks: 0,
            acknowledged: 0,
            send: Mutex::new(SendLink::new(link, is_fresh)),
            receive: ReceiveLink::default(),
            keys: Keys::default(),
            number: None,
            snapshot: None,
            is_joined: false,
            is_doubtful: false,
            is_interrupted: false,
            late_until: None,
            offers_late_until: None,
            gaps: 0,
            lost: 0,
            skipped: 0,
        }
    }

    /// Takes a HELLO, with the version that both nodes use.
    pub(super) fn greet(&mut self, site: String, now: Duration) {
        (self.seen, self.site) = (now, site);
    }

    /// Returns the sending end, which this reference has alone.
    pub(super) fn send(&mut self) -> &mut SendLink {
        self.send.get_mut().unwrap_or_else(PoisonError::into_inner)
    }

    /// Locks the sending end.
    pub(super) fn lock(&self) -> MutexGuard<'_, SendLink> {
        self.send.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns whether more than a HELLO has come: it may have published.
    pub(super) const fn has_spoken(&self) -> bool {
        self.receive.number > 0
    }

    /// Returns whether no message has come for a while.
    pub(super) const fn is_silent(&self, now: Duration) -> bool {
        now.saturating_sub(self.seen).as_nanos() >= DEAD_AFTER.as_nanos()
    }

    /// Passes a tick. Returns whether the peer is to be given up: it is silent, or its records do not advance, or
    /// it does not acknowledge any.
    pub(super) fn watch(&mut self, now: Duration) -> bool {
        let send = self.send();
        let (received, lag) = (send.received, send.lag());
        if lag == 0 || received > self.acknowledged {
            (self.acknowledged, self.unacknowledged_ticks) = (received, 0);
        } else {
            self.unacknowledged_ticks += 1;
        }
        self.unacknowledged_ticks > STALLED_AFTER_TICKS
            || now.saturating_sub(self.heard) >= DEAD_AFTER
    }

    /// Queues the whole interest of this node, and the nodes that are gone. Its records are neighbours: nothing is
    /// between them.
    pub(super) fn push_snapshot(&mut self, about: &About, local: &LocalInterest, gone: &Gone) {
        let mut begin = Vec::new();
        put_bytes(about.name.as_bytes(), &mut begin);
        put_bytes(about.version.as_bytes(), &mut begin);
        gone.put(&mut begin);
        let mut digest = Digest::of(local.iter().map(|(key, _)| key));
        let send = self.send();
        send.push(&envelope::records(Kind::SnapshotBegin, &begin));
        for (key, stake) in local.iter() {
            send.push(&envelope::records(Kind::Interest, &interest::encode(key, stake)));
        }
        if about.is_later {
            let (key, hash) = interest::unknown_key();
            digest.add(hash);
            send.push(&envelope::records(Kind::Interest, &key));
        }
        send.push(&envelope::records(Kind::SnapshotEnd, &digest.encode()));
        send.snapshot_end = send.next;
    }

    /// Takes an envelope. Incomplete records take `room` at most.
    pub(super) fn receive(
        &mut self,
        header: &Header,
        records: Vec<(u8, Bytes)>,
        mut room: usize,
        now: Duration,
        remote: &mut RemoteInterest,
        received: &mut Received,
    ) {
        let node = header.from;
        self.seen = now;
        self.note(header, received);
        let was_synced = self.receive.is_synced;
        if let Some(is_doubtful) = self.receive.begin(header) {
            (self.is_joined, self.snapshot, self.number) = (false, None, None);
            self.is_doubtful |= is_doubtful;
            self.send().is_due = true;
            if is_doubtful {
                let is_repeated = std::mem::replace(&mut self.is_interrupted, true);
                let name = self.name.clone();
                received.notices.push(Notice::Interrupted { node, name, is_repeated });
            }
        }
        let count = records.len();
        let Arrival::New { old, lost } = self.receive.arrive(header, count) else { return };
        self.heard = now;
        // Until it has joined: it may begin to serve clients before.
        self.is_doubtful |= !header.is_fresh && !self.is_joined;
        if lost > 0 {
            (self.snapshot, self.number) = (None, None);
            self.lose(node, lost, received);
        }
        for (kind, content) in records.into_iter().skip(old) {
            self.skipped += u64::from(Kind::of(kind).is_none());
            let is_whole = match self.receive.assemble(kind, content, &mut room) {
                Ok(Some((kind, content))) => self.take(kind, content, node, remote, received),
                Ok(None) => true,
                Err(_) => false,
            };
            if !is_whole {
                self.number = None;
                self.lose(node, 1, received);
            }
        }
        // What has to be applied first is acknowledged then.
        if !remote.has_changed() {
            self.settle();
        }
        // An acknowledgement at once, and a snapshot at once.
        if !self.receive.is_synced && was_synced {
            self.send().is_due = true;
        }
        self.join(header, received);
    }

    /// Acknowledges all interest of the peer so far, if it is complete. Returns whether that is new.
    pub(super) const fn settle(&mut self) -> bool {
        let ReceiveLink { is_synced, complete, next, .. } = &mut self.receive;
        let is_new = *is_synced && *complete < *next;
        if is_new {
            *complete = *next;
        }
        is_new
    }

    /// Takes a record. Returns `false` of an event that cannot be read.
    fn take(
        &mut self,
        kind: Kind,
        content: Bytes,
        node: NodeId,
        remote: &mut RemoteInterest,
        received: &mut Received,
    ) -> bool {
        match kind {
            Kind::Event => {
                let Some(mut event) = RemoteEvent::decode(content) else { return false };
                event.source = EventSource::Node(node, self.number.take());
                received.deliveries.push(Delivery::Event(Box::new(event)));
            }
            Kind::Number => self.number = Input::new(content).u64(),
            Kind::Gone => received.gone.extend(gone::read(&mut Input::new(content))),
            Kind::Message => received.deliveries.push(Delivery::Message(node, content)),
            Kind::SnapshotBegin => {
                let mut input = Input::new(content);
                if let (Some(name), Some(version)) = (input.text(), input.text()) {
                    (self.name, self.version) = (cut(&name), cut(&version));
                    received.gone.extend(gone::read(&mut input));
                }
                self.snapshot = Some(Snapshot::default());
            }
            Kind::Interest => {
                let told = interest::decode(content);
                self.skipped += u64::from(matches!(told, Some(Told::Unknown(_))));
                if let Some(snapshot) = &mut self.snapshot {
                    snapshot.push(told);
                    return true;
                }
                let is_known = match told {
                    Some(Told::Known(key, stake)) => remote.set(node, &mut self.keys, key, stake),
                    Some(Told::Unknown(_)) => true,
                    None => false,
                };
                self.receive.is_synced &= is_known;
                self.send().is_due = true;
                if !is_known {
                    self.miss(node, received);
                }
            }
            Kind::SnapshotEnd => {
                let Some(snapshot) = self.snapshot.take() else { return true };
                let is_known = snapshot.has_digest(Digest::decode(content))
                    && remote.replace(node, &mut self.keys, snapshot);
                self.receive.is_synced = is_known;
                self.send().is_due = true;
                if is_known {
                    self.keys.is_incomplete = false;
                } else {
                    self.miss(node, received);
                }
            }
            Kind::Bye => {
                received.notices.push(Notice::Left { node, name: self.name.clone() });
            }
            // They were assembled.
            Kind::FirstPart | Kind::Part | Kind::LastPart => {}
        }
        true
    }

    /// Reports once that keys of the peer are missing here.
    fn miss(&mut self, node: NodeId, received: &mut Received) {
        if !std::mem::replace(&mut self.keys.is_incomplete, true) {
            received.notices.push(Notice::Incomplete { node, name: self.name.clone() });
        }
    }

    /// Counts records that did not arrive.
    fn lose(&mut self, node: NodeId, records: u64, received: &mut Received) {
        self.gaps += 1;
        self.lost = self.lost.saturating_add(records);
        received.notices.push(Notice::Lost { node, name: self.name.clone(), records });
    }

    /// Notes what the peer has of this node.
    fn note(&mut self, header: &Header, received: &mut Received) {
        let send = self.send();
        send.note(header);
        let complete = send.complete;
        self.offers_late_until.take_if(|until| *until <= complete);
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
        (self.is_joined, self.is_interrupted) = (true, false);
        let node = header.from;
        let is_doubtful = std::mem::take(&mut self.is_doubtful);
        received.notices.push(Notice::Joined { node, name: self.name.clone(), is_doubtful });
    }

    pub(super) fn view(&self, node: NodeId, now: Duration) -> PeerView {
        let send = self.lock();
        PeerView {
            node,
            name: self.name.clone(),
            version: self.version.clone(),
            site: self.site.clone(),
            envelope: self.envelope,
            is_heard: now.saturating_sub(self.heard) < SUSPECTED_AFTER,
            is_synced: self.is_joined && self.receive.is_synced,
            keys: self.keys.len(),
            is_incomplete: self.keys.is_incomplete,
            lag: send.lag(),
            waiting_bytes: send.waiting_bytes(),
            dropped: send.dropped,
            gaps: self.gaps,
            lost: self.lost,
            skipped: self.skipped,
        }
    }
}
