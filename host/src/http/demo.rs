//! `GET /demo/greeting.json`, for the demo's page alone: the versions of its greeting that have
//! served, and the one in the shadow. Everyone may read it, so it is served with the demo only.

use std::time::UNIX_EPOCH;

use hyper::StatusCode;
use serde_json::{Value, json};

use super::response::Answer;
use crate::server_state::ServerState;
use crate::shadow::Shadows;

/// The address.
pub(super) const PATH: &str = "/demo/greeting.json";
/// The plugin that the page shows.
const PLUGIN: &str = "jackfield-greeting";
/// The maximum number of periods in an answer.
const MAX_PERIODS: usize = 20;

/// The versions of the greeting, the latest first.
pub(super) fn answer(state: &ServerState) -> Answer {
    let mut histories = state.reloader.versions().history(Some(PLUGIN)).into_iter();
    let periods = histories.next().map(|(_, plugin)| plugin.versions).unwrap_or_default();
    let versions = periods.iter().take(MAX_PERIODS).map(|period| {
        let since = period.since.duration_since(UNIX_EPOCH).unwrap_or_default();
        json!({
            "digest": period.digest,
            // In seconds since 1970.
            "since": since.as_secs_f64(),
            "ended": period.ended.map(|it| it.reason.label()),
        })
    });
    let versions: Vec<Value> = versions.collect();
    let shadow = shadow(state.rollout.shadows());
    Answer::json(StatusCode::OK, &json!({ "versions": versions, "shadow": shadow }))
}

fn shadow(shadows: &Shadows) -> Option<Value> {
    if let Some(failed) = shadows.failed(PLUGIN) {
        return Some(json!({ "error": failed.reason }));
    }
    let shadow = shadows.of(PLUGIN)?;
    let report = shadow.report();
    let first = report.differences.values().next();
    Some(json!({
        "digest": shadow.wanted.digest,
        "compared": report.compared,
        "differing": report.differing,
        "faults": report.faults,
        "diff": first.map(|it| it.example.diff.as_str()),
        "error": report.error,
    }))
}
