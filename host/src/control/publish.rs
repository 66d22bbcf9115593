//! `POST /v1/publish`: publishes an event, as a client would: by its route, the route's access lists
//! and the handler's hook.

use hyper::StatusCode;
use jackfield_broker::PendingFlushes;
use jackfield_wamp::id::RequestId;
use jackfield_wamp::message::{Publish, PublishOptions};
use jackfield_wamp::payload::{Payload, check_json};
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::audit::{self, Caller, Subject};
use super::problem::Problem;
use super::sessions::realms;
use super::{Context, MAX_FILTER_BYTES};
use crate::api::session_without_connection;
use crate::backpressure::wait_for_room;
use crate::http::response::Answer;

/// The maximum number of roles.
const MAX_ROLES: usize = 20;

/// The body of the request.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct PublishRequest {
    topic: String,
    realm: Option<String>,
    args: Option<Box<RawValue>>,
    kwargs: Option<Box<RawValue>>,
    /// The roles with which it is published, for the access lists of routes.
    roles: Vec<String>,
}

/// Publishes.
pub(super) async fn answer(
    context: &Context,
    caller: &Caller,
    request: PublishRequest,
) -> Result<Answer, Problem> {
    let PublishRequest { topic, realm, args, kwargs, roles } = request;
    if !(1..=MAX_FILTER_BYTES).contains(&topic.len()) {
        return Err(Problem::invalid(format!("`topic` has 1 to {MAX_FILTER_BYTES} bytes")));
    }
    if roles.len() > MAX_ROLES {
        return Err(Problem::invalid(format!("`roles` has at most {MAX_ROLES} roles")));
    }
    let limits = context.settings.current().limits;
    let payload = payload(args.as_deref(), kwargs.as_deref(), limits.depth)?;
    let state = &context.state;
    if state.shutdown.is_requested() {
        return Err(Problem::stopping());
    }
    let default = state.realms.default_realm();
    let all = realms(&state.realms, realm.as_deref())?;
    let dispatch = realm.as_ref().and(all.first().copied()).unwrap_or(&default);
    let session = session_without_connection(caller.authid(), roles, "operator", limits.outbox);
    let session = session.map_err(|error| Problem::internal(error.to_string()))?;
    let subject = Subject::trace(Some(&topic), None);
    let options = PublishOptions::default();
    let publish = Publish { request: RequestId::default(), options, topic, payload };
    let mut batch = PendingFlushes::default();
    let published = dispatch.publish(&session, &publish, &mut batch).await;
    batch.flush();
    if batch.is_crowded() {
        wait_for_room(batch.take_crowded(), limits.publisher_delay).await;
    }
    let result = if published.is_ok() { "ok" } else { "refused" };
    audit::record(caller, "publish", &subject, result, state.reloader.state().generation);
    let accepted = published.map_err(|refusal| Problem::refused(&refusal))?;
    let body = json!({
        "result": "ok",
        "publication": accepted.publication.get(),
        "delivered": accepted.delivered,
    });
    Ok(Answer::json(StatusCode::OK, &body))
}

fn payload(
    args: Option<&RawValue>,
    kwargs: Option<&RawValue>,
    depth: usize,
) -> Result<Payload, Problem> {
    let [args, kwargs] = [args, kwargs].map(|text| text.map_or("", RawValue::get));
    for (key, text) in [("args", args), ("kwargs", kwargs)] {
        if !text.is_empty() {
            let invalid = |error| Problem::invalid(format!("`{key}` is not valid: {error}"));
            check_json(text.as_bytes()).map_err(invalid)?;
        }
    }
    Payload::from_json_within(args, kwargs, depth)
        .map_err(|error| Problem::invalid(error.to_string()))
}
