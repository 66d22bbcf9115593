//! `GET` and `POST /v1/canary`, `POST /v1/canary/stop` and `/v1/promote`: new versions beside the one
//! in service.

use std::sync::Arc;

use hyper::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Context;
use super::audit::{Caller, Subject};
use super::plugin_lookup::find_plugin;
use super::problem::Problem;
use super::result::{Changed, StopRequest, VersionChange, check_digest, sha256};
use crate::generation::{Canary, Share};
use crate::http::response::Answer;
use crate::server_state::ServerState;
use crate::timestamp::time;
use crate::versions::{Candidate, EndedCanary, SourceFile};

/// The maximum size of a path.
const MAX_PATH_BYTES: usize = 4 * 1024;

/// The body of a request to place a canary, or to set its share.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct CanaryRequest {
    plugin: String,
    file: Option<String>,
    share: Option<String>,
    /// The digest of the canary whose share is set, as the operator has seen it, or its beginning.
    digest: Option<String>,
    wait_seconds: Option<u64>,
}

/// The body of a request to promote a candidate.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct PromoteRequest {
    plugin: String,
    digest: Option<String>,
    force: bool,
    wait_seconds: Option<u64>,
}

/// Shows the canary of the plugin that the query names.
pub(super) fn canary(context: &Context, query: Option<&str>) -> Result<Answer, Problem> {
    let plugin = named(query)?;
    let reloader = &context.state.reloader;
    let generations = reloader.generations();
    let generation = generations.current();
    let serving = find_plugin(&generation, &plugin)?.canary();
    let versions = reloader.versions();
    let candidate = versions.candidate(&plugin).filter(|it| it.share().is_some());
    let body = json!({
        "plugin": plugin,
        "canary": candidate.map(|it| shown_canary(&it, serving)),
        "ended": versions.ended_canary(&plugin).as_ref().map(ended),
        "survives_restart": versions.survives(),
        "save_error": versions.unsaved(),
    });
    Ok(Answer::json(StatusCode::OK, &body))
}

/// A canary; `serving` has its instances, once they are started.
pub(super) fn shown_canary(candidate: &Candidate, serving: Option<&Canary>) -> Value {
    let circuits = serving.into_iter().flat_map(Canary::circuits);
    json!({
        "digest": sha256(&candidate.digest),
        "version": candidate.version,
        "source": candidate.source,
        "since": time(candidate.since),
        "share": candidate.share().map(|share| share.to_string()),
        "serves": serving.is_some(),
        "faults": circuits.map(|it| it.faults).sum::<u64>(),
        "memory": { "bytes": serving.map_or(0, Canary::memory_used) },
    })
}

fn ended(it: &EndedCanary) -> Value {
    json!({
        "digest": sha256(&it.digest),
        "version": it.version,
        "share": it.share.to_string(),
        "at": time(it.at),
        "reason": it.reason.label(),
    })
}

/// Places a canary, or sets its share.
pub(super) async fn set_canary(
    context: &Context,
    caller: &Caller,
    request: CanaryRequest,
) -> Result<Answer, Problem> {
    let CanaryRequest { plugin, file, share, digest, wait_seconds } = request;
    let subject = Subject::plugin(&plugin)?;
    let share = share.ok_or_else(|| Problem::invalid("`share` is missing, such as \"10%\""))?;
    let share: Share =
        share.parse().map_err(|error| Problem::invalid(format!("`share`: {error}")))?;
    check_digest(digest.as_deref())?;
    if file.is_some() && digest.is_some() {
        let message = "`digest` names the canary whose share is set, and `file` places another one";
        return Err(Problem::invalid(message));
    }
    let file = file.map(|file| source(caller, &file)).transpose()?;
    let subject = subject.with_file(file.as_ref().map(SourceFile::path)).with_share(share);
    let subject = subject.with_digest(digest.as_deref());
    let change = VersionChange { context, caller, action: "canary", subject, wait_seconds };
    let set = async move |state: Arc<ServerState>| {
        let (candidate, older) = match file {
            Some(file) => state.rollout.start_canary(&plugin, file, share).await?,
            None => (state.rollout.set_share(&plugin, share, digest.as_deref()).await?, None),
        };
        let keys = json!({
            "plugin": plugin,
            "digest": sha256(&candidate.digest),
            "version": candidate.version,
            "share": share.to_string(),
        });
        Ok(Changed::version(&candidate.digest, keys).with_warnings(older.as_ref()))
    };
    change.run(set).await
}

/// Ends a canary.
pub(super) async fn stop_canary(
    context: &Context,
    caller: &Caller,
    request: StopRequest,
) -> Result<Answer, Problem> {
    let (change, plugin, shown) = VersionChange::of_stop(context, caller, "canary_stop", request)?;
    let stop = async move |state: Arc<ServerState>| {
        let ended = state.rollout.stop_canary(&plugin, shown.as_deref()).await?;
        let Candidate { digest, version, .. } = ended;
        let keys = json!({ "plugin": plugin, "digest": sha256(&digest), "version": version });
        Ok(Changed::version(&digest, keys))
    };
    change.run(stop).await
}

/// Makes the shadow or the canary of a plugin serve.
pub(super) async fn promote(
    context: &Context,
    caller: &Caller,
    request: PromoteRequest,
) -> Result<Answer, Problem> {
    let PromoteRequest { plugin, digest, force, wait_seconds } = request;
    let subject = Subject::plugin(&plugin)?;
    check_digest(digest.as_deref())?;
    let subject = subject.with_digest(digest.as_deref());
    let change = VersionChange { context, caller, action: "promote", subject, wait_seconds };
    let promote = async move |state: Arc<ServerState>| {
        let (target, older) = state.rollout.promote(&plugin, digest.as_deref(), force).await?;
        Ok(Changed::target(&target).with_warnings(older.as_ref()))
    };
    change.run(promote).await
}

/// The file that a request names.
pub(super) fn source(caller: &Caller, file: &str) -> Result<SourceFile, Problem> {
    caller.check_files()?;
    if file.len() > MAX_PATH_BYTES {
        return Err(Problem::invalid(format!("`file` has at most {MAX_PATH_BYTES} bytes")));
    }
    SourceFile::new(file).ok_or_else(|| Problem::invalid("`file` has to be an absolute path"))
}

/// The plugin that a query names.
pub(super) fn named(query: Option<&str>) -> Result<String, Problem> {
    let mut plugin = None;
    for (key, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
        if key != "plugin" {
            return Err(Problem::invalid("the query has one key, `plugin`"));
        }
        plugin = Some(value.into_owned());
    }
    plugin.ok_or_else(|| Problem::invalid("the query needs the key `plugin`"))
}
