//! Limits of new connections: of all, of an address, of a user, and of those in a second. Each has its
//! outcome for the metrics, its answer to the client, and its line of the log.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;
use jackfield_auth::Authenticated;
use jackfield_config::{Config, Limits, Rate};
use tracing::warn;

use super::DisconnectReason;
use crate::client_counts::{ClientCounts, ClientPermit};
use crate::connection_limit::{ConnectionPermit, ReachedLimit};
use crate::connection_rate::{ConnectionRate, ExceededRate};
use crate::handshake::Refusal;
use crate::metrics::ConnectionOutcome;

/// The limits of new connections that are known after their request. [`crate::connection_limit`] has
/// those that are known before.
pub(crate) struct NewConnections {
    /// Changes with the settings; new buckets are full.
    rate: ArcSwap<ConnectionRate>,
    users: Arc<ClientCounts<String>>,
}

/// The place of a connection among those of its user. None for a connection without a user, and for one
/// of the application itself.
pub(super) type UserPlace = Option<ClientPermit<String>>;

/// A limit that a new connection exceeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exceeded {
    Reached(ReachedLimit),
    User(usize),
    Rate(ExceededRate),
}

impl NewConnections {
    /// Creates the limits, with no connection counted.
    pub(crate) fn new(limits: &Limits) -> Self {
        let rate = ConnectionRate::new(limits, Instant::now());
        let users = ClientCounts::new(limits.user_connections);
        Self { rate: ArcSwap::from_pointee(rate), users }
    }

    /// Follows changed limits.
    pub(crate) fn follow(&self, before: &Limits, limits: &Limits) {
        self.users.set_limit(limits.user_connections);
        let rates = |limits: &Limits| (limits.connection_rate, limits.address_connection_rate);
        if rates(before) != rates(limits) {
            self.rate.store(Arc::new(ConnectionRate::new(limits, Instant::now())));
        }
    }

    /// Checks the limits of the client's address, and the rates.
    pub(super) fn check(&self, client: IpAddr, permit: &ConnectionPermit) -> Result<(), Exceeded> {
        permit.count_address(client).map_err(Exceeded::Reached)?;
        self.rate.load().take(client, Instant::now()).map_err(Exceeded::Rate)
    }

    /// Takes a place among the connections of the user, if there is one. The application itself has no
    /// limit.
    pub(super) fn place(&self, who: Option<&Authenticated>) -> Result<UserPlace, Exceeded> {
        let is_backend = |who: &Authenticated| who.roles.iter().any(|it| it == Config::BACKEND);
        match who.filter(|who| !who.is_anonymous() && !is_backend(who)) {
            None => Ok(None),
            Some(who) => {
                let place = self.users.acquire(who.username.clone());
                place.map(Some).ok_or(Exceeded::User(self.users.limit()))
            }
        }
    }
}

impl Exceeded {
    pub(super) const fn outcome(self) -> ConnectionOutcome {
        match self {
            Self::Reached(ReachedLimit::Connections(_)) => ConnectionOutcome::Limit,
            Self::Reached(ReachedLimit::Address(_)) => ConnectionOutcome::AddressLimit,
            Self::User(_) => ConnectionOutcome::UserLimit,
            Self::Rate(ExceededRate::All) => ConnectionOutcome::Rate,
            Self::Rate(ExceededRate::Address) => ConnectionOutcome::AddressRate,
        }
    }

    /// The answer to the request for a WebSocket.
    pub(super) fn refusal(self) -> Refusal {
        match self {
            Self::Reached(ReachedLimit::Connections(_)) => Refusal::full(),
            Self::Reached(ReachedLimit::Address(_)) => Refusal::address_full(),
            Self::User(_) => Refusal::user_full(),
            Self::Rate(_) => Refusal::too_fast(),
        }
    }

    /// The sentence about a refused session, which is not refused before the WebSocket.
    pub(super) fn message(self) -> String {
        self.refusal().message
    }

    /// Logs the refusal for the operator. Behind a proxy, the span of the connection has the client.
    pub(super) fn log(self, limits: &Limits) -> DisconnectReason {
        let per_second = |rate: Option<Rate>| rate.map_or(0, |rate| rate.per_second.get());
        match self {
            Self::Reached(ReachedLimit::Connections(limit)) => {
                warn!(name: "connection.limit", "maximum connections reached (limits.connections = {limit}); answered 503");
            }
            Self::Reached(ReachedLimit::Address(limit)) => {
                warn!(name: "connection.address_limit", "maximum connections of one address reached (limits.address_connections = {limit}); answered 429; help: if it is the address of a proxy, list it in access.proxies");
            }
            Self::User(limit) => {
                warn!(name: "connection.user_limit", "maximum connections of one user reached (limits.user_connections = {limit})");
            }
            Self::Rate(ExceededRate::All) => {
                let rate = per_second(limits.connection_rate);
                warn!(name: "connection.rate", "too many new WebSockets (limits.connection_rate.per_second = {rate}); answered 503");
            }
            Self::Rate(ExceededRate::Address) => {
                let rate = per_second(limits.address_connection_rate);
                warn!(name: "connection.address_rate", "too many new WebSockets of one address (limits.address_connection_rate.per_second = {rate}); answered 503; help: if it is the address of a proxy, list it in access.proxies");
            }
        }
        DisconnectReason::Handshake("a limit of new connections is reached".to_owned())
    }
}
