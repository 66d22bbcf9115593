//! `POST /v1/reload`: requests a reload and waits for its result.

use std::sync::Arc;

use hyper::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::audit::{Caller, Subject};
use super::change::ChangeEnd;
use super::problem::Problem;
use super::{Context, change, status};
use crate::http::response::Answer;
use crate::reload::{ReloadCause, ReloadRecord, ReloadResult};

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
    let wait = change::wait(request.wait_seconds)?;
    let reloader = Arc::clone(&context.state.reloader);
    let reloading = async move {
        let ticket = reloader.trigger(ReloadCause::Control);
        match reloader.answer(ticket).await {
            Some(record) => ChangeEnd::new(record.result.label(), Ok(ended(&record))),
            None => ChangeEnd::new("abandoned", Err(Problem::lost())),
        }
    };
    change::run(context, caller, "reload", Subject::default(), wait, reloading).await
}

/// The answer about a reload that has ended.
pub(super) fn ended(record: &ReloadRecord) -> Answer {
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
