//! `GET` and `POST /v1/shadow`, `POST /v1/shadow/stop`: new versions behind the one in service.

use std::sync::Arc;
use std::time::Duration;

use hyper::StatusCode;
use jackfield_text::Untrusted;
use serde::Deserialize;
use serde_json::{Value, json};

use super::audit::{Caller, Subject};
use super::candidates::{PluginRequest, check_plugin, named, source};
use super::problem::Problem;
use super::timestamp::time;
use super::{Context, change, result};
use crate::http::response::Answer;
use crate::shadow::{Costs, FailedShadow, Report, Shadow, WantedShadow};
use crate::versions::entry;

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
    check_plugin(&generation, &plugin)?;
    let shadows = state.rollout.shadows();
    let shadow = shadows.of(&plugin);
    let failed = shadows.failed(&plugin);
    let wanted = entry(&generation, &plugin).ok().and_then(|entry| shadows.wanted(entry));
    let is_loading = shadow.is_none() && failed.is_none() && wanted.is_some();
    let body = json!({
        "plugin": plugin,
        "shadow": shadow.map(|it| shown(&it)),
        "failed": failed.map(|it| shown_failure(&it)),
        "loading": is_loading,
        "survives_restart": state.reloader.versions().are_kept(),
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
        "digest": format!("sha256:{digest}"),
        "version": shadow.version(),
        "schema": shadow.schema(),
        "source": source,
        "from": if *is_file_of_site { "site" } else { "command" },
        "since": time(shadow.since),
        "beside": format!("sha256:{beside}"),
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
        },
        "cost": { "serving": costs(&report.serving), "shadow": costs(&report.shadow) },
        "differences": differences.collect::<Vec<_>>(),
        "unlisted": report.unlisted,
        "notes": notes(shadow, &report),
        "error": report.error.as_ref().map(|error| reason(error)),
    })
}

/// What the reader of the counts has to know.
fn notes(shadow: &Shadow, report: &Report) -> Vec<String> {
    let mut notes = Vec::new();
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
        "digest": format!("sha256:{}", failed.wanted.digest),
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
    let wait = change::wait(wait_seconds)?;
    let subject = Subject::plugin(&plugin)?;
    let file = source(&file)?;
    let state = Arc::clone(&context.state);
    let changing = async move {
        let done = state.rollout.start_shadow(&plugin, file).await.map(|shadow| {
            json!({
                "result": "ok",
                "plugin": plugin,
                "digest": format!("sha256:{}", shadow.wanted.digest),
                "version": shadow.version(),
                "survives_restart": state.reloader.versions().are_kept(),
                "generation": state.reloader.state().generation,
            })
        });
        result::changed(&state, done)
    };
    change::run(context, caller, "shadow", subject, wait, changing).await
}

/// Ends a shadow.
pub(super) async fn stop(
    context: &Context,
    caller: &Caller,
    request: PluginRequest,
) -> Result<Answer, Problem> {
    let PluginRequest { plugin, wait_seconds } = request;
    let wait = change::wait(wait_seconds)?;
    let subject = Subject::plugin(&plugin)?;
    let state = Arc::clone(&context.state);
    let changing = async move {
        let done = state.rollout.stop_shadow(&plugin).await.map(|digest| {
            json!({
                "result": "ok",
                "plugin": plugin,
                "digest": format!("sha256:{digest}"),
                "generation": state.reloader.state().generation,
            })
        });
        result::changed(&state, done)
    };
    change::run(context, caller, "shadow_stop", subject, wait, changing).await
}
