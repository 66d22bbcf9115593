//! `GET` and `POST /v1/shadow`, `POST /v1/shadow/stop`: new versions behind the one in service.

use std::sync::Arc;
use std::time::Duration;

use hyper::StatusCode;
use jackfield_text::Untrusted;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Context;
use super::audit::{Caller, Subject};
use super::candidates::{named, source};
use super::plugin_lookup::find_plugin;
use super::problem::Problem;
use super::result::{Changed, StopRequest, VersionChange, sha256};
use crate::http::response::Answer;
use crate::server_state::ServerState;
use crate::shadow::{Costs, FailedShadow, Shadow, ShadowReport, WantedShadow};
use crate::timestamp::time;

/// The maximum size of the reason why a shadow does not run.
const MAX_REASON_BYTES: usize = 4 * 1024;

/// The body of a request to place a shadow.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ShadowRequest {
    plugin: String,
    file: String,
    wait_seconds: Option<u64>,
}

/// Shows the shadow of the plugin that the query names.
pub(super) fn page(context: &Context, query: Option<&str>) -> Result<Answer, Problem> {
    let plugin = named(query)?;
    let state = &context.state;
    let generations = state.reloader.generations();
    let generation = generations.current();
    let entry = find_plugin(&generation, &plugin)?;
    let shadows = state.rollout.shadows();
    let shadow = shadows.of(&plugin);
    let failed = shadows.failed(&plugin);
    let wanted = shadows.wanted(entry);
    let is_loading = shadow.is_none() && failed.is_none() && wanted.is_some();
    let body = json!({
        "plugin": plugin,
        "shadow": shadow.map(|it| shown(&it)),
        "failed": failed.map(|it| shown_failure(&it)),
        "loading": is_loading,
        "survives_restart": state.reloader.versions().survives(),
        "save_error": state.reloader.versions().unsaved(),
    });
    Ok(Answer::json(StatusCode::OK, &body))
}

fn shown(shadow: &Shadow) -> Value {
    let WantedShadow { digest, source, is_file_of_site, beside } = &shadow.wanted;
    let report = shadow.report();
    let differences = report.differences.iter().map(|(kind, it)| {
        json!({
            "kind": kind,
            "calls": it.calls,
            "example": {
                "at": time(it.example.at),
                "topic": it.example.topic,
                "diff": it.example.diff,
            },
        })
    });
    let left_out = report.left_out;
    json!({
        "digest": sha256(digest),
        "version": shadow.version(),
        "schema": shadow.schema(),
        "source": source,
        "from": if *is_file_of_site { "site" } else { "command" },
        "since": time(shadow.since),
        "beside": sha256(beside),
        "stateless": shadow.is_stateless(),
        "queued": shadow.queued(),
        "compared": report.compared,
        "differing": report.differing,
        "faults": report.faults,
        "unanswered": report.unanswered,
        "left_out": {
            "queue": left_out.queue,
            "size": left_out.size,
            "store": left_out.store,
            "breaker": left_out.breaker,
            "start": left_out.start,
            "answer": left_out.answer,
        },
        "cost": { "serving": costs(&report.serving), "shadow": costs(&report.shadow) },
        "differences": differences.collect::<Vec<_>>(),
        "unlisted": report.unlisted,
        "notes": notes(shadow, &report),
        "error": report.error.as_ref().map(|error| reason(error)),
    })
}

/// What the reader of the counts has to know.
fn notes(shadow: &Shadow, report: &ShadowReport) -> Vec<String> {
    let mut notes: Vec<String> = shadow.older.iter().map(ToString::to_string).collect();
    if !shadow.is_stateless() {
        notes.push(
            "its memory began empty: a version that keeps state in memory differs until it has seen \
             as much as the version in service"
                .to_owned(),
        );
        let missed = report.left_out.sum();
        if missed > 0 {
            notes.push(format!(
                "it has not seen {missed} calls that were left out, so its memory lacks them"
            ));
        }
    }
    if report.starts > 1 {
        let times = report.starts;
        notes.push(format!("its instances were started {times} times, as routes have changed"));
    }
    notes
}

fn costs(costs: &Costs) -> Value {
    let microseconds = |time: Duration| time.as_nanos() / 1_000;
    json!({
        "mean_microseconds": u64::try_from(microseconds(costs.mean())).unwrap_or(u64::MAX),
        "max_microseconds": u64::try_from(microseconds(costs.max)).unwrap_or(u64::MAX),
        "memory_bytes": costs.memory,
    })
}

fn shown_failure(failed: &FailedShadow) -> Value {
    json!({
        "digest": sha256(&failed.wanted.digest),
        "source": failed.wanted.source,
        "reason": reason(&failed.reason),
    })
}

fn reason(text: &str) -> String {
    Untrusted::new(text).at_most(MAX_REASON_BYTES).with_lines().to_string()
}

/// Places a shadow.
pub(super) async fn start(
    context: &Context,
    caller: &Caller,
    request: ShadowRequest,
) -> Result<Answer, Problem> {
    let ShadowRequest { plugin, file, wait_seconds } = request;
    let subject = Subject::plugin(&plugin)?;
    let file = source(caller, &file)?;
    let subject = subject.with_file(Some(file.path()));
    let change = VersionChange { context, caller, action: "shadow", subject, wait_seconds };
    let start = async move |state: Arc<ServerState>| {
        let shadow = state.rollout.start_shadow(&plugin, file).await?;
        let digest = &shadow.wanted.digest;
        let keys = json!({
            "plugin": plugin,
            "digest": sha256(digest),
            "version": shadow.version(),
        });
        Ok(Changed::version(digest, keys).with_warnings(shadow.older.as_ref()))
    };
    change.run(start).await
}

/// Ends a shadow.
pub(super) async fn stop(
    context: &Context,
    caller: &Caller,
    request: StopRequest,
) -> Result<Answer, Problem> {
    let (change, plugin, shown) = VersionChange::of_stop(context, caller, "shadow_stop", request)?;
    let stop = async move |state: Arc<ServerState>| {
        let digest = state.rollout.stop_shadow(&plugin, shown.as_deref()).await?;
        let keys = json!({ "plugin": plugin, "digest": sha256(&digest) });
        Ok(Changed::version(&digest, keys))
    };
    change.run(stop).await
}
