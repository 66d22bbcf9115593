//! `POST /v1/reload`: requests a reload and waits for its result.
//!
//! The wait is bounded, the reload is not: compiling a plugin can take minutes. After the wait the
//! answer says what is being loaded, and the reload goes on. Its audit line is written when it ends,
//! even if the client has left.

use std::sync::Arc;
use std::time::Duration;

use hyper::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::audit::{self, Caller};
use super::problem::Problem;
use super::{Context, MAX_CHANGES, status};
use crate::http::response::Answer;
use crate::reload::{ReloadCause, ReloadRecord, ReloadResult};

/// The longest time that a request can wait.
const MAX_WAIT: Duration = Duration::from_mins(10);
/// The time that a request waits if it does not say.
const DEFAULT_WAIT: Duration = Duration::from_mins(1);

/// The maximum number of problems in an answer.
const MAX_PROBLEMS: usize = 100;

/// The body of the request.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ReloadRequest {
    wait_seconds: Option<u64>,
}

/// Reloads.
pub(super) async fn answer(
    context: &Context,
    caller: &Caller,
    request: &ReloadRequest,
) -> Result<Answer, Problem> {
    let wait = request.wait_seconds.map_or(DEFAULT_WAIT, Duration::from_secs);
    if wait > MAX_WAIT {
        let longest = MAX_WAIT.as_secs();
        return Err(Problem::invalid(format!("`wait_seconds` is at most {longest}")));
    }
    let state = &context.state;
    if state.shutdown.is_requested() {
        return Err(Problem::stopping());
    }
    let place = Arc::clone(&context.changes).try_acquire_owned();
    let place = place.map_err(|_full| Problem::too_many_changes(MAX_CHANGES))?;
    let (reloader, shutdown) = (Arc::clone(&state.reloader), Arc::clone(&state.shutdown));
    let caller = caller.clone();
    let ticket = reloader.trigger(ReloadCause::Control);
    // A task of its own, which outlives a client that does not wait.
    let reloading = tokio::spawn(async move {
        let _place = place;
        let ended = tokio::select! {
            record = reloader.answer(ticket) => record.ok_or_else(Problem::lost),
            () = shutdown.requested() => Err(Problem::stopping()),
        };
        let (result, generation) = match &ended {
            Ok(record) => (record.result.label(), record.generation),
            Err(_) => ("abandoned", reloader.state().generation),
        };
        audit::record(&caller, "reload", result, generation);
        ended
    });
    match timeout(wait, reloading).await {
        Ok(ended) => Ok(ended_answer(&*ended.map_err(|_panic| Problem::lost())??)),
        Err(_elapsed) => {
            let body = json!({
                "result": "running",
                "generation": state.reloader.state().generation,
                "compiling": status::compiling(&state.reloader),
            });
            Ok(Answer::json(StatusCode::ACCEPTED, &body))
        }
    }
}

fn ended_answer(record: &ReloadRecord) -> Answer {
    let status = match record.result {
        ReloadResult::Ok | ReloadResult::Unchanged | ReloadResult::Partial => StatusCode::OK,
        ReloadResult::Failed => StatusCode::UNPROCESSABLE_ENTITY,
    };
    let shown = record.problems.iter().take(MAX_PROBLEMS);
    let problems: Vec<Value> = shown.map(status::problem).collect();
    let body = json!({
        "result": record.result.label(),
        "generation": record.generation,
        "took_seconds": record.took.as_secs_f64(),
        "problem_count": record.problem_count,
        "problems": problems,
    });
    Answer::json(status, &body)
}
