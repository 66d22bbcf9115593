//! Counters and latency histograms.

use hdrhistogram::Histogram;

use crate::error::BenchError;

/// Counters of one thread.
#[derive(Clone, Debug)]
pub(crate) struct Tally {
    pub(crate) counts: Counts,
    /// Latency of each completed operation, in nanoseconds.
    pub(crate) latency: Histogram<u64>,
    /// Latency of unsubscriptions, in nanoseconds.
    pub(crate) other_latency: Histogram<u64>,
    /// Lag of sends behind their due time, in nanoseconds: the generator's own part of the latency.
    pub(crate) lag: Histogram<u64>,
}

/// Counters. The warm-up counts in `seen` only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Requests sent; subscriptions and unsubscriptions together.
    pub(crate) requested: u64,
    /// Requests that were due at a fixed rate, and not sent before the deadline.
    pub(crate) unsent: u64,
    /// Completed operations: connections, acknowledgements, subscriptions, deliveries.
    pub(crate) done: u64,
    /// Completed unsubscriptions.
    pub(crate) other: u64,
    /// All completed operations, from the beginning of the run.
    pub(crate) seen: u64,
    /// Bytes received, those of TLS without its records, from the beginning of the run.
    pub(crate) received: u64,
    /// Time of the last of `done`, in nanoseconds of the run.
    pub(crate) last: u64,
    /// Time of the last send at a fixed rate, in nanoseconds of the run.
    pub(crate) sent: u64,
}

/// Largest recorded latency: an hour, in nanoseconds.
const MAX_LATENCY_NS: u64 = 3_600_000_000_000;

impl Tally {
    /// Creates an empty tally. Histograms keep three significant digits, finer than the difference
    /// between two runs.
    pub(crate) fn new() -> Result<Self, BenchError> {
        let latency = Histogram::new_with_bounds(1, MAX_LATENCY_NS, 3).map_err(|error| {
            BenchError::System("count", std::io::Error::other(error.to_string()))
        })?;
        let (other_latency, lag) = (latency.clone(), latency.clone());
        Ok(Self { counts: Counts::default(), latency, other_latency, lag })
    }

    /// Records a completed operation and its latency.
    pub(crate) fn done(&mut self, now: u64, nanoseconds: u64) {
        self.counts.done += 1;
        self.counts.last = now;
        self.latency.saturating_record(nanoseconds);
    }

    /// Adds another tally.
    pub(crate) fn add(&mut self, other: &Self) {
        self.counts.add(&other.counts);
        for (mine, theirs) in [
            (&mut self.latency, &other.latency),
            (&mut self.other_latency, &other.other_latency),
            (&mut self.lag, &other.lag),
        ] {
            // Both have the same bounds, so that this cannot fail.
            let _fits = mine.add(theirs);
        }
    }
}

impl Counts {
    pub(crate) fn add(&mut self, other: &Self) {
        self.requested += other.requested;
        self.unsent += other.unsent;
        self.done += other.done;
        self.other += other.other;
        self.seen += other.seen;
        self.received += other.received;
        self.last = self.last.max(other.last);
        self.sent = self.sent.max(other.sent);
    }
}
