//! Outbox: the bounded queue between the broker and one connection, with back-pressure.
//!
//! Publishers push frames; the connection's transport drains them. A push never waits: a full
//! outbox closes its session or drops the event, as configured. Before that it reports
//! [`PushOutcome::Crowded`], and the publisher's connection is read more slowly. Replies to a
//! session's own requests never close it; its connection reads no further requests while too many
//! replies wait. A closed outbox accepts no more frames, so that the farewell is the last frame
//! that the client receives.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Buf, Bytes};

use crate::close_reason::{CloseCause, CloseReason};
use crate::total::Total;

mod frame_limit;
mod latest;
mod replay;
mod shared_bounds;
mod sink;
mod traffic;

use latest::LatestEvents;
use shared_bounds::SharedBounds;
use sink::Direct;
pub use sink::{Drained, Sink};
pub use traffic::OutboxTraffic;

/// Bounds of an outbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Most bytes of waiting frames.
    pub bytes: usize,
    /// Most waiting frames; bounds the queue's own memory when frames are small.
    pub frames: usize,
    /// Policy for an event that exceeds the bounds.
    pub overflow: Overflow,
}

/// Policy for a subscriber that does not keep up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overflow {
    /// Closes the session, so that the client knows that it misses events.
    Disconnect,
    /// Drops and counts the event.
    DropEvent,
    /// Replaces the older event of the same exact subscription that is still waiting, and closes the
    /// session if the newest one does not fit. An event by a pattern is dropped.
    Latest,
}

/// Result of a push.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum PushOutcome {
    /// Queued; the outbox was empty, so the caller has to flush the transport.
    Flush,
    /// Queued; a flush is already pending.
    Queued,
    /// Queued; more than half of the bounds waits for a blocked transport: a source slows down.
    Crowded,
    /// Dropped; the outbox is full.
    Dropped,
    /// The outbox is full and the session is closed now; the transport has to be interrupted.
    Overflow,
    /// Rejected; the session is closing.
    Closed,
}

/// The bounded queue between the broker and one connection.
#[derive(Debug)]
pub struct Outbox {
    bounds: SharedBounds,
    /// Memory of all outboxes.
    total: Arc<Total>,
    /// Held for a push, or for one non-blocking write: two publishers may flush the same
    /// connection, and their bytes must not mix.
    queue: Mutex<Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    frames: VecDeque<Bytes>,
    bytes: usize,
    /// Whether the front frame is partly written and has to be completed.
    torn: bool,
    /// Whether a flush is pending.
    scheduled: bool,
    /// Whether the last write left the transport blocked.
    blocked: bool,
    closing: Option<CloseReason>,
    dropped: u64,
    /// Events queued so far.
    events: u64,
    /// Messages queued so far, events among them.
    messages: u64,
    /// Bytes written to the transport so far.
    written: u64,
    /// `written` when a source stopped waiting: none waits again until the transport writes more.
    stalled: Option<u64>,
    /// Bytes that the blocked transport keeps.
    kept: usize,
    /// Bytes of this queue in the total.
    counted: usize,
    /// Events of [`Overflow::Latest`]; boxed, as few outboxes have any.
    latest: Option<Box<LatestEvents>>,
}

/// Fill level of an outbox, for a source that waits for room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pressure {
    /// Whether more than a quarter of the bounds waits for a blocked transport. An outbox becomes
    /// crowded at half, so that a source waits seldom and long rather than often and briefly.
    pub waits: bool,
    /// Bytes written to the transport so far.
    pub written: u64,
}

/// Most frames of one vectored write: past a few dozen there is no gain.
const MAX_SLICES: usize = 64;

/// Approximate memory of a frame besides its bytes: its queue slot and its allocations.
const FRAME_OVERHEAD_BYTES: usize = 128;

impl Outbox {
    /// Creates an empty outbox without a total.
    pub fn new(bounds: Bounds) -> Self {
        Self::counted(bounds, Arc::default())
    }

    /// Creates an empty outbox whose waiting bytes count towards a total.
    pub fn counted(bounds: Bounds, total: Arc<Total>) -> Self {
        Self { bounds: SharedBounds::new(bounds), total, queue: Mutex::default() }
    }

    /// Returns the policy of this outbox.
    pub(crate) fn overflow(&self) -> Overflow {
        self.bounds.overflow()
    }

    /// Replaces the bounds. Frames that wait beyond the new ones stay.
    pub fn set_bounds(&self, bounds: Bounds) {
        self.bounds.set(bounds);
    }

    /// Queues an event, or applies the overflow policy of this outbox.
    pub fn push(&self, frame: Bytes) -> PushOutcome {
        self.push_event(frame, self.overflow())
    }

    /// Queues an event, or applies a policy. Without a subscription, [`Overflow::Latest`] drops it.
    pub(crate) fn push_event(&self, frame: Bytes, overflow: Overflow) -> PushOutcome {
        let mut queue = self.lock();
        if queue.closing.is_some() {
            return PushOutcome::Closed;
        }
        let is_taken = self.takes(frame.len());
        if !is_taken || !queue.fits(&frame, self.bounds.get()) {
            return match overflow {
                Overflow::Disconnect if is_taken => queue.overflow(self.bounds.get()),
                Overflow::DropEvent | Overflow::Latest | Overflow::Disconnect => {
                    queue.dropped += 1;
                    PushOutcome::Dropped
                }
            };
        }
        queue.events += 1;
        let pushed = queue.append(frame, &self.total);
        // A policy that drops events needs no back-pressure.
        if overflow == Overflow::Disconnect && queue.is_crowded(self.bounds.get()) {
            return PushOutcome::Crowded;
        }
        pushed
    }

    /// Queues another session's message to this session alone, such as a result. It is never
    /// dropped: if it does not fit, the session is closed under every overflow policy.
    pub fn forward(&self, frame: Bytes) -> PushOutcome {
        let mut queue = self.lock();
        if queue.closing.is_some() {
            return PushOutcome::Closed;
        }
        if !queue.fits(&frame, self.bounds.get()) {
            return queue.overflow(self.bounds.get());
        }
        let pushed = queue.append(frame, &self.total);
        if queue.is_crowded(self.bounds.get()) { PushOutcome::Crowded } else { pushed }
    }

    /// Queues a reply to the client's own request, past the bounds: the connection stops reading
    /// requests after [`PushOutcome::Crowded`], so that at most the replies to one further request
    /// are added.
    pub fn reply(&self, frame: Bytes) -> PushOutcome {
        let mut queue = self.lock();
        if queue.closing.is_some() {
            return PushOutcome::Closed;
        }
        let pushed = queue.append(frame, &self.total);
        if queue.blocked && queue.exceeds(self.bounds.get(), 2) {
            PushOutcome::Crowded
        } else {
            pushed
        }
    }

    /// Closes the session; the first reason wins. Returns whether this call was the first.
    pub fn close(&self, closing: CloseReason) -> bool {
        let mut queue = self.lock();
        let first = queue.closing.is_none();
        if first {
            queue.closing = Some(closing);
        }
        first
    }

    /// Returns the close reason, if the session is closing.
    pub fn closing(&self) -> Option<CloseReason> {
        self.lock().closing.clone()
    }

    /// Queues the last frames of a closing session, past the bounds. `instead` discards waiting
    /// frames (except a partly written one): a client that has not read for too long has room for
    /// the farewell only.
    pub fn farewell(&self, frames: impl IntoIterator<Item = Bytes>, instead: bool) {
        let mut queue = self.lock();
        if instead {
            let keep = usize::from(queue.torn);
            queue.frames.truncate(keep);
            queue.bytes = queue.frames.iter().map(Bytes::len).sum();
        }
        for frame in frames {
            queue.messages += 1;
            queue.bytes += frame.len();
            queue.frames.push_back(frame);
        }
        queue.count(&self.total);
    }

    /// Closes the session because all outboxes together exceed their limit. Its frames are dropped
    /// at once, except a partly written one. Returns whether it was open.
    pub fn evict(&self, closing: CloseReason) -> bool {
        let first = self.close(closing);
        if first {
            self.farewell([], true);
        }
        first
    }

    /// Writes waiting frames until the transport blocks.
    ///
    /// # Errors
    /// Errors of `write` other than `WouldBlock`, which is [`Drained::Blocked`].
    pub fn drain(
        &self,
        write: impl FnMut(&[IoSlice<'_>]) -> io::Result<usize>,
    ) -> io::Result<Drained> {
        self.drain_into(Direct(write))
    }

    /// Writes waiting frames until the transport blocks. Bytes that the transport keeps leave it
    /// blocked as well.
    ///
    /// # Errors
    /// Errors of the transport other than `WouldBlock`, which is [`Drained::Blocked`].
    pub fn drain_into(&self, mut sink: impl Sink) -> io::Result<Drained> {
        let mut queue = self.lock();
        while !queue.frames.is_empty() {
            let mut slices = [IoSlice::new(&[]); MAX_SLICES];
            let mut count = 0;
            for (slice, frame) in slices.iter_mut().zip(&queue.frames) {
                *slice = IoSlice::new(frame);
                count += 1;
            }
            match sink.write(slices.get(..count).unwrap_or_default()) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => queue.consume(written),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Ok(queue.block(sink.kept(), &self.total));
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        match sink.flush() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return Ok(queue.block(sink.kept(), &self.total));
            }
            flushed => flushed?,
        }
        queue.scheduled = false;
        queue.blocked = false;
        queue.kept = 0;
        if let Some(latest) = &mut queue.latest {
            latest.clear();
        }
        queue.count(&self.total);
        queue.release();
        Ok(Drained::Empty)
    }

    /// Returns whether more than half of the bounds waits for a blocked transport.
    pub fn is_crowded(&self) -> bool {
        let queue = self.lock();
        queue.blocked && queue.exceeds(self.bounds.get(), 2)
    }

    /// Returns the fill level.
    pub fn pressure(&self) -> Pressure {
        let queue = self.lock();
        let waits = queue.closing.is_none() && queue.blocked && queue.exceeds(self.bounds.get(), 4);
        Pressure { waits, written: queue.written }
    }

    /// Marks the transport as stalled at `written` bytes: no source waits for it until it writes
    /// more.
    pub fn give_up(&self, written: u64) {
        self.lock().stalled = Some(written);
    }

    /// Returns whether the last write left the transport blocked, so that draining resumes when it
    /// is writable.
    pub fn is_blocked(&self) -> bool {
        self.lock().blocked
    }

    /// Returns the number of waiting bytes.
    pub fn bytes(&self) -> usize {
        self.lock().bytes
    }

    /// Returns the approximate memory of the queue in bytes while its transport is blocked,
    /// otherwise 0.
    pub fn held_bytes(&self) -> usize {
        self.lock().counted
    }

    /// Returns whether all outboxes together exceed their limit.
    pub(crate) fn is_total_exceeded(&self) -> bool {
        self.total.is_exceeded()
    }

    /// Returns the number of dropped events.
    pub fn dropped(&self) -> u64 {
        self.lock().dropped
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // A panic under the lock cannot leave the queue inconsistent: each change is one statement.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        let counted = self.lock().counted;
        self.total.replace(counted, 0);
    }
}

impl Queue {
    fn fits(&self, frame: &Bytes, bounds: Bounds) -> bool {
        // A single frame larger than the bound passes when nothing waits: the bound is for readers
        // that fall behind, and messages have a size limit of their own.
        self.frames.is_empty()
            || (self.bytes + frame.len() <= bounds.bytes && self.frames.len() < bounds.frames)
    }

    /// Returns whether more than 1/`share` of the bounds waits.
    fn exceeds(&self, bounds: Bounds, share: usize) -> bool {
        self.bytes > bounds.bytes / share || self.frames.len() > bounds.frames / share
    }

    fn is_crowded(&self, bounds: Bounds) -> bool {
        self.blocked && self.exceeds(bounds, 2) && self.stalled != Some(self.written)
    }

    fn append(&mut self, frame: Bytes, total: &Total) -> PushOutcome {
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
    fn count(&mut self, total: &Total) {
        let overhead = self.frames.len() * FRAME_OVERHEAD_BYTES;
        let held = if self.blocked { self.bytes + self.kept + overhead } else { 0 };
        if held != self.counted {
            total.replace(self.counted, held);
            self.counted = held;
        }
    }

    /// Notes that the transport is blocked, and keeps bytes.
    fn block(&mut self, kept: usize, total: &Total) -> Drained {
        (self.blocked, self.kept) = (true, kept);
        self.count(total);
        Drained::Blocked
    }

    fn overflow(&mut self, bounds: Bounds) -> PushOutcome {
        self.closing = Some(slow_subscriber(bounds));
        PushOutcome::Overflow
    }

    fn consume(&mut self, mut written: usize) {
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
    fn release(&mut self) {
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

#[cfg(test)]
mod tests;
