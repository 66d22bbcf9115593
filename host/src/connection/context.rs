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

/// What a connection may reach.
pub(crate) struct Context {
    /// Who may connect, and as whom.
    pub(crate) admission: Arc<Admission>,
    /// Answers requests that ask for no WebSocket.
    pub(crate) http: Http,
    /// Where sessions join, and what decides their requests.
    pub(crate) realms: Arc<Realms>,
    /// WebSockets are refused before the first generation.
    pub(crate) generations: Arc<CurrentGeneration>,
    /// The memory that all connections hold together.
    pub(crate) totals: Arc<ConnectionTotals>,
    /// Connections without a session wait for it; sessions are closed by `server`.
    pub(crate) shutdown: Arc<Shutdown>,
    pub(crate) limits: Limits,
    pub(crate) keepalive: Keepalive,
    /// From connecting to the end of the handshake.
    pub(crate) handshake_timeout: Duration,
}
