//! Links: the records of one node for another, in order and numbered without a hole.
//!
//! A link ends when its sender drops the peer; the next one has a greater number. The receiver counts what
//! did not arrive. Nothing is sent twice: a table that may be incomplete is sent again as a snapshot.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;

use super::NodeId;
use super::envelope::{self, Header, Kind, MAX_ENVELOPE_BYTES, MAX_RECORDS_BYTES, MAX_WHOLE_BYTES};

/// The maximum size of the events and changes of interest that wait for a peer. If one more does not fit, all
/// are dropped, and the peer counts them as lost.
const MAX_OUTBOX_BYTES: usize = 16 << 20;

/// The time between two snapshots that a peer asks for. It doubles while the peer goes on to ask.
const MIN_SNAPSHOT_INTERVAL: Duration = Duration::from_secs(1);
const MAX_SNAPSHOT_INTERVAL: Duration = Duration::from_mins(1);

/// The greatest gap that can be real. A greater one is not of this link.
const MAX_GAP: u64 = 1 << 32;

/// The sending end of a link, with its bounded outbox.
#[derive(Debug)]
pub(super) struct SendLink {
    pub(super) number: u64,
    /// The records, and whether each one counts for the bound. Snapshots do not: the table bounds them.
    queue: VecDeque<(Bytes, bool)>,
    /// The size of the records that count.
    bounded_bytes: usize,
    /// The number of records so far, queued ones included.
    pub(super) next: u64,
    /// The number of records that were dropped from the outbox.
    pub(super) dropped: u64,
    /// Whether an envelope is to be sent even without a record.
    pub(super) is_due: bool,
    /// Whether no client was served before the peer's interest was known here.
    pub(super) is_fresh: bool,
    /// The end of the last snapshot.
    pub(super) snapshot_end: u64,
    /// The time from which the next request for a snapshot is heard, and the interval after it.
    next_snapshot: Duration,
    snapshot_interval: Duration,
    /// As the peer has said.
    pub(super) received: u64,
    pub(super) complete: u64,
}

impl SendLink {
    pub(super) const fn new(number: u64, is_fresh: bool) -> Self {
        Self {
            number,
            queue: VecDeque::new(),
            bounded_bytes: 0,
            next: 0,
            dropped: 0,
            is_due: true,
            is_fresh,
            snapshot_end: 0,
            next_snapshot: Duration::ZERO,
            snapshot_interval: MIN_SNAPSHOT_INTERVAL,
            received: 0,
            complete: 0,
        }
    }

    /// Queues the records of an event, or of a change of interest.
    pub(super) fn push_bounded(&mut self, records: &[Bytes]) {
        let bytes: usize = records.iter().map(Bytes::len).sum();
        if self.bounded_bytes > 0 && self.bounded_bytes + bytes > MAX_OUTBOX_BYTES {
            self.dropped += self.queue.len() as u64;
            self.queue.clear();
            self.bounded_bytes = 0;
        }
        self.bounded_bytes += bytes;
        self.queue_all(records, true);
    }

    /// Queues the records of a snapshot, or the end.
    pub(super) fn push(&mut self, records: &[Bytes]) {
        self.queue_all(records, false);
    }

    fn queue_all(&mut self, records: &[Bytes], is_bounded: bool) {
        self.next += records.len() as u64;
        self.queue.extend(records.iter().map(|record| (record.clone(), is_bounded)));
    }

    /// Returns whether an envelope is to be sent.
    pub(super) fn waits(&self) -> bool {
        self.is_due || !self.queue.is_empty()
    }

    /// Returns the number of records that the peer has not received yet.
    pub(super) const fn lag(&self) -> u64 {
        self.next.saturating_sub(self.received)
    }

    pub(super) const fn waiting_bytes(&self) -> usize {
        self.bounded_bytes
    }

    /// Takes the next envelope, in this version, with what is known of the peer's own link.
    pub(super) fn take(&mut self, from: NodeId, version: u8, peer: &ReceiveLink) -> Vec<u8> {
        let first = self.next - self.queue.len() as u64;
        let (mut records, mut bytes) = (Vec::new(), 0);
        while bytes < MAX_RECORDS_BYTES && records.len() < usize::from(u16::MAX) {
            let Some((record, is_bounded)) = self.queue.pop_front() else { break };
            bytes += record.len();
            if is_bounded {
                self.bounded_bytes -= record.len();
            }
            records.push(record);
        }
        self.is_due = false;
        let header = Header {
            version,
            from,
            link: self.number,
            first,
            peer_link: peer.number,
            received: peer.next,
            complete: peer.complete,
            wants_snapshot: !peer.is_synced,
            is_fresh: self.is_fresh,
        };
        let envelope = envelope::encode(&header, &records);
        debug_assert!(envelope.len() <= MAX_ENVELOPE_BYTES, "{} bytes", envelope.len());
        envelope
    }

    /// Notes what the peer says of this link.
    pub(super) fn note(&mut self, header: &Header) {
        if header.peer_link == self.number {
            self.received = self.received.max(header.received.min(self.next));
            self.complete = self.complete.max(header.complete.min(self.next));
        }
    }

    /// Returns whether the peer asks for a snapshot, it has received the last one, and the interval is over.
    /// The next one begins then.
    pub(super) fn takes_request(&mut self, header: &Header, now: Duration) -> bool {
        if header.peer_link != self.number {
            return false;
        }
        if !header.wants_snapshot {
            self.snapshot_interval = MIN_SNAPSHOT_INTERVAL;
            return false;
        }
        if header.received.min(self.next) < self.snapshot_end || now < self.next_snapshot {
            return false;
        }
        // The first one is no repetition.
        if self.snapshot_end > 0 {
            self.next_snapshot = now + self.snapshot_interval;
            self.snapshot_interval = MAX_SNAPSHOT_INTERVAL.min(self.snapshot_interval * 2);
        }
        true
    }
}

/// The receiving end of a link.
#[derive(Debug, Default)]
pub(super) struct ReceiveLink {
    /// 0 before the first envelope.
    pub(super) number: u64,
    /// The number of records that were received or lost.
    pub(super) next: u64,
    /// The number of them up to which the table of interest is complete.
    pub(super) complete: u64,
    /// Whether the table of interest is complete.
    pub(super) is_synced: bool,
    /// The parts of a record so far, and its kind.
    partial: Option<(u8, Vec<u8>)>,
}

/// What an envelope means for a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// The link or the records are old, or no records of this link.
    Old,
    /// The records are new but the first ones, behind a gap of lost ones.
    New { old: usize, lost: u64 },
}

impl ReceiveLink {
    /// Begins another link, if the envelope is of one. Returns whether records of the peer may be missing
    /// then: those of the link before, or the first ones of this one.
    pub(super) fn begin(&mut self, header: &Header) -> Option<bool> {
        if header.link <= self.number {
            return None;
        }
        let is_doubtful = self.number > 0 || header.first > 0;
        *self = Self { number: header.link, next: header.first, ..Self::default() };
        Some(is_doubtful)
    }

    /// Counts the records of an envelope.
    pub(super) fn arrive(&mut self, header: &Header, count: usize) -> Arrival {
        let end = header.first.saturating_add(count as u64);
        let lost = header.first.saturating_sub(self.next);
        if header.link < self.number || end < self.next || lost > MAX_GAP {
            return Arrival::Old;
        }
        let old = usize::try_from(self.next.saturating_sub(header.first)).unwrap_or(count);
        self.next = end;
        if lost > 0 {
            self.is_synced = false;
            self.partial = None;
        }
        Arrival::New { old, lost }
    }

    /// The size of an incomplete record.
    pub(super) fn partial_bytes(&self) -> usize {
        self.partial.as_ref().map_or(0, |(_, bytes)| bytes.len())
    }

    /// Returns the whole record that a record is, or completes; `None` also of an unknown kind, which is
    /// skipped. Parts take `room` at most.
    ///
    /// # Errors
    /// [`Dropped`] if an incomplete record does not fit. Its last parts are ignored.
    pub(super) fn assemble(
        &mut self,
        kind: u8,
        content: Bytes,
        room: &mut usize,
    ) -> Result<Option<(Kind, Bytes)>, Dropped> {
        let Some(kind) = Kind::of(kind) else { return Ok(None) };
        if !matches!(kind, Kind::FirstPart | Kind::Part | Kind::LastPart) {
            return Ok(Some((kind, content)));
        }
        let Some((whole, part)) = content.split_first() else { return Ok(None) };
        if kind == Kind::FirstPart {
            *room += self.partial_bytes();
            // Parts of an unknown kind are not kept.
            self.partial = Kind::of(*whole).map(|_| (*whole, Vec::new()));
        }
        // The first part is lost: what follows is no beginning of anything.
        let Some((_, bytes)) = self.partial.as_mut().filter(|it| it.0 == *whole) else {
            return Ok(None);
        };
        if part.len() > *room || bytes.len() + part.len() > MAX_WHOLE_BYTES {
            *room += bytes.len();
            self.partial = None;
            return Err(Dropped);
        }
        *room -= part.len();
        bytes.extend_from_slice(part);
        if kind != Kind::LastPart {
            return Ok(None);
        }
        let Some((whole, content)) = self.partial.take() else { return Ok(None) };
        *room += content.len();
        Ok(Kind::of(whole).map(|whole| (whole, content.into())))
    }
}

/// A record was dropped, because its parts do not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Dropped;
