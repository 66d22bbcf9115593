//! Lease: the right of one node to be the home of a plugin, for a bounded time.
//!
//! JetStream ends a lease some time after its last renewal. The holder counts from the moment at which it has sent
//! the last one that succeeded, which is earlier, and ends a margin before: so it stops before another node can
//! begin, whatever the network does. [`Lease`] is a pure state machine; [`HeldLease`] is what hooks ask.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tokio::sync::Notify;

/// The times of leases.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LeaseTimes {
    /// The time after which JetStream ends a lease without a renewal.
    pub(crate) ttl: Duration,
    /// The time before that at which its holder stops: for the clocks of the servers of NATS, each of which counts
    /// by its own, and for an answer that is on its way.
    pub(crate) margin: Duration,
    /// The time between two renewals.
    pub(crate) interval: Duration,
    /// The time after which a renewal that has failed is repeated.
    pub(crate) retry: Duration,
}

/// The times of a server. JetStream may need nine seconds to choose another leader.
pub(crate) const TIMES: LeaseTimes = LeaseTimes {
    ttl: Duration::from_secs(15),
    margin: Duration::from_secs(3),
    interval: Duration::from_secs(5),
    retry: Duration::from_secs(1),
};

/// A lease that this node has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lease {
    times: LeaseTimes,
    /// The place of the last renewal in the stream.
    last: u64,
    /// The time at which the last renewal that succeeded was sent.
    sent: Duration,
    /// The time of the next renewal.
    due: Duration,
}

/// The next step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Nothing, for this time.
    Wait(Duration),
    /// A renewal, behind this place.
    Renew(u64),
    /// The lease is over.
    Over,
}

impl Lease {
    /// A lease that was made or renewed at a place, by a message that was sent at a time.
    pub(crate) fn new(times: LeaseTimes, place: u64, sent: Duration) -> Self {
        Self { times, last: place, sent, due: sent + times.interval }
    }

    /// Returns the time from which this node must not decide.
    pub(crate) fn deadline(&self) -> Duration {
        self.sent + self.times.ttl.saturating_sub(self.times.margin)
    }

    /// Returns the place of the last renewal.
    pub(crate) const fn last(&self) -> u64 {
        self.last
    }

    /// Returns the next step.
    pub(crate) fn next(&self, now: Duration) -> Next {
        if now >= self.deadline() {
            Next::Over
        } else if now >= self.due {
            Next::Renew(self.last)
        } else {
            Next::Wait(self.due.min(self.deadline()).saturating_sub(now))
        }
    }

    /// A renewal that was sent at a time has succeeded.
    pub(crate) fn renewed(&mut self, place: u64, sent: Duration) {
        *self = Self::new(self.times, place, sent);
    }

    /// A renewal has failed, or has no answer.
    pub(crate) fn failed(&mut self, now: Duration) {
        self.due = now + self.times.retry;
    }

    /// An earlier renewal has succeeded, as is known now. It is not known which one, so the time does not count.
    pub(crate) fn found(&mut self, place: u64, now: Duration) {
        self.last = place;
        self.due = now;
    }
}

/// A lease as hooks see it.
#[derive(Debug)]
pub(crate) struct HeldLease {
    /// The place at which it was made: a later lease has a larger one.
    pub(crate) number: u64,
    /// The time from which it is over, in milliseconds of [`now`].
    until: AtomicU64,
    /// The hooks that run.
    hooks: AtomicUsize,
    given_up: Notify,
}

impl HeldLease {
    pub(crate) fn new(number: u64, until: Duration) -> Self {
        let until = AtomicU64::new(milliseconds(until));
        Self { number, until, hooks: AtomicUsize::new(0), given_up: Notify::new() }
    }

    /// Returns whether this node may decide now.
    pub(crate) fn is_valid(&self) -> bool {
        milliseconds(now()) < self.until.load(Ordering::SeqCst)
    }

    /// Sets the end, unless it has ended.
    pub(crate) fn extend(&self, until: Duration) {
        let extended = |now: u64| (now != 0).then(|| milliseconds(until));
        // Unchanged is ended.
        let _ended = self.until.fetch_update(Ordering::SeqCst, Ordering::SeqCst, extended);
    }

    /// Ends it. A renewal that is under way does not extend it any more.
    pub(crate) fn end(&self) {
        self.until.store(0, Ordering::SeqCst);
    }

    /// Ends it, and tells its keeper.
    pub(crate) fn give_up(&self) {
        self.end();
        self.given_up.notify_one();
    }

    /// Waits until it is given up.
    pub(crate) async fn until_given_up(&self) {
        self.given_up.notified().await;
    }

    pub(super) fn begin_hook(&self) {
        self.hooks.fetch_add(1, Ordering::SeqCst);
    }

    pub(super) fn end_hook(&self) {
        self.hooks.fetch_sub(1, Ordering::SeqCst);
    }

    /// Returns whether no hook runs.
    pub(crate) fn is_idle(&self) -> bool {
        self.hooks.load(Ordering::SeqCst) == 0
    }
}

/// The time by a clock that also counts while the machine sleeps.
pub(crate) fn now() -> Duration {
    let time = clock_gettime(ClockId::Boottime);
    let (seconds, nanos) =
        (time.tv_sec.try_into().unwrap_or(0), time.tv_nsec.try_into().unwrap_or(0));
    Duration::new(seconds, nanos)
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_lease_is_renewed_behind_its_last_place() {
        let mut lease = Lease::new(TIMES, 7, s(100));
        assert_eq!(lease.deadline(), s(112));
        assert_eq!(lease.next(s(100)), Next::Wait(s(5)));
        assert_eq!(lease.next(s(105)), Next::Renew(7));
        lease.renewed(9, s(105));
        assert_eq!((lease.next(s(106)), lease.deadline()), (Next::Wait(s(4)), s(117)));
    }

    #[test]
    fn the_deadline_counts_from_the_sending() {
        // The answer comes four seconds later: JetStream counts from some moment in between.
        let mut lease = Lease::new(TIMES, 7, s(100));
        lease.renewed(8, s(105));
        assert_eq!(lease.next(s(109)), Next::Wait(s(1)));
        assert_eq!(lease.deadline() + TIMES.margin, s(105) + TIMES.ttl);
    }

    #[test]
    fn a_holder_that_cannot_renew_stops_before_another_one_may_begin() {
        let mut lease = Lease::new(TIMES, 7, s(100));
        let (mut now, mut attempts) = (s(100), 0);
        loop {
            match lease.next(now) {
                Next::Over => break,
                Next::Wait(time) => now += time,
                Next::Renew(_) => {
                    attempts += 1;
                    lease.failed(now);
                }
            }
        }
        assert_eq!((now, attempts), (s(112), 7));
        // Also after a pause of the process, before anything else.
        assert_eq!(Lease::new(TIMES, 7, s(100)).next(s(500)), Next::Over);
    }

    #[test]
    fn a_renewal_that_was_found_later_gives_no_time() {
        let mut lease = Lease::new(TIMES, 7, s(100));
        lease.failed(s(106));
        lease.found(8, s(108));
        assert_eq!((lease.next(s(108)), lease.deadline()), (Next::Renew(8), s(112)));
    }

    #[test]
    fn a_held_lease_ends_by_itself() {
        let held = HeldLease::new(1, now() + s(60));
        assert!(held.is_valid());
        held.extend(now());
        assert!(!held.is_valid());
        held.extend(now() + s(60));
        assert!(held.is_valid());
        held.end();
        held.extend(now() + s(60));
        assert!(!held.is_valid());
        held.begin_hook();
        assert!(!held.is_idle());
        held.end_hook();
        assert!(held.is_idle());
    }
}
