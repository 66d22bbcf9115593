//! Rate limit of new WebSockets: of all clients together, and of each address. The generic cell rate
//! algorithm: a token bucket whose state is one moment, the one at which it is full again.
//!
//! The rates are applied before credentials are verified, so that a storm of clients costs no look-ups
//! of users. The table of addresses is bounded: full buckets are removed, and then addresses share one.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jackfield_config::{Limits, Rate};

use crate::client_network::ClientNetwork;

/// The maximum number of addresses with a bucket of their own: 6 MiB. The others share one, until
/// buckets are full again.
const MAX_ADDRESSES: usize = 65_536;

/// The time between two searches for full buckets when the table is full: each looks at all of it.
const SEARCH_INTERVAL: Duration = Duration::from_secs(1);

/// The rates of new WebSockets.
#[derive(Debug)]
pub(crate) struct ConnectionRate {
    all: Option<(Pace, Mutex<Instant>)>,
    by_address: Option<(Pace, Mutex<Buckets>)>,
}

/// A rate that is exceeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ExceededRate {
    /// The one of all clients.
    All,
    /// The one of the client's address.
    Address,
}

/// A rate, as the time of one token and of all but one.
#[derive(Clone, Copy, Debug)]
struct Pace {
    interval: Duration,
    tolerance: Duration,
}

/// The buckets of addresses, each as the moment at which it is full.
#[derive(Debug)]
struct Buckets {
    full_at: HashMap<ClientNetwork, Instant>,
    /// The bucket of all addresses that have none of their own.
    shared: Instant,
    searched: Instant,
}

impl ConnectionRate {
    /// Creates full buckets.
    pub(crate) fn new(limits: &Limits, now: Instant) -> Self {
        let buckets = Buckets { full_at: HashMap::new(), shared: now, searched: now };
        Self {
            all: limits.connection_rate.map(|rate| (Pace::of(rate), Mutex::new(now))),
            by_address: limits
                .address_connection_rate
                .map(|rate| (Pace::of(rate), Mutex::new(buckets))),
        }
    }

    /// Takes a token of the client's address and one of all clients.
    ///
    /// # Errors
    /// The rate that is exceeded. An address above its own rate takes no token of the others.
    pub(crate) fn take(&self, client: IpAddr, now: Instant) -> Result<(), ExceededRate> {
        if let Some((pace, buckets)) = &self.by_address
            && !lock(buckets).take(*pace, ClientNetwork::of(client), now)
        {
            return Err(ExceededRate::Address);
        }
        match &self.all {
            Some((pace, full_at)) if !pace.take(&mut lock(full_at), now) => Err(ExceededRate::All),
            Some(_) | None => Ok(()),
        }
    }
}

impl Pace {
    fn of(Rate { per_second, burst }: Rate) -> Self {
        let interval = Duration::from_secs(1) / per_second.get();
        Self { interval, tolerance: interval.saturating_mul(burst.get() - 1) }
    }

    /// Takes a token, if there is one.
    fn take(self, full_at: &mut Instant, now: Instant) -> bool {
        let from = (*full_at).max(now);
        let is_within = from - now <= self.tolerance;
        if is_within {
            *full_at = from + self.interval;
        }
        is_within
    }
}

impl Buckets {
    fn take(&mut self, pace: Pace, client: ClientNetwork, now: Instant) -> bool {
        let is_full = self.full_at.len() >= MAX_ADDRESSES;
        if is_full && now.saturating_duration_since(self.searched) >= SEARCH_INTERVAL {
            self.searched = now;
            self.full_at.retain(|_, full_at| *full_at > now);
        }
        if self.full_at.len() < MAX_ADDRESSES {
            pace.take(self.full_at.entry(client).or_insert(now), now)
        } else {
            pace.take(self.full_at.get_mut(&client).unwrap_or(&mut self.shared), now)
        }
    }
}

fn lock<T>(state: &Mutex<T>) -> MutexGuard<'_, T> {
    // Each change is one statement.
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::num::NonZeroU32;

    use super::*;

    fn rate(per_second: u32, burst: u32) -> Rate {
        let count = |count| NonZeroU32::new(count).unwrap();
        Rate { per_second: count(per_second), burst: count(burst) }
    }

    fn address(number: u32) -> IpAddr {
        Ipv4Addr::from(number).into()
    }

    #[test]
    fn admits_a_burst_and_then_the_rate() {
        let now = Instant::now();
        let address_connection_rate = Some(rate(10, 3));
        let limits = Limits { address_connection_rate, connection_rate: None, ..Limits::default() };
        let limit = ConnectionRate::new(&limits, now);
        let take = |number, milliseconds| {
            limit.take(address(number), now + Duration::from_millis(milliseconds))
        };
        for _ in 0..3 {
            take(1, 0).unwrap();
        }
        assert_eq!(take(1, 99), Err(ExceededRate::Address));
        take(2, 99).unwrap();
        take(1, 100).unwrap();
        assert_eq!(take(1, 100), Err(ExceededRate::Address));
        // After a pause there is a burst again, and no more.
        for _ in 0..3 {
            take(1, 60_000).unwrap();
        }
        assert_eq!(take(1, 60_000), Err(ExceededRate::Address));
    }

    #[test]
    fn an_address_above_its_rate_takes_nothing_from_others() {
        let now = Instant::now();
        let (connection_rate, address_connection_rate) = (Some(rate(1, 4)), Some(rate(1, 2)));
        let limits = Limits { connection_rate, address_connection_rate, ..Limits::default() };
        let limit = ConnectionRate::new(&limits, now);
        for expect in [Ok(()), Ok(()), Err(ExceededRate::Address), Err(ExceededRate::Address)] {
            assert_eq!(limit.take(address(1), now), expect);
        }
        for (number, expect) in [(2, Ok(())), (3, Ok(())), (4, Err(ExceededRate::All))] {
            assert_eq!(limit.take(address(number), now), expect);
        }
    }

    #[test]
    fn bounds_the_number_of_addresses() {
        let now = Instant::now();
        let (connection_rate, address_connection_rate) = (None, Some(rate(1, 2)));
        let limits = Limits { connection_rate, address_connection_rate, ..Limits::default() };
        let limit = ConnectionRate::new(&limits, now);
        let max = u32::try_from(MAX_ADDRESSES).unwrap();
        for number in 0..max {
            limit.take(address(number), now).unwrap();
        }
        // Further addresses share a bucket; the known ones keep theirs.
        for expect in [Ok(()), Ok(()), Err(ExceededRate::Address)] {
            assert_eq!(limit.take(address(max), now), expect);
        }
        assert_eq!(limit.take(address(max + 1), now), Err(ExceededRate::Address));
        limit.take(address(0), now).unwrap();
        let later = now + Duration::from_secs(3);
        limit.take(address(max), later).unwrap();
        let (_, buckets) = limit.by_address.as_ref().unwrap();
        assert_eq!(lock(buckets).full_at.len(), 1);
    }
}
