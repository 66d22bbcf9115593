//! `POST /api/call`: a call into a handler, on the road of a client's CALL.

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

/// A call as it is written.
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

/// A result as it is answered.
#[derive(Serialize)]
struct Outcome<'a> {
    args: &'a RawValue,
    kwargs: &'a RawValue,
}

/// Calls what a body asks for.
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

/// What a payload says is JSON already.
fn raw(text: &str) -> Result<&RawValue, Problem> {
    serde_json::from_str(text).map_err(|_impossible| Problem::failed())
}
