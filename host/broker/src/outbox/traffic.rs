//! Numbers of an outbox, for metrics and operators.

use super::Outbox;

/// Numbers of an outbox since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutboxTraffic {
    /// Events queued.
    pub events: u64,
    /// Messages queued, events among them.
    pub messages: u64,
    /// Events dropped.
    pub dropped: u64,
    /// Events replaced by newer ones.
    pub replaced: u64,
    /// Bytes written to the transport.
    pub written: u64,
    /// Bytes that wait now.
    pub waiting: usize,
}

impl Outbox {
    /// Returns the numbers of messages and bytes so far.
    pub fn traffic(&self) -> OutboxTraffic {
        let queue = self.lock();
        OutboxTraffic {
            events: queue.events,
            messages: queue.messages,
            dropped: queue.dropped,
            replaced: queue.latest.as_ref().map_or(0, |latest| latest.replaced()),
            written: queue.written,
            waiting: queue.bytes,
        }
    }
}
