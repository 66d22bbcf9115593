//! The router of the control API: an endpoint for each path and method, below a version.
//!
//! It knows the caller and no socket.

use bytes::Bytes;
use hyper::{Method, Request, StatusCode};
use serde::de::DeserializeOwned;

use super::Context;
use super::audit::Caller;
use super::body::read_json;
use super::problem::Problem;
use super::query::Query;
use super::record::{self, LineStream};
use super::{
    candidates, ended, plugins, publish, reload, routes, sessions, shadow, status, store, topics,
    trace, versions,
};
use crate::http::metrics;
use crate::http::response::Answer;

/// The versions of the API.
const VERSIONS: &[&str] = &["v1"];
/// An endpoint: its path, and whether it shows, changes or both.
struct Endpoint {
    path: &'static str,
    methods: &'static [Method],
}

const READ: &[Method] = &[Method::GET, Method::HEAD];
const CHANGE: &[Method] = &[Method::POST];
const BOTH: &[Method] = &[Method::GET, Method::HEAD, Method::POST];

const fn endpoint(path: &'static str, methods: &'static [Method]) -> Endpoint {
    Endpoint { path, methods }
}

/// All endpoints. Those without a token are in [`super::connection`].
const ENDPOINTS: &[Endpoint] = &[
    endpoint("/livez", READ),
    endpoint("/readyz", READ),
    endpoint("/metrics", READ),
    endpoint("/v1/status", READ),
    endpoint("/v1/caller", READ),
    endpoint("/v1/routes", READ),
    endpoint("/v1/match", READ),
    endpoint("/v1/sessions", READ),
    endpoint("/v1/session", READ),
    endpoint("/v1/session/kick", CHANGE),
    endpoint("/v1/topics", READ),
    endpoint("/v1/ended", READ),
    endpoint("/v1/plugin", READ),
    endpoint("/v1/faults", READ),
    endpoint("/v1/log", READ),
    endpoint("/v1/history", READ),
    endpoint("/v1/publish", CHANGE),
    endpoint("/v1/trace", CHANGE),
    endpoint("/v1/record", CHANGE),
    endpoint("/v1/reload", CHANGE),
    endpoint("/v1/rollback", CHANGE),
    endpoint("/v1/unpin", CHANGE),
    endpoint("/v1/disable", CHANGE),
    endpoint("/v1/enable", CHANGE),
    endpoint("/v1/canary", BOTH),
    endpoint("/v1/canary/stop", CHANGE),
    endpoint("/v1/shadow", BOTH),
    endpoint("/v1/shadow/stop", CHANGE),
    endpoint("/v1/promote", CHANGE),
    endpoint("/v1/store/plugins", READ),
    endpoint("/v1/store/list", READ),
    endpoint("/v1/store/get", READ),
    endpoint("/v1/store/export", READ),
    endpoint("/v1/store/set", CHANGE),
    endpoint("/v1/store/delete", CHANGE),
    endpoint("/v1/store/import", CHANGE),
    endpoint("/v1/store/backup", CHANGE),
];

/// The maximum size of a body.
const MAX_BODY_BYTES: usize = 64 * 1024;
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

impl From<LineStream> for Reply {
    fn from(lines: LineStream) -> Self {
        Self::Stream(lines)
    }
}

impl From<store::Lines> for Reply {
    fn from(lines: store::Lines) -> Self {
        Self::Lines(lines)
    }
}

/// Answers a request.
pub(super) async fn answer<B>(context: &Context, caller: &Caller, request: Request<B>) -> Reply
where
    B: hyper::body::Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>>,
{
    let answered = match check(request.uri().path(), request.method()) {
        Ok(()) if request.method() == Method::POST => change(context, caller, request).await,
        Ok(()) => show(context, caller, &request).await,
        Err(problem) => Err(problem),
    };
    answered.unwrap_or_else(|problem| problem.answer().into())
}

/// Checks that there is an endpoint at a path, and that it has the method.
fn check(path: &str, method: &Method) -> Result<(), Problem> {
    if let Some(endpoint) = ENDPOINTS.iter().find(|endpoint| endpoint.path == path) {
        if endpoint.methods.contains(method) {
            return Ok(());
        }
        let methods: Vec<&str> = endpoint.methods.iter().map(Method::as_str).collect();
        return Err(Problem::method_not_allowed(&methods.join(", ")));
    }
    let version = path.trim_start_matches('/').split('/').next().unwrap_or_default();
    if is_version(version) && !VERSIONS.contains(&version) {
        return Err(Problem::unknown_version(version, VERSIONS));
    }
    let of = |method: &Method| {
        let endpoints = ENDPOINTS.iter().filter(|endpoint| endpoint.methods.contains(method));
        endpoints.map(|endpoint| endpoint.path).collect::<Vec<_>>().join(", ")
    };
    let known = format!("GET {}; POST {}", of(&Method::GET), of(&Method::POST));
    Err(Problem::not_found(path, &known))
}

/// Answers at an endpoint that shows.
async fn show<B>(
    context: &Context,
    caller: &Caller,
    request: &Request<B>,
) -> Result<Reply, Problem> {
    let (path, query) = (request.uri().path(), request.uri().query());
    let answer = match path {
        // Scrapers may add parameters of their own.
        "/metrics" => Ok(metrics::page(&context.scrape).await),
        "/v1/status" => status::answer(context, query),
        "/v1/caller" => {
            Query::parse(query, &[]).map(|_none| Answer::json(StatusCode::OK, &caller.describe()))
        }
        "/v1/history" => versions::history(context, query),
        "/v1/sessions" => sessions::list(context, query),
        "/v1/session" => sessions::one(context, query),
        "/v1/topics" => topics::list(context, query),
        "/v1/ended" => ended::list(context, query),
        "/v1/routes" => routes::list(context, query),
        "/v1/match" => routes::of_topic(context, query),
        "/v1/plugin" => plugins::one(context, query),
        "/v1/faults" => plugins::faults(context, query),
        "/v1/log" => plugins::log(context, query),
        "/v1/canary" => candidates::canary(context, query),
        "/v1/shadow" => shadow::page(context, query),
        "/v1/store/plugins" => store::plugins(context, query).await,
        "/v1/store/list" => store::list(context, query).await,
        "/v1/store/get" => store::get(context, query).await,
        "/v1/store/export" => {
            return store::export(context, caller, query).await.map(Reply::from);
        }
        _ => Err(Problem::unanswered(path)),
    };
    answer.map(Reply::from)
}

/// Answers at an endpoint that changes, or whose answer has no end of its own.
async fn change<B>(
    context: &Context,
    caller: &Caller,
    request: Request<B>,
) -> Result<Reply, Problem>
where
    B: hyper::body::Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>>,
{
    let path = request.uri().path().to_owned();
    let answer = match path.as_str() {
        "/v1/record" => {
            return record::answer(context, caller, read(request).await?).map(Reply::from);
        }
        "/v1/trace" => {
            return trace::answer(context, caller, read(request).await?).map(Reply::from);
        }
        "/v1/reload" => reload::answer(context, caller, &read(request).await?).await,
        "/v1/session/kick" => sessions::kick(context, caller, read(request).await?),
        "/v1/publish" => publish::answer(context, caller, read(request).await?).await,
        "/v1/rollback" => versions::roll_back(context, caller, read(request).await?).await,
        "/v1/unpin" => versions::unpin(context, caller, read(request).await?).await,
        "/v1/disable" => versions::set_enabled(context, caller, read(request).await?, false).await,
        "/v1/enable" => versions::set_enabled(context, caller, read(request).await?, true).await,
        "/v1/canary" => candidates::set_canary(context, caller, read(request).await?).await,
        "/v1/canary/stop" => candidates::stop_canary(context, caller, read(request).await?).await,
        "/v1/shadow" => shadow::start(context, caller, read(request).await?).await,
        "/v1/shadow/stop" => shadow::stop(context, caller, read(request).await?).await,
        "/v1/promote" => candidates::promote(context, caller, read(request).await?).await,
        "/v1/store/set" => {
            let asked = read_json(request, MAX_VALUE_BODY_BYTES).await?;
            store::set(context, caller, asked).await
        }
        "/v1/store/delete" => store::delete(context, caller, read(request).await?).await,
        "/v1/store/backup" => store::back_up(context, caller, read(request).await?).await,
        "/v1/store/import" => {
            let (head, body) = request.into_parts();
            store::import(context, caller, head.uri.query(), body).await
        }
        path => Err(Problem::unanswered(path)),
    };
    answer.map(Reply::from)
}

/// Whether a part of a path names a version.
fn is_version(part: &str) -> bool {
    let number = part.strip_prefix('v').unwrap_or_default();
    !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
}

/// Reads a body of the usual size.
async fn read<B, T>(request: Request<B>) -> Result<T, Problem>
where
    B: hyper::body::Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>>,
    T: DeserializeOwned + Default,
{
    read_json(request, MAX_BODY_BYTES).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_a_letter_and_a_number() {
        for version in ["v1", "v2", "v10"] {
            assert!(is_version(version), "{version}");
        }
        for other in ["", "v", "1", "vx", "v1x", "version"] {
            assert!(!is_version(other), "{other}");
        }
    }

    #[test]
    fn refuses_other_paths_methods_and_versions() {
        let refused = |path: &str, method: &Method| {
            check(path, method).err().map_or(200, |it| it.answer().status().as_u16())
        };
        for (path, method, expect) in [
            ("/v1/status", &Method::GET, 200),
            ("/v1/status", &Method::HEAD, 200),
            ("/v1/status", &Method::POST, 405),
            ("/v1/canary", &Method::POST, 200),
            ("/v1/canary/stop", &Method::GET, 405),
            ("/v1/store/export", &Method::POST, 405),
            ("/metrics", &Method::POST, 405),
            ("/livez", &Method::POST, 405),
            ("/v1/store/", &Method::GET, 404),
            ("/v1", &Method::GET, 404),
            ("/v2/status", &Method::GET, 404),
            ("/", &Method::POST, 404),
        ] {
            assert_eq!(refused(path, method), expect, "{method} {path}");
        }
        let both = check("/v1/canary", &Method::PUT).unwrap_err();
        assert_eq!(both.to_string(), "use GET, HEAD, POST");
    }
}
