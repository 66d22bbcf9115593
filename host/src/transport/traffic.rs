//! Traffic of connections by dialect: sums over the open connections and those that have ended.
//!
//! Each connection counts for itself, in its outbox and its socket, so that counting costs no access
//! to memory shared by connections. A scrape adds them up.

use std::array;

use jackfield_broker::OutboxTraffic;
use jackfield_wamp::dialect::Dialect;

/// Upper bounds of the waiting bytes of an outbox, for the histogram of a scrape.
pub(crate) const WAITING_BOUNDS: [(usize, &str); 6] = [
    (0, "0"),
    (1 << 10, "1024"),
    (16 << 10, "16384"),
    (256 << 10, "262144"),
    (1 << 20, "1048576"),
    (4 << 20, "4194304"),
];

/// Traffic of some connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Traffic {
    /// Events queued for clients.
    pub(crate) events: u64,
    /// Other messages queued for clients.
    pub(crate) others: u64,
    /// Events dropped because a client did not keep up.
    pub(crate) dropped: u64,
    /// Events replaced by newer ones because a client did not keep up.
    pub(crate) replaced: u64,
    /// Bytes of WebSocket frames written.
    pub(crate) written: u64,
    /// Bytes of WebSocket frames read.
    pub(crate) read: u64,
    /// Messages received.
    pub(crate) received: u64,
}

/// Traffic by [`Dialect::index`].
pub(crate) type TrafficByDialect = [Traffic; Dialect::COUNT];

/// The outboxes of the open connections: how many have at most so many waiting bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct OutboxSizes {
    counts: [u64; WAITING_BOUNDS.len() + 1],
    /// The waiting bytes of all.
    pub(crate) bytes: u64,
}

impl Traffic {
    /// The traffic of one connection.
    pub(super) fn of(outbox: OutboxTraffic, read: u64, received: u64) -> Self {
        let OutboxTraffic { events, messages, dropped, replaced, written, .. } = outbox;
        let others = messages.saturating_sub(events);
        Self { events, others, dropped, replaced, written, read, received }
    }

    fn zip(self, other: Self, with: impl Fn(u64, u64) -> u64) -> Self {
        Self {
            events: with(self.events, other.events),
            others: with(self.others, other.others),
            dropped: with(self.dropped, other.dropped),
            replaced: with(self.replaced, other.replaced),
            written: with(self.written, other.written),
            read: with(self.read, other.read),
            received: with(self.received, other.received),
        }
    }
}

/// Adds the traffic of one connection.
pub(super) fn add(sums: &mut TrafficByDialect, dialect: Dialect, more: Traffic) {
    if let Some(sum) = sums.get_mut(dialect.index()) {
        *sum = sum.zip(more, u64::saturating_add);
    }
}

/// Returns the greater numbers of both. A connection that is just ending is in neither sum for a
/// moment, and a counter must not fall.
pub(super) fn greatest(one: &TrafficByDialect, other: &TrafficByDialect) -> TrafficByDialect {
    let mut pairs = one.iter().zip(other);
    array::from_fn(|_| pairs.next().map_or_else(Traffic::default, |(a, b)| a.zip(*b, u64::max)))
}

impl OutboxSizes {
    pub(super) fn add(&mut self, waiting: usize) {
        let bucket = WAITING_BOUNDS.iter().position(|(bound, _)| waiting <= *bound);
        if let Some(count) = self.counts.get_mut(bucket.unwrap_or(WAITING_BOUNDS.len())) {
            *count += 1;
        }
        self.bytes = self.bytes.saturating_add(waiting as u64);
    }

    /// The number of outboxes.
    pub(crate) fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Each upper bound with the number of outboxes up to it; the last one has all.
    pub(crate) fn cumulative(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let bounds = WAITING_BOUNDS.iter().map(|(_, text)| *text).chain(["+Inf"]);
        let mut sum = 0;
        bounds.zip(self.counts).map(move |(bound, count)| {
            sum += count;
            (bound, sum)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outboxes_are_counted_by_their_waiting_bytes() {
        let mut sizes = OutboxSizes::default();
        for bytes in [0, 0, 1, 1_024, 5_000_000] {
            sizes.add(bytes);
        }
        let cumulative: Vec<_> = sizes.cumulative().collect();
        assert_eq!(cumulative[..3], [("0", 2), ("1024", 4), ("16384", 4)]);
        assert_eq!(cumulative[6], ("+Inf", 5));
        assert_eq!((sizes.count(), sizes.bytes), (5, 5_001_025));
    }

    #[test]
    fn sums_never_fall() {
        let mut before = TrafficByDialect::default();
        add(&mut before, Dialect::V1, Traffic { events: 3, written: 9, ..Traffic::default() });
        let mut now = TrafficByDialect::default();
        add(&mut now, Dialect::V1, Traffic { events: 2, read: 4, ..Traffic::default() });
        let expect = Traffic { events: 3, written: 9, read: 4, ..Traffic::default() };
        assert_eq!(greatest(&before, &now)[0], expect);
    }
}
