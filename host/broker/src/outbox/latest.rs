//! Conflation: the newest event of a subscription replaces the older one that is still waiting, for
//! [`Overflow::Latest`](super::Overflow::Latest).
//!
//! The new event is queued last, so that events of one publisher keep their order across topics. Each
//! waiting event has the number of its frame; the place of a frame in the queue follows from it.

use bytes::Bytes;
use jackfield_wamp::id::SubscriptionId;

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
pub(super) struct Waiting {
    subscription: SubscriptionId,
    /// The number of frames that were queued before it, without replaced ones.
    pub(super) number: u64,
    /// The events that it replaces.
    pub(super) replaced: u64,
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

    /// Takes the event of a subscription; `None` if it does not wait. Events whose frames come before the
    /// number `first` are written, and can be replaced no more.
    pub(super) fn take(&mut self, subscription: SubscriptionId, first: u64) -> Option<Waiting> {
        self.waiting.retain(|it| it.number >= first);
        let place = self.waiting.iter().position(|it| it.subscription == subscription)?;
        Some(self.waiting.remove(place))
    }

    /// Notes that the frame of an event is removed: those behind it move up.
    pub(super) fn note_removed(&mut self, removed: Waiting) {
        self.replaced += 1;
        for later in &mut self.waiting {
            later.number -= u64::from(later.number > removed.number);
        }
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
