//! Outbox: the bounded queue between the broker and one connection, with back-pressure.
//!
//! Publishers push frames; the connection's transport drains them. A push never waits: a full
//! outbox closes its session or drops the event, as configured. Before that it reports
//! [`PushOutcome::Crowded`], and the publisher's connection is read more slowly. Replies to a
//! session's own requests never close it; its connection reads no further requests while too many
//! replies wait. A closed outbox accepts no more frames, so that the farewell is the last frame
//! that the client receives.

use std::io::{self, IoSlice};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::close_reason::CloseReason;
use crate::total::Total;

mod frame_limit;
mod latest;
mod queue;
mod replay;
mod shared_bounds;
mod sink;
mod traffic;

use queue::Queue;
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

/// Fill level of an outbox, for a source that waits for room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pressure {
    /// Whether more than a quarter of the bounds waits for a blocked transport. An outbox becomes
    /// crowded at half, so that a source waits seldom and long rather than often and briefly.
    pub waits: bool,
    /// Bytes written to the transport so far.
    pub written: u64,
}

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
        let (bounds, is_taken) = (self.bounds.get(), self.takes(frame.len()));
        if !is_taken || !queue.fits(&frame, bounds) {
            return match overflow {
                Overflow::Disconnect if is_taken => queue.overflow(bounds),
                Overflow::DropEvent | Overflow::Latest | Overflow::Disconnect => {
                    queue.dropped += 1;
                    PushOutcome::Dropped
                }
            };
        }
        queue.events += 1;
        let pushed = queue.append(frame, &self.total);
        // A policy that drops events needs no back-pressure.
        if overflow == Overflow::Disconnect && queue.is_crowded(bounds) {
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
            queue.closing = Some(Box::new(closing));
        }
        first
    }

    /// Returns the close reason, if the session is closing.
    pub fn closing(&self) -> Option<CloseReason> {
        self.lock().closing.as_deref().cloned()
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
            match queue.write(&mut sink) {
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

#[cfg(test)]
mod tests;
