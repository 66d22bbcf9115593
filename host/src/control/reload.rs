//! `POST /v1/reload`: reads the settings again, then the site, and waits for the results.

use std::sync::Arc;

use hyper::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::audit::{Caller, Subject};
use super::change::ChangeEnd;
use super::problem::Problem;
use super::{Context, change, settings, status};
use crate::http::response::Answer;
use crate::reload::{ReloadCause, ReloadRecord, ReloadResult};
use crate::settings::{SettingsRecord, SettingsResult};

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
    let state = Arc::clone(&context.state);
    let reloading = async move {
        let (settings, site) = state.reload(ReloadCause::Control).await;
        match site {
            Some(record) => {
                let (answer, is_refused) = with_settings(&record, settings.as_deref());
                let result = if is_refused { "refused" } else { record.result.label() };
                ChangeEnd::new(result, Ok(answer))
            }
            None => ChangeEnd::new("abandoned", Err(Problem::lost())),
        }
    };
    change::run(context, caller, "reload", Subject::default(), wait, reloading).await
}

/// The answer about a reload of the site and of the settings, and whether the settings are refused.
fn with_settings(site: &ReloadRecord, settings: Option<&SettingsRecord>) -> (Answer, bool) {
    let (mut status, mut body) = parts(site);
    let is_refused = settings.is_some_and(|it| it.result == SettingsResult::Refused);
    if is_refused {
        status = StatusCode::UNPROCESSABLE_ENTITY;
    }
    if let Value::Object(body) = &mut body {
        body.insert("settings".to_owned(), settings.map_or(Value::Null, settings::reload));
    }
    (Answer::json(status, &body), is_refused)
}

/// The answer about a reload of the site that has ended.
pub(super) fn ended(record: &ReloadRecord) -> Answer {
    let (status, body) = parts(record);
    Answer::json(status, &body)
}

fn parts(record: &ReloadRecord) -> (StatusCode, Value) {
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
    (status, body)
}
