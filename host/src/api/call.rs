//! Calls over HTTP, `POST /api/call`: each handled by a plugin like a client's CALL.

use hyper::StatusCode;
use jackfield_broker::PendingFlushes;
use jackfield_wamp::id::RequestId;
use jackfield_wamp::message::{Call, CallId, CallOptions};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::problem::Problem;
use super::tokens::Token;
use super::{Context, body};
use crate::http::response::Answer;

/// The body of a call.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written<'a> {
    procedure: String,
    #[serde(borrow, default)]
    args: Option<&'a RawValue>,
    #[serde(borrow, default)]
    kwargs: Option<&'a RawValue>,
    #[serde(default)]
    realm: Option<String>,
}

/// The body of a result.
#[derive(Serialize)]
struct Outcome<'a> {
    args: &'a RawValue,
    kwargs: &'a RawValue,
}

/// Calls the procedure that a body names.
///
/// # Errors
/// When there is no result.
pub(super) async fn call(context: &Context, token: &Token, body: &[u8]) -> Result<Answer, Problem> {
    let Written { procedure, args, kwargs, realm } = body::read(body::parse(body)?, "call")?;
    let dispatch = token.dispatch(&context.realms, realm.as_deref())?;
    let (request, options) = (CallId::V2(RequestId::default()), CallOptions::default());
    let payload = body::payload(args, kwargs, context.depth)?;
    let call = Call { request, options, procedure, payload };
    let mut batch = PendingFlushes::default();
    let result = dispatch.call_for(&token.session, &call, &mut batch).await;
    batch.flush();
    let result = result?;
    let (args, kwargs) = (result.args_json(), result.kwargs_json());
    let outcome = Outcome { args: raw(&args)?, kwargs: raw(&kwargs)? };
    Ok(Answer::json(StatusCode::OK, &outcome))
}

/// Returns a payload's text as JSON, which it is already.
fn raw(text: &str) -> Result<&RawValue, Problem> {
    serde_json::from_str(text).map_err(|_impossible| Problem::failed())
}
