//! `POST /v1/trace`: streams the steps of chosen messages as lines of JSON, until the client closes the
//! connection or the server ends.

use std::sync::Arc;

use serde::Deserialize;

use super::audit::{self, Caller, Subject};
use super::problem::Problem;
use super::record::LineStream;
use super::{Context, MAX_FILTER_BYTES};
use crate::trace::TraceFilter;

/// The body of the request.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct TraceRequest {
    topic: Option<String>,
    user: Option<String>,
    payload: bool,
}

/// Starts a trace.
pub(super) fn answer(
    context: &Context,
    caller: &Caller,
    request: TraceRequest,
) -> Result<LineStream, Problem> {
    let TraceRequest { topic, user, payload } = request;
    if topic.is_none() && user.is_none() {
        return Err(Problem::invalid("a trace needs a `topic`, a `user`, or both"));
    }
    for (key, name) in [("topic", &topic), ("user", &user)] {
        if name.as_ref().is_some_and(|name| name.is_empty() || name.len() > MAX_FILTER_BYTES) {
            return Err(Problem::invalid(format!("`{key}` has 1 to {MAX_FILTER_BYTES} bytes")));
        }
    }
    let state = &context.state;
    let place = context.traces.take(&context.state.shutdown)?;
    let parts = payload.then(|| "payload".to_owned());
    let subject = Subject::trace(topic.as_deref(), user.as_deref()).with_content(parts);
    audit::record(caller, "trace", &subject, "begun", state.reloader.state().generation);
    let (running, lines) =
        state.traces.start(&state.observers, TraceFilter { topic, user, payload });
    let (state, caller) = (Arc::clone(state), caller.clone());
    tokio::spawn(async move {
        tokio::select! {
            () = running.closed() => {}
            () = state.shutdown.requested() => running.end("the server ended"),
        }
        drop((running, place));
        audit::record(&caller, "trace", &subject, "ended", state.reloader.state().generation);
    });
    Ok(LineStream::new(lines))
}
