//! Changes that a request starts and waits for. The wait is bounded, the change is not: it runs in a
//! task of its own, and its audit line is written when it ends, even if the client has left.

use std::sync::Arc;
use std::time::Duration;

use hyper::StatusCode;
use serde_json::json;
use tokio::time::timeout;

use super::audit::{self, Caller, Subject};
use super::problem::Problem;
use super::{Context, status};
use crate::http::response::Answer;

/// The longest time that a request can wait.
const MAX_WAIT: Duration = Duration::from_mins(10);
/// The time that a request waits if it does not say.
const DEFAULT_WAIT: Duration = Duration::from_mins(1);

/// The end of a change.
pub(super) struct ChangeEnd {
    /// Its short name for the audit line.
    pub(super) result: &'static str,
    pub(super) answer: Result<Answer, Problem>,
    /// The digest of the version that the change is about, if it is known by now only.
    pub(super) digest: Option<String>,
}

impl ChangeEnd {
    /// The end of a change that is about no version.
    pub(super) const fn new(result: &'static str, answer: Result<Answer, Problem>) -> Self {
        Self { result, answer, digest: None }
    }
}

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
    change: impl Future<Output = ChangeEnd> + Send + 'static,
) -> Result<Answer, Problem> {
    let state = &context.state;
    let place = context.changes.take(&context.state.shutdown)?;
    let (reloader, shutdown) = (Arc::clone(&state.reloader), Arc::clone(&state.shutdown));
    let caller = caller.clone();
    let running = tokio::spawn(async move {
        let _place = place;
        let ChangeEnd { result, answer, digest } = tokio::select! {
            ended = change => ended,
            () = shutdown.requested() => ChangeEnd::new("abandoned", Err(Problem::stopping())),
        };
        let subject =
            if digest.is_some() { subject.with_digest(digest.as_deref()) } else { subject };
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
