//! Links: the records of one node for another, in order and numbered without a hole.
//!
//! A link ends when its sender drops the peer; the next one has a greater number. The receiver counts what
//! did not arrive. Nothing is sent twice: a table that may be incomplete is sent again as a snapshot.

use std::collections::VecDeque;

use bytes::Bytes;

use super::NodeId;
use super::envelope::{self, Header, Kind, MAX_ENVELOPE_BYTES, MAX_RECORDS_BYTES, MAX_WHOLE_BYTES};

/// The maximum size of the events that wait for a peer. If one more does not fit, all are dropped, and the
/// peer counts them as lost.
const MAX_OUTBOX_BYTES: usize = 16 << 20;

/// The sending end of a link, with its bounded outbox.
#[derive(Debug)]
pub(super) struct SendLink {
    pub(super) number: u64,
    queue: VecDeque<Bytes>,
    /// The size of the queued events. Records of interest are bounded by the table.
    event_bytes: usize,
    /// The number of records so far, queued ones included.
    pub(super) next: u64,
    /// The number of records that were dropped from the outbox.
    pub(super) dropped: u64,
    /// Whether an envelope is to be sent even without a record.
    pub(super) is_due: bool,
    /// The end of the last snapshot.
    pub(super) snapshot_end: u64,
    /// As the peer has said.
    pub(super) received: u64,
    pub(super) complete: u64,
}

impl SendLink {
    pub(super) const fn new(number: u64) -> Self {
        Self {
            number,
            queue: VecDeque::new(),
            event_bytes: 0,
            next: 0,
            dropped: 0,
            is_due: true,
            snapshot_end: 0,
            received: 0,
            complete: 0,
        }
    }

    /// Queues the records of an event.
    pub(super) fn push_event(&mut self, records: &[Bytes]) {
        let bytes: usize = records.iter().map(Bytes::len).sum();
        if self.event_bytes > 0 && self.event_bytes + bytes > MAX_OUTBOX_BYTES {
            self.dropped += self.queue.len() as u64;
            self.queue.clear();
            self.event_bytes = 0;
        }
        self.event_bytes += bytes;
        self.push(records);
    }

    /// Queues the records of a change of interest, or of a snapshot.
    pub(super) fn push(&mut self, records: &[Bytes]) {
        self.next += records.len() as u64;
        self.queue.extend(records.iter().cloned());
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
        self.event_bytes
    }

    /// Takes the next envelope, with what is known of the peer's own link.
    pub(super) fn take(&mut self, from: NodeId, peer: &ReceiveLink, is_fresh: bool) -> Vec<u8> {
        let first = self.next - self.queue.len() as u64;
        let (mut records, mut bytes) = (Vec::new(), 0);
        while bytes < MAX_RECORDS_BYTES && records.len() < usize::from(u16::MAX) {
            let Some(record) = self.queue.pop_front() else { break };
            bytes += record.len();
            records.push(record);
        }
        let left = self.event_bytes.saturating_sub(bytes);
        self.event_bytes = if self.queue.is_empty() { 0 } else { left };
        self.is_due = false;
        let header = Header {
            from,
            link: self.number,
            first,
            peer_link: peer.number,
            received: peer.next,
            complete: peer.complete,
            wants_snapshot: !peer.is_synced,
            is_fresh,
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

    /// Returns whether the peer needs a snapshot, and none is on its way.
    pub(super) fn needs_snapshot(&self, header: &Header) -> bool {
        header.wants_snapshot
            && header.peer_link == self.number
            && header.received >= self.snapshot_end
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
    /// The link or the records are old.
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
        if header.link < self.number || end < self.next {
            return Arrival::Old;
        }
        let lost = header.first.saturating_sub(self.next);
        let old = usize::try_from(self.next.saturating_sub(header.first)).unwrap_or(count);
        self.next = end;
        if lost > 0 {
            self.is_synced = false;
            self.partial = None;
        }
        Arrival::New { old, lost }
    }

    /// Returns the whole record that a record is, or completes.
    pub(super) fn assemble(&mut self, kind: u8, content: Bytes) -> Option<(Kind, Bytes)> {
        let kind = Kind::of(kind)?;
        if !matches!(kind, Kind::Part | Kind::LastPart) {
            return Some((kind, content));
        }
        let (whole, part) = content.split_first()?;
        let partial = self.partial.get_or_insert_with(|| (*whole, Vec::new()));
        if partial.0 != *whole || partial.1.len() + part.len() > MAX_WHOLE_BYTES {
            self.partial = None;
            return None;
        }
        partial.1.extend_from_slice(part);
        if kind == Kind::Part {
            return None;
        }
        let (whole, content) = self.partial.take()?;
        Some((Kind::of(whole)?, content.into()))
    }
}
