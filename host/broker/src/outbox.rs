//! The bounded queue between the broker and one connection.
//!
//! Publishers put frames in; the connection's link takes them out. A push never waits: a full
//! outbox closes its session or drops the event, as the operator chose. Before that it is
//! [`PushOutcome::Crowded`], and the sender is expected to push back on the source: to read it more
//! slowly. A session's replies to its own requests never close it; its connection reads no further
//! requests while too many of them wait. After an outbox has been closed nothing more is accepted,
//! so that the farewell is the last frame that a client reads.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Buf, Bytes};

use crate::total::Total;

/// How much an outbox holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Bytes of frames that wait.
    pub bytes: usize,
    /// Frames that wait; it bounds what the queue itself takes when frames are small.
    pub frames: usize,
    /// What happens to an event that does not fit.
    pub overflow: Overflow,
}

/// What happens when a subscriber does not keep up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overflow {
    /// The session is closed: it would otherwise miss events without knowing.
    Disconnect,
    /// The event is dropped for this subscriber, and counted.
    DropEvent,
}

/// Why a session ends by the router's will.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloseReason {
    /// A WAMP URI for the client, such as `wamp.close.system_shutdown`.
    pub reason: String,
    /// One sentence for a person.
    pub message: String,
}

impl CloseReason {
    /// The subscriber does not read fast enough, and its outbox is full.
    pub const SLOW_SUBSCRIBER: &'static str = "jackfield.close.slow_subscriber";

    fn slow_subscriber(bounds: Bounds) -> Self {
        Self {
            reason: Self::SLOW_SUBSCRIBER.to_owned(),
            message: format!(
                "more than {} bytes or {} messages were waiting to be read",
                bounds.bytes, bounds.frames
            ),
        }
    }
}

/// What became of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum PushOutcome {
    /// The first frame since the outbox was last empty: its link has to be flushed.
    Flush,
    /// Somebody else is about to flush.
    Queued,
    /// Queued, and more than half of the bounds waits for a transport that takes no more: the
    /// source is to be slowed down.
    Crowded,
    /// It did not fit, and was dropped.
    Dropped,
    /// It did not fit, and the session has been closed for it: the link has to be interrupted.
    Overflow,
    /// The session is closing; nothing is accepted.
    Closed,
}

/// How far writing came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drained {
    /// Everything is written.
    Empty,
    /// The transport takes no more now; drain again when it does.
    Blocked,
}

/// The bounded queue between the broker and one connection.
#[derive(Debug)]
pub struct Outbox {
    bounds: Bounds,
    /// Of all outboxes.
    total: Arc<Total>,
    /// Held for a push, or for one non-blocking write: the write is under the lock because two
    /// publishers may flush the same connection, and their bytes must not mix.
    queue: Mutex<Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    frames: VecDeque<Bytes>,
    bytes: usize,
    /// Whether the front frame has been written in part, so that it must be completed.
    torn: bool,
    /// Whether somebody has taken on the flushing of what waits.
    scheduled: bool,
    /// Whether the transport took no more at the last write.
    blocked: bool,
    closing: Option<CloseReason>,
    dropped: u64,
    /// Bytes that the transport has taken since the beginning.
    written: u64,
    /// `written` when a source gave up waiting for this transport: until it takes more, it is not
    /// waited for again.
    stalled: Option<u64>,
    /// What the total knows of this queue.
    counted: usize,
}

/// How full an outbox is, for a source that waits until there is room again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pressure {
    /// Whether more than a quarter of the bounds waits. It is less than the half at which an outbox
    /// becomes crowded, so that a source waits seldom and long rather than often and briefly.
    pub waits: bool,
    /// Bytes that the transport has taken since the beginning.
    pub written: u64,
}

/// At most this many frames go into one vectored write; Linux takes 1024, and past a few dozen
/// the saving is gone while the array on the stack grows.
const SLICES: usize = 64;

/// About what a frame takes besides its bytes: its place in the queue, and its allocations.
const FRAME_OVERHEAD_BYTES: usize = 128;

impl Outbox {
    /// An empty outbox that counts for no total.
    pub fn new(bounds: Bounds) -> Self {
        Self::counted(bounds, Arc::default())
    }

    /// An empty outbox whose waiting bytes count for a total.
    pub fn counted(bounds: Bounds, total: Arc<Total>) -> Self {
        Self { bounds, total, queue: Mutex::default() }
    }

    /// Queues an event, or does with it what the bounds say.
    pub fn push(&self, frame: Bytes) -> PushOutcome {
        let mut queue = self.lock();
        if queue.closing.is_some() {
            return PushOutcome::Closed;
        }
        if !queue.fits(&frame, self.bounds) {
            return match self.bounds.overflow {
                Overflow::DropEvent => {
                    queue.dropped += 1;
                    PushOutcome::Dropped
                }
                Overflow::Disconnect => queue.overflow(self.bounds),
            };
        }
        let pushed = queue.append(frame, &self.total);
        // A policy that drops events needs no source to slow down.
        if self.bounds.overflow == Overflow::Disconnect && queue.is_crowded(self.bounds) {
            return PushOutcome::Crowded;
        }
        pushed
    }

    /// Queues what another session sends to this one alone, such as a result: it is never dropped.
    /// If it does not fit the session is closed, whatever the operator chose for events.
    pub fn forward(&self, frame: Bytes) -> PushOutcome {
        let mut queue = self.lock();
        if queue.closing.is_some() {
            return PushOutcome::Closed;
        }
        if !queue.fits(&frame, self.bounds) {
            return queue.overflow(self.bounds);
        }
        let pushed = queue.append(frame, &self.total);
        if queue.is_crowded(self.bounds) { PushOutcome::Crowded } else { pushed }
    }

    /// Queues a reply to the client's own request. It is accepted past the bounds: the connection
    /// stops reading requests when it is told [`PushOutcome::Crowded`], so that at most the replies to
    /// one further request are added.
    pub fn reply(&self, frame: Bytes) -> PushOutcome {
        let mut queue = self.lock();
        if queue.closing.is_some() {
            return PushOutcome::Closed;
        }
        let pushed = queue.append(frame, &self.total);
        if queue.blocked && queue.exceeds(self.bounds, 2) { PushOutcome::Crowded } else { pushed }
    }

    /// Ends the session; the first reason stands. Returns whether this call was the first.
    pub fn close(&self, closing: CloseReason) -> bool {
        let mut queue = self.lock();
        let first = queue.closing.is_none();
        if first {
            queue.closing = Some(closing);
        }
        first
    }

    /// Why the session is to end, if it is.
    pub fn closing(&self) -> Option<CloseReason> {
        self.lock().closing.clone()
    }

    /// Puts the last frames behind what waits, past the bounds, once the session is closing.
    /// `instead` throws away what waits (except a frame written in part): for a client that has
    /// not read for too long, the farewell is all that there is room for.
    pub fn farewell(&self, frames: impl IntoIterator<Item = Bytes>, instead: bool) {
        let mut queue = self.lock();
        if instead {
            let keep = usize::from(queue.torn);
            queue.frames.truncate(keep);
            queue.bytes = queue.frames.iter().map(Bytes::len).sum();
        }
        for frame in frames {
            queue.bytes += frame.len();
            queue.frames.push_back(frame);
        }
        queue.count(&self.total);
    }

    /// Ends the session because all outboxes together hold too much. Its frames are dropped at
    /// once, except one written in part. Returns whether it was open.
    pub fn evict(&self, closing: CloseReason) -> bool {
        let first = self.close(closing);
        if first {
            self.farewell([], true);
        }
        first
    }

    /// Writes what waits, as far as the transport takes it without blocking.
    ///
    /// # Errors
    /// Those of `write` other than `WouldBlock`, which is [`Drained::Blocked`].
    pub fn drain(
        &self,
        mut write: impl FnMut(&[IoSlice<'_>]) -> io::Result<usize>,
    ) -> io::Result<Drained> {
        let mut queue = self.lock();
        while !queue.frames.is_empty() {
            let mut slices = [IoSlice::new(&[]); SLICES];
            let mut count = 0;
            for (slice, frame) in slices.iter_mut().zip(&queue.frames) {
                *slice = IoSlice::new(frame);
                count += 1;
            }
            match write(slices.get(..count).unwrap_or_default()) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => queue.consume(written),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    queue.blocked = true;
                    queue.count(&self.total);
                    return Ok(Drained::Blocked);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        queue.scheduled = false;
        queue.blocked = false;
        queue.count(&self.total);
        queue.release();
        Ok(Drained::Empty)
    }

    /// Whether more than half of the bounds waits for a transport that takes no more.
    pub fn is_crowded(&self) -> bool {
        let queue = self.lock();
        queue.blocked && queue.exceeds(self.bounds, 2)
    }

    /// How full it is.
    pub fn pressure(&self) -> Pressure {
        let queue = self.lock();
        let waits = queue.closing.is_none() && queue.blocked && queue.exceeds(self.bounds, 4);
        Pressure { waits, written: queue.written }
    }

    /// The transport has taken nothing since it had taken `written` bytes: no source waits for it
    /// until it takes more.
    pub fn give_up(&self, written: u64) {
        self.lock().stalled = Some(written);
    }

    /// Whether the transport took no more at the last write, so that draining is to be resumed
    /// when it does.
    pub fn is_blocked(&self) -> bool {
        self.lock().blocked
    }

    /// Bytes that wait now.
    pub fn bytes(&self) -> usize {
        self.lock().bytes
    }

    /// Memory that it holds, about, while its transport takes no more; else 0.
    pub fn held_bytes(&self) -> usize {
        self.lock().counted
    }

    /// Whether all outboxes together hold more than they may.
    pub fn is_total_exceeded(&self) -> bool {
        self.total.is_exceeded()
    }

    /// Events that were dropped because they did not fit.
    pub fn dropped(&self) -> u64 {
        self.lock().dropped
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // A panic under the lock cannot leave the queue torn: each change is one statement.
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
        // A single frame larger than the bound still passes when nothing waits: the bound is
        // about readers that fall behind, and message sizes have a limit of their own.
        self.frames.is_empty()
            || (self.bytes + frame.len() <= bounds.bytes && self.frames.len() < bounds.frames)
    }

    /// Whether more than a share of the bounds waits.
    fn exceeds(&self, bounds: Bounds, share: usize) -> bool {
        self.bytes > bounds.bytes / share || self.frames.len() > bounds.frames / share
    }

    fn is_crowded(&self, bounds: Bounds) -> bool {
        self.blocked && self.exceeds(bounds, 2) && self.stalled != Some(self.written)
    }

    fn append(&mut self, frame: Bytes, total: &Total) -> PushOutcome {
        self.bytes += frame.len();
        self.frames.push_back(frame);
        self.count(total);
        if std::mem::replace(&mut self.scheduled, true) {
            PushOutcome::Queued
        } else {
            PushOutcome::Flush
        }
    }

    /// Brings the total up to date. Only a queue whose transport takes no more is counted: what is
    /// about to be written costs no access to memory that all threads share.
    fn count(&mut self, total: &Total) {
        let held =
            if self.blocked { self.bytes + self.frames.len() * FRAME_OVERHEAD_BYTES } else { 0 };
        if held != self.counted {
            total.replace(self.counted, held);
            self.counted = held;
        }
    }

    fn overflow(&mut self, bounds: Bounds) -> PushOutcome {
        self.closing = Some(CloseReason::slow_subscriber(bounds));
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

    /// Gives back the room that a burst took, so that an idle connection is small.
    fn release(&mut self) {
        if self.frames.capacity() > SLICES {
            self.frames = VecDeque::new();
        }
    }
}

#[cfg(test)]
mod tests;
