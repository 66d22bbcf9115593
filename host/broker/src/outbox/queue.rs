//! Queue of an outbox: its waiting frames, and how they are written.

use std::collections::VecDeque;
use std::io::{self, IoSlice};

use bytes::{Buf, Bytes};
use jackfield_wamp::id::SubscriptionId;

use super::latest::LatestEvents;
use super::sink::{Drained, Sink};
use super::{Bounds, PushOutcome};
use crate::close_reason::{CloseCause, CloseReason};
use crate::total::Total;

/// Most frames of one vectored write: past a few dozen there is no gain.
const MAX_SLICES: usize = 64;

/// Approximate memory of a frame besides its bytes: its queue slot and its allocations.
pub(super) const FRAME_OVERHEAD_BYTES: usize = 128;

/// The waiting frames of an outbox, and the state of its transport.
#[derive(Debug, Default)]
pub(super) struct Queue {
    pub(super) frames: VecDeque<Bytes>,
    pub(super) bytes: usize,
    /// Whether the front frame is partly written and has to be completed.
    pub(super) torn: bool,
    /// Whether a flush is pending.
    pub(super) scheduled: bool,
    /// Whether the last write left the transport blocked.
    pub(super) blocked: bool,
    /// In a box, as it is only used at the end.
    pub(super) closing: Option<Box<CloseReason>>,
    pub(super) dropped: u64,
    /// Events queued so far.
    pub(super) events: u64,
    /// Messages queued so far, events among them.
    pub(super) messages: u64,
    /// Bytes written to the transport so far.
    pub(super) written: u64,
    /// `written` when a source stopped waiting: none waits again until the transport writes more.
    pub(super) stalled: Option<u64>,
    /// Bytes that the blocked transport keeps.
    pub(super) kept: usize,
    /// Bytes of this queue in the total.
    pub(super) counted: usize,
    /// Events of [`Overflow::Latest`](super::Overflow::Latest); boxed, as few outboxes have any.
    pub(super) latest: Option<Box<LatestEvents>>,
}

impl Queue {
    pub(super) fn fits(&self, frame: &Bytes, bounds: Bounds) -> bool {
        // A single frame larger than the bound passes when nothing waits: the bound is for readers
        // that fall behind, and messages have a size limit of their own.
        self.frames.is_empty()
            || (self.bytes + frame.len() <= bounds.bytes && self.frames.len() < bounds.frames)
    }

    /// Returns whether more than 1/`share` of the bounds waits.
    pub(super) fn exceeds(&self, bounds: Bounds, share: usize) -> bool {
        self.bytes > bounds.bytes / share || self.frames.len() > bounds.frames / share
    }

    pub(super) fn is_crowded(&self, bounds: Bounds) -> bool {
        self.blocked && self.exceeds(bounds, 2) && self.stalled != Some(self.written)
    }

    pub(super) fn append(&mut self, frame: Bytes, total: &Total) -> PushOutcome {
        self.bytes += frame.len();
        self.messages += 1;
        self.frames.push_back(frame);
        self.count(total);
        if std::mem::replace(&mut self.scheduled, true) {
            PushOutcome::Queued
        } else {
            PushOutcome::Flush
        }
    }

    /// Updates the total. Only a queue with a blocked transport is counted, so that frames about to
    /// be written cost no access to memory shared by all threads.
    pub(super) fn count(&mut self, total: &Total) {
        let overhead = self.frames.len() * FRAME_OVERHEAD_BYTES;
        let held = if self.blocked { self.bytes + self.kept + overhead } else { 0 };
        if held != self.counted {
            total.replace(self.counted, held);
            self.counted = held;
        }
    }

    /// Notes that the transport is blocked, and keeps bytes.
    pub(super) fn block(&mut self, kept: usize, total: &Total) -> Drained {
        (self.blocked, self.kept) = (true, kept);
        self.count(total);
        Drained::Blocked
    }

    pub(super) fn overflow(&mut self, bounds: Bounds) -> PushOutcome {
        self.closing = Some(Box::new(slow_subscriber(bounds)));
        PushOutcome::Overflow
    }

    /// Removes the waiting event of a subscription, unless the transport keeps up or has begun to write
    /// it. Returns the number of events that the next one replaces.
    pub(super) fn replace(&mut self, subscription: SubscriptionId) -> u64 {
        let Some(latest) = self.latest.as_deref_mut() else { return 0 };
        let first = (self.messages - latest.replaced()).saturating_sub(self.frames.len() as u64);
        // An older event that stays is no longer the newest.
        let Some(old) = latest.take(subscription, first) else { return 0 };
        let index = usize::try_from(old.number - first).unwrap_or(usize::MAX);
        if !self.blocked || (index == 0 && self.torn) {
            return 0;
        }
        let Some(frame) = self.frames.remove(index) else { return 0 };
        self.bytes -= frame.len();
        latest.note_removed(old);
        old.replaced + 1
    }

    /// Writes as many frames as possible with one call. Returns the number of bytes that the transport has
    /// taken.
    pub(super) fn write(&self, sink: &mut impl Sink) -> io::Result<usize> {
        // As a rule a single one waits; it needs no array of a kilobyte.
        if let (1, Some(frame)) = (self.frames.len(), self.frames.front()) {
            return sink.write(&[IoSlice::new(frame)]);
        }
        let mut slices = [IoSlice::new(&[]); MAX_SLICES];
        let mut count = 0;
        for (slice, frame) in slices.iter_mut().zip(&self.frames) {
            *slice = IoSlice::new(frame);
            count += 1;
        }
        sink.write(slices.get(..count).unwrap_or_default())
    }

    pub(super) fn consume(&mut self, mut written: usize) {
        self.bytes = self.bytes.saturating_sub(written);
        self.written += written as u64;
        while written > 0 {
            let Some(front) = self.frames.front_mut() else { break };
            if written < front.len() {
                front.advance(written);
                self.torn = true;
                return;
            }
            written -= front.len();
            self.frames.pop_front();
        }
        self.torn = false;
    }

    /// Frees the memory of a burst, so that an idle connection is small.
    pub(super) fn release(&mut self) {
        if self.frames.capacity() > MAX_SLICES {
            self.frames = VecDeque::new();
        }
    }
}

/// The close reason of a subscriber whose outbox is full.
fn slow_subscriber(bounds: Bounds) -> CloseReason {
    CloseReason {
        cause: CloseCause::SlowSubscriber,
        reason: CloseReason::SLOW_SUBSCRIBER.to_owned(),
        message: format!(
            "slow subscriber: more than {} bytes or {} messages waited to be read",
            bounds.bytes, bounds.frames
        ),
    }
}
