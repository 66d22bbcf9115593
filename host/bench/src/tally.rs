//! What is counted, and how long it took.

use hdrhistogram::Histogram;

use crate::failure::Failure;

/// What one thread has counted.
#[derive(Clone, Debug)]
pub(crate) struct Tally {
    pub(crate) counts: Counts,
    /// How long each thing that was done took, in nanoseconds.
    pub(crate) latency: Histogram<u64>,
    /// The same of unsubscriptions.
    pub(crate) other_latency: Histogram<u64>,
    /// How late what was due was sent: the generator's own part of the latency.
    pub(crate) lag: Histogram<u64>,
}

/// Numbers of things. What happens during the warm-up is in `seen` alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Asked for: publications; subscriptions and unsubscriptions together.
    pub(crate) asked: u64,
    /// Due at a fixed rate, and not sent, as it was too late.
    pub(crate) unsent: u64,
    /// Done: connections, acknowledgements, subscriptions, deliveries.
    pub(crate) done: u64,
    /// Unsubscriptions done.
    pub(crate) other: u64,
    /// Everything that was done, from the beginning of the run.
    pub(crate) seen: u64,
    /// When the last of `done` was, in nanoseconds of the run.
    pub(crate) last: u64,
    /// When the last of what is due at a fixed rate was sent, in nanoseconds of the run.
    pub(crate) sent: u64,
}

/// The longest time that is told apart from longer ones: an hour, in nanoseconds.
const MAX_BYTES: u64 = 3_600_000_000_000;

impl Tally {
    /// Three digits are exact, which is a thousandth: less than what two runs differ by.
    pub(crate) fn new() -> Result<Self, Failure> {
        let latency = Histogram::new_with_bounds(1, MAX_BYTES, 3)
            .map_err(|error| Failure::System("count", std::io::Error::other(error.to_string())))?;
        let (other_latency, lag) = (latency.clone(), latency.clone());
        Ok(Self { counts: Counts::default(), latency, other_latency, lag })
    }

    /// One thing was done, in so many nanoseconds.
    pub(crate) fn done(&mut self, now: u64, nanoseconds: u64) {
        self.counts.done += 1;
        self.counts.last = now;
        self.latency.saturating_record(nanoseconds);
    }

    /// Adds what another has counted.
    pub(crate) fn add(&mut self, other: &Self) {
        self.counts.add(&other.counts);
        for (mine, theirs) in [
            (&mut self.latency, &other.latency),
            (&mut self.other_latency, &other.other_latency),
            (&mut self.lag, &other.lag),
        ] {
            // They have the same bounds, so that nothing can fail to fit.
            let _fits = mine.add(theirs);
        }
    }
}

impl Counts {
    pub(crate) fn add(&mut self, other: &Self) {
        self.asked += other.asked;
        self.unsent += other.unsent;
        self.done += other.done;
        self.other += other.other;
        self.seen += other.seen;
        self.last = self.last.max(other.last);
        self.sent = self.sent.max(other.sent);
    }
}
