//! Context of connections: the complete list of the parts that a connection may reach.
//!
//! `server` builds one, and all connections share it.

use std::sync::Arc;
use std::time::Duration;

use jackfield_config::{Keepalive, Limits};

use crate::admission::Admission;
use crate::generation::CurrentGeneration;
use crate::http::Http;
use crate::realms::Realms;
use crate::shutdown::Shutdown;
use crate::transport::ConnectionTotals;

/// The parts that a connection may reach.
pub(crate) struct Context {
    /// The access rules and the verifiers of credentials.
    pub(crate) admission: Arc<Admission>,
    /// Answers requests other than WebSocket upgrades.
    pub(crate) http: Http,
    /// The realms that sessions join, and whose dispatch handles their requests.
    pub(crate) realms: Arc<Realms>,
    /// WebSockets are refused before the first generation.
    pub(crate) generations: Arc<CurrentGeneration>,
    /// The memory of all connections together.
    pub(crate) totals: Arc<ConnectionTotals>,
    /// Connections without a session wait for it; `server` closes sessions.
    pub(crate) shutdown: Arc<Shutdown>,
    pub(crate) limits: Limits,
    pub(crate) keepalive: Keepalive,
    /// The maximum time from connecting to the end of the handshake.
    pub(crate) handshake_timeout: Duration,
}
