//! Server state: the parts of a running server from which its health and its status are read.
//!
//! `server` builds one; [`crate::http`] and [`crate::control`] read it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jackfield_sandbox::{CallObservers, InstanceMemory, PluginStores};
use tokio::time::timeout;

use crate::cluster::ClusterNode;
use crate::ended::EndedSessions;
use crate::history_log::HistoryLog;
use crate::log::PluginLog;
use crate::rates::Rates;
use crate::readiness::{Probe, ProbeStatus};
use crate::realms::Realms;
use crate::reload::{ReloadCause, ReloadRecord, Reloader};
use crate::rollout::Rollout;
use crate::settings::{SettingsRecord, SettingsReloader};
use crate::shutdown::Shutdown;
use crate::trace::Traces;
use crate::transport::ConnectionTotals;

/// The time for which a reload of the site waits for that of the settings.
const MAX_SETTINGS_WAIT: Duration = Duration::from_secs(10);

/// The parts that have a state.
pub(crate) struct ServerState {
    pub(crate) reloader: Arc<Reloader>,
    pub(crate) settings: Arc<SettingsReloader>,
    pub(crate) rollout: Rollout,
    pub(crate) realms: Arc<Realms>,
    pub(crate) instance_memory: InstanceMemory,
    /// The observers of plugins' calls.
    pub(crate) observers: Arc<CallObservers>,
    pub(crate) stores: PluginStores,
    pub(crate) totals: Arc<ConnectionTotals>,
    pub(crate) rates: Rates,
    pub(crate) ended: Arc<EndedSessions>,
    pub(crate) traces: Arc<Traces>,
    /// The last log lines and faults of plugins.
    pub(crate) plugin_log: PluginLog,
    pub(crate) shutdown: Arc<Shutdown>,
    /// The server's own probe, if there is one.
    pub(crate) probe: Option<Arc<Probe>>,
    /// This node, in a cluster.
    pub(crate) cluster: Option<Arc<ClusterNode>>,
    /// The file of durable histories; `None` without a data folder, and in a cluster.
    pub(crate) history_log: Option<Arc<HistoryLog>>,
}

/// The phase of a server's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The first generation is not ready yet.
    Starting,
    Serving,
    /// The server is about to end. It goes on for a while, for load balancers (`shutdown.wait`).
    Stopping,
}

impl ServerState {
    /// Whether there is no generation yet that could serve.
    pub(crate) fn is_starting(&self) -> bool {
        self.reloader.generations().is_none()
    }

    pub(crate) fn phase(&self) -> Phase {
        if self.shutdown.is_announced() {
            Phase::Stopping
        } else if self.is_starting() {
            Phase::Starting
        } else {
            Phase::Serving
        }
    }

    /// Reads the settings again, and then the site, as new settings may change how it is served.
    /// Each is `None` if its result is not there in time, or no longer remembered.
    pub(crate) async fn reload(
        &self,
        cause: ReloadCause,
    ) -> (Option<Arc<SettingsRecord>>, Option<Arc<ReloadRecord>>) {
        // A file system that does not answer delays no change of the site for ever.
        let settings = self.settings.answer(self.settings.trigger(cause));
        let settings = timeout(MAX_SETTINGS_WAIT, settings).await.ok().flatten();
        let site = self.reloader.answer(self.reloader.trigger(cause)).await;
        (settings, site)
    }

    /// The state of the probe now, if there is one.
    pub(crate) fn probe_status(&self) -> Option<ProbeStatus> {
        self.probe.as_ref().map(|probe| probe.status(Instant::now()))
    }

    /// Returns whether clients are served.
    pub(crate) fn is_ready(&self) -> bool {
        let is_good = self.probe_status().is_none_or(|probe| probe.is_good());
        self.phase() == Phase::Serving && is_good && self.may_publish()
    }

    /// Whether clients may publish, as far as a cluster decides.
    pub(crate) fn may_publish(&self) -> bool {
        self.cluster.as_ref().is_none_or(|cluster| cluster.may_publish())
    }
}

impl Phase {
    /// A short name.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Serving => "serving",
            Self::Stopping => "stopping",
        }
    }
}
