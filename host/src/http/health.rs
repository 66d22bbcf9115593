//! `GET /health`: the state of the server, without secrets. The
//! port is open to browsers.

use std::sync::Arc;

use hyper::StatusCode;
use jackfield_sandbox::{CircuitStatus, Compiling, InstanceMemory};
use serde_json::{Value, json};

use super::response::Answer;
use crate::generation::PluginEntry;
use crate::realms::Realms;
use crate::reload::Reloader;
use crate::shutdown::Shutdown;
use crate::transport::ConnectionTotals;

/// Handlers whose circuit breakers are shown at most.
const MAX_SHOWN_CIRCUITS: usize = 50;

/// Where the state is read.
pub(crate) struct Health {
    pub(crate) reloader: Arc<Reloader>,
    pub(crate) realms: Arc<Realms>,
    pub(crate) instance_memory: InstanceMemory,
    pub(crate) totals: Arc<ConnectionTotals>,
    pub(crate) shutdown: Arc<Shutdown>,
}

impl Health {
    /// Whether there is no generation yet that could serve.
    pub(super) fn is_starting(&self) -> bool {
        self.reloader.generations().is_none()
    }

    pub(super) fn answer(&self) -> Answer {
        let state = self.reloader.state();
        let (status, phase) = if self.shutdown.is_requested() {
            (StatusCode::SERVICE_UNAVAILABLE, "stopping")
        } else if self.is_starting() {
            (StatusCode::OK, "starting")
        } else {
            (StatusCode::OK, "serving")
        };
        let compiling = self.reloader.compiling().into_iter().map(|it| {
            let Compiling { file, since } = it;
            json!({ "file": file, "seconds": since.elapsed().as_secs() })
        });
        let compiling: Vec<Value> = compiling.collect();
        let body = json!({
            "ok": status == StatusCode::OK,
            "status": phase,
            "generation": state.generation,
            "reload": if state.problems.is_empty() { "ok" } else { "failed" },
            "compiling": compiling,
            "sessions": self.realms.session_count(),
            "instance_memory": {
                "bytes": self.instance_memory.used(),
                "limit": self.instance_memory.limit(),
            },
            "circuit_breakers": self.circuit_breakers(),
            "waiting": {
                "bytes": self.totals.backlog.bytes(),
                "limit": self.totals.backlog.limit(),
            },
            "outboxes": {
                "bytes": self.totals.outboxes.bytes(),
                "limit": self.totals.outboxes.limit(),
            },
        });
        Answer::json(status, &body)
    }

    /// Handlers whose circuit breaker refuses calls, and how many circuits of each scope.
    fn circuit_breakers(&self) -> Vec<Value> {
        let generations = self.reloader.generations();
        let generation = generations.current();
        let circuits = generation.plugins().iter().flat_map(PluginEntry::circuits);
        let open = circuits.filter(CircuitStatus::is_open).take(MAX_SHOWN_CIRCUITS);
        open.map(|circuits| {
            json!({
                "plugin": circuits.plugin,
                "handler": circuits.handler,
                "state": circuits.state.label(),
                "open": {
                    "sessions": circuits.sessions,
                    "clients": circuits.clients,
                    "topics": circuits.topics,
                },
                "faults": circuits.faults,
            })
        })
        .collect()
    }
}
