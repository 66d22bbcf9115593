//! Changes that a request starts and waits for. The wait is bounded, the change is not: it runs in a
//! task of its own, and its audit line is written when it ends, even if the client has left.

use std::sync::Arc;
use std::time::Duration;

use hyper::StatusCode;
use serde_json::json;
use tokio::time::timeout;

use super::audit::{self, Caller, Subject};
use super::problem::Problem;
use super::{Context, MAX_CHANGES, status};
use crate::http::response::Answer;

/// The longest time that a request can wait.
const MAX_WAIT: Duration = Duration::from_mins(10);
/// The time that a request waits if it does not say.
const DEFAULT_WAIT: Duration = Duration::from_mins(1);

/// The result of a change: its short name for the audit line, and the answer.
pub(super) type Ended = (&'static str, Result<Answer, Problem>);

/// Returns the time to wait that a request asks for.
pub(super) fn wait(seconds: Option<u64>) -> Result<Duration, Problem> {
    let wait = seconds.map_or(DEFAULT_WAIT, Duration::from_secs);
    if wait > MAX_WAIT {
        let longest = MAX_WAIT.as_secs();
        return Err(Problem::invalid(format!("`wait_seconds` is at most {longest}")));
    }
    Ok(wait)
}

/// Runs a change. After the time to wait, the answer says what is being compiled.
pub(super) async fn run(
    context: &Context,
    caller: &Caller,
    action: &'static str,
    subject: Subject,
    wait: Duration,
    change: impl Future<Output = Ended> + Send + 'static,
) -> Result<Answer, Problem> {
    let state = &context.state;
    if state.shutdown.is_requested() {
        return Err(Problem::stopping());
    }
    let place = Arc::clone(&context.changes).try_acquire_owned();
    let place = place.map_err(|_full| Problem::too_many("changes", MAX_CHANGES))?;
    let (reloader, shutdown) = (Arc::clone(&state.reloader), Arc::clone(&state.shutdown));
    let caller = caller.clone();
    let running = tokio::spawn(async move {
        let _place = place;
        let (result, answer) = tokio::select! {
            ended = change => ended,
            () = shutdown.requested() => ("abandoned", Err(Problem::stopping())),
        };
        audit::record(&caller, action, &subject, result, reloader.state().generation);
        answer
    });
    match timeout(wait, running).await {
        Ok(ended) => ended.map_err(|_panic| Problem::lost())?,
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
