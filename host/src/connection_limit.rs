//! Admission control by number: a counter of `limits.connections` permits, a maximum for each
//! address, and a small reserve.
//!
//! A connection with a permit of the reserve gets HTTP answers, and a refusal for a WebSocket: at
//! the limits, health checks and the API still work, and clients get the reason of the refusal. The
//! server's own probe needs no permit, and is not counted.

use std::future::pending;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::client_counts::{ClientCounts, ClientPermit};
use crate::client_network::ClientNetwork;
use crate::provisional_places::{ProvisionalPlace, ProvisionalPlaces};

/// The maximum number of connections over the limit that get an answer.
pub(crate) const MAX_RESERVED: usize = 64;

/// The time for the request head of a connection in the reserve.
const MAX_RESERVED_HEAD_TIME: Duration = Duration::from_secs(1);

/// The permits of all connections. Cloning shares them.
#[derive(Clone)]
pub(crate) struct ConnectionLimit {
    ordinary: Arc<OrdinaryPlaces>,
    reserve: Arc<ProvisionalPlaces>,
    addresses: Arc<ClientCounts<ClientNetwork>>,
}

/// The places within the limit, which changes with the settings.
struct OrdinaryPlaces {
    limit: AtomicUsize,
    /// May exceed the limit after that was lowered: connections stay.
    used: AtomicUsize,
}

/// A place within the limit. Dropping it frees it for another.
struct OrdinaryPlace(Arc<OrdinaryPlaces>);

/// The permit of one connection. Dropping it frees it for another.
pub(crate) struct ConnectionPermit {
    place: Place,
    addresses: Arc<ClientCounts<ClientNetwork>>,
    /// The place among those of the client's address; `None` while the address is unknown. Held for
    /// an exchange.
    address: Mutex<Option<ClientPermit<ClientNetwork>>>,
}

/// The place of a connection among all.
enum Place {
    /// Within the limits.
    Ordinary { _place: OrdinaryPlace },
    /// Over a limit.
    Reserved(ProvisionalPlace, ReachedLimit),
    /// The server's own probe, which is not counted.
    Probe,
}

/// A limit that was reached before a connection, with its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReachedLimit {
    /// `limits.connections`, or the number that the limit of open files allows.
    Connections(usize),
    /// `limits.address_connections`.
    Address(usize),
}

impl ConnectionLimit {
    /// Creates the permits of all connections, with a maximum for each address.
    pub(crate) fn new(limit: usize, address_limit: usize) -> Self {
        Self {
            ordinary: Arc::new(OrdinaryPlaces {
                limit: AtomicUsize::new(limit),
                used: AtomicUsize::new(0),
            }),
            reserve: ProvisionalPlaces::new(MAX_RESERVED),
            addresses: ClientCounts::new(address_limit),
        }
    }

    /// Returns `limits.connections`, or the number that the limit of open files allows.
    pub(crate) fn limit(&self) -> usize {
        self.ordinary.limit.load(Ordering::Relaxed)
    }

    /// Replaces the limit of all connections. Those beyond it stay.
    pub(crate) fn set_limit(&self, limit: usize) {
        self.ordinary.limit.store(limit, Ordering::Relaxed);
    }

    /// Replaces the limit of each address. Connections beyond it stay.
    pub(crate) fn set_address_limit(&self, limit: usize) {
        self.addresses.set_limit(limit);
    }

    /// The number of connections, of the reserve too.
    pub(crate) fn used(&self) -> usize {
        self.ordinary.used.load(Ordering::Relaxed) + self.reserve.used()
    }

    /// Takes a permit, or one of the reserve; `None` if both are used up. `client` is unknown for a
    /// connection of a proxy.
    pub(crate) fn acquire(&self, client: Option<IpAddr>) -> Option<ConnectionPermit> {
        let address = match client.map(|client| self.addresses.acquire(ClientNetwork::of(client))) {
            Some(None) => {
                return self.reserved(ReachedLimit::Address(self.addresses.limit()));
            }
            Some(taken) => taken,
            None => None,
        };
        match OrdinaryPlace::take(&self.ordinary) {
            Ok(place) => Some(self.permit(Place::Ordinary { _place: place }, address)),
            // The permit of the address is given back.
            Err(limit) => self.reserved(ReachedLimit::Connections(limit)),
        }
    }

    /// The permit of the server's own probe, which takes no place of a client.
    pub(crate) fn of_probe(&self) -> ConnectionPermit {
        self.permit(Place::Probe, None)
    }

    fn reserved(&self, reached: ReachedLimit) -> Option<ConnectionPermit> {
        let place = self.reserve.take()?;
        Some(self.permit(Place::Reserved(place, reached), None))
    }

    fn permit(
        &self,
        place: Place,
        address: Option<ClientPermit<ClientNetwork>>,
    ) -> ConnectionPermit {
        let addresses = Arc::clone(&self.addresses);
        ConnectionPermit { place, addresses, address: Mutex::new(address) }
    }
}

impl OrdinaryPlace {
    /// Takes a place.
    ///
    /// # Errors
    /// The limit, if it is reached.
    fn take(places: &Arc<OrdinaryPlaces>) -> Result<Self, usize> {
        let limit = places.limit.load(Ordering::Relaxed);
        let next = |used: usize| (used < limit).then_some(used + 1);
        let taken = places.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
        taken.map(|_| Self(Arc::clone(places))).map_err(|_full| limit)
    }
}

impl Drop for OrdinaryPlace {
    fn drop(&mut self) {
        self.0.used.fetch_sub(1, Ordering::Relaxed);
    }
}

impl ConnectionPermit {
    /// Returns the limit that was reached before this connection, so that only HTTP is answered.
    pub(crate) const fn reached(&self) -> Option<ReachedLimit> {
        match &self.place {
            Place::Ordinary { .. } | Place::Probe => None,
            Place::Reserved(_, reached) => Some(*reached),
        }
    }

    /// The time for the request head: `time`, or less for a connection of the reserve.
    pub(crate) fn head_time(&self, time: Duration) -> Duration {
        match &self.place {
            Place::Ordinary { .. } | Place::Probe => time,
            Place::Reserved(..) => time.min(MAX_RESERVED_HEAD_TIME),
        }
    }

    /// Waits until another connection has the place of this one, which has sent no request yet.
    pub(crate) async fn evicted(&self) {
        match &self.place {
            Place::Ordinary { .. } | Place::Probe => pending().await,
            Place::Reserved(place, _) => place.evicted().await,
        }
    }

    /// Keeps the place to the end of the connection, whose request has been read. Returns whether it
    /// still has the place.
    pub(crate) fn keep(&self) -> bool {
        match &self.place {
            Place::Ordinary { .. } | Place::Probe => true,
            Place::Reserved(place, _) => place.keep(),
        }
    }

    /// Counts the connection for the client's address, which a proxy has told, unless it is counted
    /// already.
    ///
    /// # Errors
    /// [`ReachedLimit::Address`]
    pub(crate) fn count_address(&self, client: IpAddr) -> Result<(), ReachedLimit> {
        // Each exchange is one assignment.
        let mut address = self.address.lock().unwrap_or_else(PoisonError::into_inner);
        if address.is_none() {
            let taken = self.addresses.acquire(ClientNetwork::of(client));
            let limit = ReachedLimit::Address(self.addresses.limit());
            *address = Some(taken.ok_or(limit)?);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    #[tokio::test]
    async fn the_probe_takes_no_place_of_a_client() {
        let limit = ConnectionLimit::new(1, 1);
        let probe = limit.of_probe();
        let client = limit.acquire(Some(address(1))).unwrap();
        assert_eq!(client.reached(), None);
        assert_eq!(limit.used(), 1);
        let third = limit.acquire(Some(address(2))).unwrap();
        assert_eq!(third.reached(), Some(ReachedLimit::Connections(1)));
        drop((probe, client, third));
        assert_eq!(limit.used(), 0);
        assert_eq!(limit.acquire(Some(address(1))).unwrap().reached(), None);
    }

    #[tokio::test]
    async fn a_lowered_limit_refuses_new_connections_alone() {
        let limit = ConnectionLimit::new(3, 3);
        let mut open = Vec::from([1, 2, 3].map(|it| limit.acquire(Some(address(it)))));
        limit.set_limit(2);
        limit.set_address_limit(1);
        assert_eq!((limit.used(), limit.limit()), (3, 2));
        let reached = || limit.acquire(Some(address(4))).unwrap().reached();
        for _ in 0..2 {
            assert_eq!(reached(), Some(ReachedLimit::Connections(2)));
            open.pop();
        }
        assert_eq!(reached(), None);
        let second = limit.acquire(Some(address(1))).unwrap().reached();
        assert_eq!(second, Some(ReachedLimit::Address(1)));
        limit.set_limit(9);
        limit.set_address_limit(9);
        assert_eq!(limit.acquire(Some(address(1))).unwrap().reached(), None);
    }

    #[tokio::test]
    async fn an_address_at_its_limit_takes_no_place_of_others() {
        let limit = ConnectionLimit::new(3, 2);
        let own = [1, 1, 1].map(|it| limit.acquire(Some(address(it))).unwrap());
        let full = Some(ReachedLimit::Address(2));
        assert_eq!(own.each_ref().map(ConnectionPermit::reached), [None, None, full]);
        // Behind a proxy, the address is known later.
        let proxied = limit.acquire(None).unwrap();
        assert_eq!(proxied.count_address(address(1)), Err(ReachedLimit::Address(2)));
        proxied.count_address(address(2)).unwrap();
        drop(own);
        assert_eq!(limit.acquire(Some(address(1))).unwrap().reached(), None);
        assert_eq!(limit.used(), 1);
    }
}
