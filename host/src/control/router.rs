//! The router of the control API: an endpoint for each path and method, below a version.
//!
//! It knows the caller and no socket. Bodies are read here, within limits.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::{Method, Request};
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::Context;
use super::audit::Caller;
use super::problem::Problem;
use super::record::{self, LineStream};
use super::{candidates, reload, shadow, status, store, versions};
use crate::http::response::Answer;

/// The versions of the API.
const VERSIONS: &[&str] = &["v1"];
/// The endpoints, for messages.
const ENDPOINTS: &str = "GET /v1/status, /v1/history, /v1/canary and /v1/store/list, get, export; \
                         POST /v1/reload, /v1/rollback, /v1/disable, /v1/enable, /v1/canary, \
                         /v1/canary/stop, /v1/promote, /v1/record and /v1/store/set, delete, \
                         import, backup";

/// The maximum size of a body.
const MAX_BODY_BYTES: usize = 64 * 1024;
/// The time for a body to arrive.
const MAX_BODY_TIME: Duration = Duration::from_secs(5);

/// The maximum size of a body with a value of a store, all of whose bytes are escaped.
const MAX_VALUE_BODY_BYTES: usize = 7 << 20;

/// An answer: one that is complete, one that ends when the client or the server does, or one that is
/// made while it is read.
pub(super) enum Reply {
    Whole(Answer),
    Stream(LineStream),
    Lines(store::Lines),
}

impl From<Answer> for Reply {
    fn from(answer: Answer) -> Self {
        Self::Whole(answer)
    }
}

/// Answers a request.
pub(super) async fn answer<B>(context: &Context, caller: &Caller, request: Request<B>) -> Reply
where
    B: hyper::body::Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>>,
{
    let is_record = request.uri().path() == "/v1/record" && request.method() == Method::POST;
    if is_record {
        let asked = read(request).await;
        let recording = asked.and_then(|asked| record::answer(context, caller, asked));
        return recording.map_or_else(|problem| problem.answer().into(), Reply::Stream);
    }
    if request.uri().path() == "/v1/store/export" && request.method() == Method::GET {
        let lines = store::export(context, request.uri().query()).await;
        return lines.map_or_else(|problem| problem.answer().into(), Reply::Lines);
    }
    route(context, caller, request).await.unwrap_or_else(Problem::answer).into()
}

async fn route<B>(
    context: &Context,
    caller: &Caller,
    request: Request<B>,
) -> Result<Answer, Problem>
where
    B: hyper::body::Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>>,
{
    let path = request.uri().path();
    let (version, endpoint) =
        path.strip_prefix('/').and_then(|it| it.split_once('/')).unwrap_or_default();
    if let ("v1", Some(endpoint)) = (version, endpoint.strip_prefix("store/")) {
        let endpoint = endpoint.to_owned();
        return of_store(context, caller, &endpoint, request).await;
    }
    match (version, endpoint, request.method()) {
        ("v1", "status", &Method::GET | &Method::HEAD) => Ok(status::answer(context)),
        ("v1", "reload", &Method::POST) => {
            let asked = read(request).await?;
            reload::answer(context, caller, &asked).await
        }
        ("v1", "history", &Method::GET | &Method::HEAD) => {
            versions::history(context, request.uri().query())
        }
        ("v1", "status" | "history", _) => Err(Problem::method_not_allowed("GET, HEAD")),
        ("v1", "rollback", &Method::POST) => {
            versions::roll_back(context, caller, read(request).await?).await
        }
        ("v1", "disable" | "enable", &Method::POST) => {
            let is_enabled = endpoint == "enable";
            let asked = read(request).await?;
            versions::set_enabled(context, caller, asked, is_enabled).await
        }
        ("v1", "canary", &Method::GET | &Method::HEAD) => {
            candidates::canary(context, request.uri().query())
        }
        ("v1", "canary", &Method::POST) => {
            candidates::set_canary(context, caller, read(request).await?).await
        }
        ("v1", "shadow", &Method::GET | &Method::HEAD) => {
            shadow::page(context, request.uri().query())
        }
        ("v1", "shadow", &Method::POST) => {
            shadow::start(context, caller, read(request).await?).await
        }
        ("v1", "shadow/stop", &Method::POST) => {
            shadow::stop(context, caller, read(request).await?).await
        }
        ("v1", "canary" | "shadow", _) => Err(Problem::method_not_allowed("GET, HEAD, POST")),
        ("v1", "canary/stop", &Method::POST) => {
            candidates::stop_canary(context, caller, read(request).await?).await
        }
        ("v1", "promote", &Method::POST) => {
            candidates::promote(context, caller, read(request).await?).await
        }
        (
            "v1",
            "reload" | "rollback" | "disable" | "enable" | "canary/stop" | "shadow/stop"
            | "promote" | "record",
            _,
        ) => Err(Problem::method_not_allowed("POST")),
        (version, ..) if is_version(version) && !VERSIONS.contains(&version) => {
            Err(Problem::unknown_version(version, VERSIONS))
        }
        _ => Err(Problem::not_found(path, ENDPOINTS)),
    }
}

/// The endpoints about the stores of plugins.
async fn of_store<B>(
    context: &Context,
    caller: &Caller,
    endpoint: &str,
    request: Request<B>,
) -> Result<Answer, Problem>
where
    B: hyper::body::Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>>,
{
    match (endpoint, request.method()) {
        ("list", &Method::GET) => store::list(context, request.uri().query()).await,
        ("get", &Method::GET) => store::get(context, request.uri().query()).await,
        ("list" | "get" | "export", _) => Err(Problem::method_not_allowed("GET")),
        ("set", &Method::POST) => {
            let asked = read_up_to(request, MAX_VALUE_BODY_BYTES).await?;
            store::set(context, caller, asked).await
        }
        ("delete", &Method::POST) => store::delete(context, caller, read(request).await?).await,
        ("backup", &Method::POST) => store::back_up(context, caller, read(request).await?).await,
        ("import", &Method::POST) => {
            let (head, body) = request.into_parts();
            store::import(context, caller, head.uri.query(), body).await
        }
        ("set" | "delete" | "backup" | "import", _) => Err(Problem::method_not_allowed("POST")),
        _ => Err(Problem::not_found(request.uri().path(), ENDPOINTS)),
    }
}

/// Whether a part of a path names a version.
fn is_version(part: &str) -> bool {
    let number = part.strip_prefix('v').unwrap_or_default();
    !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
}

/// The body, an object of JSON. Without a body, all its keys have their defaults.
async fn read<B, T>(request: Request<B>) -> Result<T, Problem>
where
    B: hyper::body::Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>>,
    T: DeserializeOwned + Default,
{
    read_up_to(request, MAX_BODY_BYTES).await
}

async fn read_up_to<B, T>(request: Request<B>, limit: usize) -> Result<T, Problem>
where
    B: hyper::body::Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>>,
    T: DeserializeOwned + Default,
{
    let body = Limited::new(request.into_body(), limit).collect();
    let body = match timeout(MAX_BODY_TIME, body).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            return Err(Problem::too_large(limit));
        }
        Ok(Err(error)) => {
            return Err(Problem::invalid(format!("the body could not be read: {error}")));
        }
        Err(_elapsed) => return Err(Problem::too_slow()),
    };
    if body.is_empty() {
        return Ok(T::default());
    }
    // A list would be taken for the fields of the object in their order.
    if !body.trim_ascii_start().starts_with(b"{") {
        return Err(Problem::invalid("the body has to be a JSON object"));
    }
    serde_json::from_slice(&body)
        .map_err(|error| Problem::invalid(format!("the body is not valid: {error}")))
}

#[cfg(test)]
mod tests {
    use super::is_version;

    #[test]
    fn versions_are_a_letter_and_a_number() {
        for version in ["v1", "v2", "v10"] {
            assert!(is_version(version), "{version}");
        }
        for other in ["", "v", "1", "vx", "v1x", "version"] {
            assert!(!is_version(other), "{other}");
        }
    }
}
