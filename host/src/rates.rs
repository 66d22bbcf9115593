//! Rates of messages and bytes of all connections, from samples of their traffic.
//!
//! Connections count for themselves ([`ConnectionTotals::traffic`]), so nothing here is on the path of
//! a message.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::time::{MissedTickBehavior, interval};

use crate::transport::ConnectionTotals;

/// The interval of samples. Each visits all open connections.
const SAMPLE_INTERVAL: Duration = Duration::from_secs(2);
/// The number of samples: rates are those of the last ten seconds.
const MAX_SAMPLES: usize = 6;

/// Numbers of messages and bytes. Messages are those of WAMP, bytes those on the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct TrafficCounts {
    pub(crate) messages_in: u64,
    pub(crate) bytes_in: u64,
    pub(crate) messages_out: u64,
    pub(crate) bytes_out: u64,
}

/// Samples of the traffic of the last seconds.
pub(crate) struct Rates {
    totals: Arc<ConnectionTotals>,
    samples: Samples,
}

/// The samples. A std lock, held for one sample or one calculation.
#[derive(Debug, Default)]
struct Samples(Mutex<VecDeque<(Instant, TrafficCounts)>>);

/// Rates in messages and bytes a second, rounded down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RateView {
    /// The time that they are the average of.
    pub(crate) time: Duration,
    pub(crate) per_second: TrafficCounts,
}

impl Rates {
    pub(crate) fn new(totals: Arc<ConnectionTotals>) -> Self {
        Self { totals, samples: Samples::default() }
    }

    /// Takes samples for ever.
    pub(crate) async fn run(&self) {
        let mut ticks = interval(SAMPLE_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let counts = self.counts();
            self.samples.add(Instant::now(), counts);
        }
    }

    /// Returns the counts so far, and the rates of the last seconds.
    pub(crate) fn view(&self) -> (TrafficCounts, RateView) {
        let counts = self.counts();
        (counts, self.samples.rates(Instant::now(), counts))
    }

    fn counts(&self) -> TrafficCounts {
        let (by_dialect, _outboxes) = self.totals.traffic();
        by_dialect.iter().fold(TrafficCounts::default(), |sum, traffic| TrafficCounts {
            messages_in: sum.messages_in + traffic.received,
            bytes_in: sum.bytes_in + traffic.read,
            messages_out: sum.messages_out + traffic.events + traffic.others,
            bytes_out: sum.bytes_out + traffic.written,
        })
    }
}

impl Samples {
    fn add(&self, now: Instant, counts: TrafficCounts) {
        let mut samples = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if samples.len() >= MAX_SAMPLES {
            samples.pop_front();
        }
        samples.push_back((now, counts));
    }

    fn rates(&self, now: Instant, counts: TrafficCounts) -> RateView {
        let samples = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((then, before)) = samples.front() else { return RateView::default() };
        let time = now.saturating_duration_since(*then);
        let rate = |now: u64, before: u64| {
            let count = u128::from(now.saturating_sub(before)) * 1_000_000;
            count.checked_div(time.as_micros()).and_then(|it| u64::try_from(it).ok()).unwrap_or(0)
        };
        let per_second = TrafficCounts {
            messages_in: rate(counts.messages_in, before.messages_in),
            bytes_in: rate(counts.bytes_in, before.bytes_in),
            messages_out: rate(counts.messages_out, before.messages_out),
            bytes_out: rate(counts.bytes_out, before.bytes_out),
        };
        RateView { time, per_second }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_those_of_the_last_ten_seconds() {
        let samples = Samples::default();
        let start = Instant::now();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let counts = |messages_in| TrafficCounts { messages_in, ..TrafficCounts::default() };
        assert_eq!(samples.rates(start, counts(5)), RateView::default());
        for second in 0..20 {
            samples.add(at(second), counts(second * second));
        }
        // The oldest sample is that of second 14.
        let view = samples.rates(at(20), counts(400));
        assert_eq!(view.time, Duration::from_secs(6));
        assert_eq!(view.per_second, counts((400 - 14 * 14) / 6));
        // Without time, there is no rate.
        let fresh = Samples::default();
        fresh.add(start, counts(0));
        assert_eq!(fresh.rates(start, counts(9)).per_second, TrafficCounts::default());
    }
}
