//! Conflation: the newest event of a subscription replaces the older one that is still waiting, for
//! [`Overflow::Latest`](super::Overflow::Latest).
//!
//! The new event is queued last, so that events of one publisher keep their order across topics. Each
//! waiting event has the number of its frame; the place of a frame in the queue follows from it.

use bytes::Bytes;
use jackfield_wamp::id::SubscriptionId;

use super::queue::Queue;
use super::{Outbox, PushOutcome};

/// The waiting events of one outbox that newer ones may replace: at most one of each subscription.
#[derive(Debug, Default)]
pub(super) struct LatestEvents {
    waiting: Vec<Waiting>,
    /// Events replaced so far; their frames have no number any more.
    replaced: u64,
}

/// A waiting event.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    subscription: SubscriptionId,
    /// The number of frames that were queued before it, without replaced ones.
    number: u64,
    /// The events that it replaces.
    replaced: u64,
}

impl LatestEvents {
    /// Forgets all waiting events, because they are written.
    pub(super) fn clear(&mut self) {
        // Frees the memory of a burst.
        self.waiting = Vec::new();
    }

    /// Returns the number of replaced events.
    pub(super) const fn replaced(&self) -> u64 {
        self.replaced
    }
}

impl Outbox {
    /// Queues the newest event of a subscription. If the transport is blocked, it replaces an older one
    /// that is still waiting: `replacing` makes its frame, from the number of replaced events. It is not
    /// dropped: a client without the newest event is closed.
    pub(crate) fn push_latest(
        &self,
        subscription: SubscriptionId,
        frame: Bytes,
        replacing: impl FnOnce(u64) -> Option<Bytes>,
    ) -> PushOutcome {
        let mut queue = self.lock();
        if queue.closing.is_some() {
            return PushOutcome::Closed;
        }
        let replaced = queue.replace(subscription);
        let frame = if replaced == 0 { frame } else { replacing(replaced).unwrap_or(frame) };
        if !queue.fits(&frame, self.bounds.get()) {
            return queue.overflow(self.bounds.get());
        }
        queue.events += 1;
        let number = queue.messages - queue.latest.as_ref().map_or(0, |latest| latest.replaced);
        let pushed = queue.append(frame, &self.total);
        let waiting = Waiting { subscription, number, replaced };
        queue.latest.get_or_insert_default().waiting.push(waiting);
        pushed
    }
}

impl Queue {
    /// Removes the waiting event of a subscription, unless the transport keeps up or has begun to write
    /// it. Returns the number of events that the next one replaces.
    fn replace(&mut self, subscription: SubscriptionId) -> u64 {
        let Some(latest) = self.latest.as_deref_mut() else { return 0 };
        let first = (self.messages - latest.replaced).saturating_sub(self.frames.len() as u64);
        // Written events can be replaced no more.
        latest.waiting.retain(|it| it.number >= first);
        let place = latest.waiting.iter().position(|it| it.subscription == subscription);
        let Some(place) = place else { return 0 };
        // An older event that stays is no longer the newest.
        let old = latest.waiting.remove(place);
        let index = usize::try_from(old.number - first).unwrap_or(usize::MAX);
        if !self.blocked || (index == 0 && self.torn) {
            return 0;
        }
        let Some(frame) = self.frames.remove(index) else { return 0 };
        self.bytes -= frame.len();
        latest.replaced += 1;
        for later in &mut latest.waiting {
            later.number -= u64::from(later.number > old.number);
        }
        old.replaced + 1
    }
}
