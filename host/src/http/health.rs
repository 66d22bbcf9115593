//! Health checks, without secrets, because the port is open to browsers: `GET /health`, the state and
//! the counters of the server; `/livez`, whether the process answers; `/readyz`, whether clients are
//! served.

use std::sync::Arc;

use hyper::StatusCode;
use jackfield_sandbox::{CircuitStatus, Compiling};
use serde_json::{Value, json};

use super::response::Answer;
use crate::generation::PluginEntry;
use crate::server_state::{Phase, ServerState};

/// Handlers whose circuit breakers are shown at most.
const MAX_SHOWN_CIRCUITS: usize = 50;
/// Plugins whose recycled instances are shown at most.
const MAX_SHOWN_RECYCLED: usize = 50;
/// Plugins whose store cannot be saved that are shown at most.
const MAX_SHOWN_STORES: usize = 50;

/// The health check of a server in this state.
pub(crate) struct Health(pub(crate) Arc<ServerState>);

impl Health {
    /// Whether there is no generation yet that could serve.
    pub(super) fn is_starting(&self) -> bool {
        self.0.is_starting()
    }

    /// Answers `/livez`: an answer is all that it says.
    pub(crate) fn live() -> Answer {
        Answer::json(StatusCode::OK, &json!({ "live": true }))
    }

    /// Answers `/readyz`.
    pub(crate) fn ready(&self) -> Answer {
        let (phase, probe) = (self.0.phase(), self.0.probe_status());
        let is_ready = self.0.is_ready();
        let reason = match (phase, &probe) {
            (Phase::Starting, _) => Some("the first generation is not ready".to_owned()),
            (Phase::Stopping, _) => Some("the server is stopping".to_owned()),
            (Phase::Serving, Some(probe)) if probe.is_overdue => {
                Some("the probe does not come to an end".to_owned())
            }
            (Phase::Serving, Some(probe)) if !probe.is_good() => {
                Some(format!("the probe has failed {} times in a row", probe.failures))
            }
            (Phase::Serving, _) if !self.0.may_publish() => {
                Some("the other nodes of the cluster cannot be reached".to_owned())
            }
            (Phase::Serving, _) => None,
        };
        let probe = probe.map(|probe| {
            let error = probe.error.as_ref();
            json!({
                "failures": probe.failures,
                "seconds_ago": probe.age.map(|age| age.as_secs()),
                "took_ms": probe.took.map(|took| took.as_secs_f64() * 1e3),
                "step": error.map(|error| error.step.label()),
                "error": error.map(|error| error.reason.as_str()),
            })
        });
        let status = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        let body = json!({
            "ready": is_ready,
            "status": phase.label(),
            "reason": reason,
            "probe": probe,
        });
        Answer::json(status, &body)
    }

    pub(super) fn answer(&self) -> Answer {
        let ServerState { reloader, settings, realms, instance_memory, totals, .. } = &*self.0;
        let state = reloader.state();
        let phase = self.0.phase();
        let status = match phase {
            Phase::Starting | Phase::Serving => StatusCode::OK,
            Phase::Stopping => StatusCode::SERVICE_UNAVAILABLE,
        };
        let compiling = reloader.compiling().into_iter().map(|it| {
            let Compiling { file, since } = it;
            json!({ "file": file, "seconds": since.elapsed().as_secs() })
        });
        let compiling: Vec<Value> = compiling.collect();
        let body = json!({
            "ok": status == StatusCode::OK,
            "status": phase.label(),
            "generation": state.generation,
            "reload": if state.problems.is_empty() { "ok" } else { "failed" },
            "settings": if settings.state().problems.is_empty() { "ok" } else { "refused" },
            "compiling": compiling,
            "sessions": realms.session_count(),
            "instance_memory": {
                "bytes": instance_memory.used(),
                "limit": instance_memory.limit(),
            },
            "recycled_instances": self.recycled_instances(),
            "circuit_breakers": self.circuit_breakers(),
            "failed_stores": self.failed_stores(),
            // Reasons may name folders: the log and `jackfield status` have them.
            "histories": if self.has_failed_histories() { "failed" } else { "ok" },
            "waiting": {
                "bytes": totals.backlog.bytes(),
                "limit": totals.backlog.limit(),
            },
            "outboxes": {
                "bytes": totals.outboxes.bytes(),
                "limit": totals.outboxes.limit(),
            },
        });
        Answer::json(status, &body)
    }

    /// Plugins whose instances were replaced because they had grown.
    fn recycled_instances(&self) -> Vec<Value> {
        let generations = self.0.reloader.generations();
        let generation = generations.current();
        let plugins = generation.plugins().iter().filter(|plugin| plugin.recycled() > 0);
        plugins
            .take(MAX_SHOWN_RECYCLED)
            .map(|plugin| json!({ "plugin": plugin.manifest().name, "count": plugin.recycled() }))
            .collect()
    }

    /// Plugins whose handlers are on hold because their store cannot be saved.
    fn failed_stores(&self) -> Vec<Value> {
        let generations = self.0.reloader.generations();
        let generation = generations.current();
        let failed = |plugin: &PluginEntry| {
            plugin.store_failure().map(|_| json!({ "plugin": plugin.manifest().name }))
        };
        generation.plugins().iter().filter_map(failed).take(MAX_SHOWN_STORES).collect()
    }

    /// Whether durable histories cannot be saved, or begin anew at the next start.
    fn has_failed_histories(&self) -> bool {
        self.0.history_log.as_ref().is_some_and(|log| log.failure().is_some())
    }

    /// Handlers whose circuit breaker refuses calls, and how many circuits of each scope.
    fn circuit_breakers(&self) -> Vec<Value> {
        let generations = self.0.reloader.generations();
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
