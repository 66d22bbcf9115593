//! Server state: the parts of a running server from which its health and its status are read.
//!
//! `server` builds one; [`crate::http`] and [`crate::control`] read it.

use std::sync::Arc;

use jackfield_sandbox::{CallObservers, InstanceMemory, StoreBackup};

use crate::realms::Realms;
use crate::reload::Reloader;
use crate::rollout::Rollout;
use crate::shutdown::Shutdown;
use crate::transport::ConnectionTotals;

/// The parts that have a state.
pub(crate) struct ServerState {
    pub(crate) reloader: Arc<Reloader>,
    pub(crate) rollout: Rollout,
    pub(crate) realms: Arc<Realms>,
    pub(crate) instance_memory: InstanceMemory,
    /// The observers of plugins' calls.
    pub(crate) observers: Arc<CallObservers>,
    pub(crate) store_backup: StoreBackup,
    pub(crate) totals: Arc<ConnectionTotals>,
    pub(crate) shutdown: Arc<Shutdown>,
}

/// The phase of a server's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The first generation is not ready yet.
    Starting,
    Serving,
    /// No new connections are accepted.
    Stopping,
}

impl ServerState {
    /// Whether there is no generation yet that could serve.
    pub(crate) fn is_starting(&self) -> bool {
        self.reloader.generations().is_none()
    }

    pub(crate) fn phase(&self) -> Phase {
        if self.shutdown.is_requested() {
            Phase::Stopping
        } else if self.is_starting() {
            Phase::Starting
        } else {
            Phase::Serving
        }
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
