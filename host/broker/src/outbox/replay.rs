//! Events that a subscriber has missed, all of them or none.

use bytes::Bytes;

use super::{Outbox, PushOutcome};

impl Outbox {
    /// Queues an answer to the client's own request, and the events that belong to it. `None` if the
    /// events do not fit; nothing is queued then.
    pub(crate) fn reply_with_events(&self, answer: Bytes, events: &[Bytes]) -> Option<PushOutcome> {
        let mut queue = self.lock();
        if queue.closing.is_some() {
            return Some(PushOutcome::Closed);
        }
        let bounds = self.bounds.get();
        let bytes: usize = events.iter().map(Bytes::len).sum();
        let fits = queue.bytes + bytes <= bounds.bytes
            && queue.frames.len() + events.len() <= bounds.frames;
        if !fits && !events.is_empty() {
            return None;
        }
        queue.events += events.len() as u64;
        let mut pushed = queue.append(answer, &self.total);
        for event in events {
            // The first one says whether a flush is needed.
            if queue.append(event.clone(), &self.total) == PushOutcome::Flush {
                pushed = PushOutcome::Flush;
            }
        }
        Some(pushed)
    }
}
