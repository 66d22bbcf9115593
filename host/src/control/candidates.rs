//! `GET` and `POST /v1/canary`, `POST /v1/canary/stop` and `/v1/promote`: new versions beside the one
//! in service.

use std::sync::Arc;

use hyper::StatusCode;
use jackfield_text::Untrusted;
use serde::Deserialize;
use serde_json::{Value, json};

use super::audit::{Caller, Subject};
use super::problem::Problem;
use super::timestamp::time;
use super::{Context, change, result};
use crate::generation::{Canary, Generation, Share};
use crate::http::response::Answer;
use crate::versions::{Candidate, EndedCanary, SourceFile, entry};

/// The maximum size of a path.
const MAX_PATH_BYTES: usize = 4 * 1024;
/// The maximum size of a name that is repeated.
const MAX_NAME_BYTES: usize = 256;

/// The body of a request to place a canary, or to set its share.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct CanaryRequest {
    plugin: String,
    file: Option<String>,
    share: Option<String>,
    wait_seconds: Option<u64>,
}

/// The body of a request about the candidate of a plugin.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct PluginRequest {
    pub(super) plugin: String,
    pub(super) wait_seconds: Option<u64>,
}

/// Shows the canary of the plugin that the query names.
pub(super) fn canary(context: &Context, query: Option<&str>) -> Result<Answer, Problem> {
    let plugin = named(query)?;
    let reloader = &context.state.reloader;
    let generations = reloader.generations();
    let generation = generations.current();
    check_plugin(&generation, &plugin)?;
    let versions = reloader.versions();
    let candidate = versions.candidate(&plugin).filter(|it| it.share().is_some());
    let serving = entry(&generation, &plugin).ok().and_then(|it| it.canary());
    let body = json!({
        "plugin": plugin,
        "canary": candidate.map(|it| shown_canary(&it, serving)),
        "ended": versions.ended_canary(&plugin).as_ref().map(ended),
        "survives_restart": versions.are_kept(),
    });
    Ok(Answer::json(StatusCode::OK, &body))
}

/// A canary; `serving` has its instances, once they are started.
pub(super) fn shown_canary(candidate: &Candidate, serving: Option<&Canary>) -> Value {
    let circuits = serving.into_iter().flat_map(Canary::circuits);
    json!({
        "digest": format!("sha256:{}", candidate.digest),
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
        "digest": format!("sha256:{}", it.digest),
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
    let CanaryRequest { plugin, file, share, wait_seconds } = request;
    let wait = change::wait(wait_seconds)?;
    let subject = Subject::plugin(&plugin)?;
    let share = share.ok_or_else(|| Problem::invalid("`share` is missing, such as \"10%\""))?;
    let share: Share =
        share.parse().map_err(|error| Problem::invalid(format!("`share`: {error}")))?;
    let file = file.map(|file| source(&file)).transpose()?;
    let state = Arc::clone(&context.state);
    let changing = async move {
        let done = match file {
            Some(file) => state.rollout.start_canary(&plugin, file, share).await,
            None => state.rollout.set_share(&plugin, share).await,
        };
        let done = done.map(|candidate| {
            json!({
                "result": "ok",
                "plugin": plugin,
                "digest": format!("sha256:{}", candidate.digest),
                "version": candidate.version,
                "share": share.to_string(),
                "survives_restart": state.reloader.versions().are_kept(),
                "generation": state.reloader.state().generation,
            })
        });
        result::changed(&state, done)
    };
    change::run(context, caller, "canary", subject, wait, changing).await
}

/// Ends a canary.
pub(super) async fn stop_canary(
    context: &Context,
    caller: &Caller,
    request: PluginRequest,
) -> Result<Answer, Problem> {
    let PluginRequest { plugin, wait_seconds } = request;
    let wait = change::wait(wait_seconds)?;
    let subject = Subject::plugin(&plugin)?;
    let state = Arc::clone(&context.state);
    let changing = async move {
        let done = state.rollout.stop_canary(&plugin).await.map(|candidate| {
            json!({
                "result": "ok",
                "plugin": plugin,
                "digest": format!("sha256:{}", candidate.digest),
                "generation": state.reloader.state().generation,
            })
        });
        result::changed(&state, done)
    };
    change::run(context, caller, "canary_stop", subject, wait, changing).await
}

/// Makes the shadow or the canary of a plugin serve.
pub(super) async fn promote(
    context: &Context,
    caller: &Caller,
    request: PluginRequest,
) -> Result<Answer, Problem> {
    let PluginRequest { plugin, wait_seconds } = request;
    let wait = change::wait(wait_seconds)?;
    let subject = Subject::plugin(&plugin)?;
    let state = Arc::clone(&context.state);
    let promoting = async move {
        let done = state.rollout.promote(&plugin).await.map(|target| {
            json!({
                "result": "ok",
                "plugin": target.plugin,
                "from": format!("sha256:{}", target.from),
                "to": format!("sha256:{}", target.to),
                "version": target.version,
                "file": target.file,
                "survives_restart": state.reloader.versions().are_kept(),
                "generation": state.reloader.state().generation,
            })
        });
        result::changed(&state, done)
    };
    change::run(context, caller, "promote", subject, wait, promoting).await
}

/// The file that a request names.
pub(super) fn source(file: &str) -> Result<SourceFile, Problem> {
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

/// Refuses a plugin that does not serve.
pub(super) fn check_plugin(generation: &Generation, plugin: &str) -> Result<(), Problem> {
    match entry(generation, plugin) {
        Ok(_) => Ok(()),
        Err(error) if plugin.len() <= MAX_NAME_BYTES => Err(Problem::unknown(error.to_string())),
        Err(_) => {
            let plugin = Untrusted::new(plugin).at_most(MAX_NAME_BYTES);
            Err(Problem::unknown(format!("no plugin `{plugin}` is in service")))
        }
    }
}
