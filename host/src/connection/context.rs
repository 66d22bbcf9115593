//! Context of connections: the complete list of the parts that a connection may reach.
//!
//! `server` builds one, and all connections share it.

use std::net::SocketAddr;
use std::sync::Arc;

use super::{LiveSettings, NewConnections};
use crate::admission::Admission;
use crate::ended::EndedSessions;
use crate::generation::CurrentGeneration;
use crate::http::Http;
use crate::metrics::ConnectionMetrics;
use crate::readiness::Probe;
use crate::realms::Realms;
use crate::shutdown::Shutdown;
use crate::transport::ConnectionTotals;

/// The parts that a connection may reach.
pub(crate) struct Context {
    /// The access rules and the verifiers of credentials.
    pub(crate) admission: Arc<Admission>,
    /// Answers requests other than WebSocket upgrades.
    pub(crate) http: Arc<Http>,
    /// The realms that sessions join, and whose dispatch handles their requests.
    pub(crate) realms: Arc<Realms>,
    /// WebSockets are refused before the first generation.
    pub(crate) generations: Arc<CurrentGeneration>,
    /// The memory of all connections together.
    pub(crate) totals: Arc<ConnectionTotals>,
    pub(crate) metrics: Arc<ConnectionMetrics>,
    /// The sessions that have ended.
    pub(crate) ended: Arc<EndedSessions>,
    /// Connections without a session wait for it; `server` closes sessions.
    pub(crate) shutdown: Arc<Shutdown>,
    /// The limits of new connections.
    pub(crate) new_connections: NewConnections,
    /// The settings that change while connections are open.
    pub(crate) settings: Arc<LiveSettings>,
    /// The admission of the server's own probe, if there is one.
    pub(crate) probe: Option<ProbeAdmission>,
}

/// The admission of the server's own probe: its path and address, and the parts that its connections may reach
/// instead of those of clients. Nothing of it is counted among clients.
pub(crate) struct ProbeAdmission {
    probe: Arc<Probe>,
    context: Arc<Context>,
}

impl Context {
    /// Admits the server's own probe.
    pub(crate) fn admit_probe(&mut self, probe: Arc<Probe>) {
        self.probe = Some(ProbeAdmission { probe, context: Arc::new(self.probe_context()) });
    }

    /// Whether a connection from this address is that of the server's own probe.
    pub(crate) fn is_probe(&self, peer: SocketAddr) -> bool {
        self.probe.as_ref().is_some_and(|it| it.probe.connects_from(peer))
    }

    /// The context of the probe, with a realm and counters of its own.
    fn probe_context(&self) -> Self {
        let generations = Arc::clone(&self.generations);
        let limits = self.settings.current().limits;
        Self {
            admission: Arc::clone(&self.admission),
            http: Arc::clone(&self.http),
            realms: Arc::new(Realms::of_probe(limits, &generations)),
            generations,
            totals: ConnectionTotals::new(&limits),
            metrics: Arc::default(),
            ended: Arc::default(),
            shutdown: Arc::clone(&self.shutdown),
            new_connections: NewConnections::new(&limits),
            settings: Arc::clone(&self.settings),
            probe: None,
        }
    }

    /// The context for a WebSocket at this path, if it is the probe's.
    pub(super) fn for_probe(&self, path: &str) -> Option<Arc<Self>> {
        let probe = self.probe.as_ref().filter(|it| it.probe.admits(path))?;
        Some(Arc::clone(&probe.context))
    }
}
