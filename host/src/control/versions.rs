//! `GET /v1/history`, `POST /v1/rollback`, `/v1/unpin`, `/v1/disable` and `/v1/enable`: the versions of plugins.

use std::sync::Arc;

use hyper::StatusCode;
use jackfield_text::Untrusted;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Context;
use super::audit::{Caller, Subject};
use super::problem::Problem;
use super::result::{Changed, PluginRequest, VersionChange, check_digest, sha256};
use crate::http::response::Answer;
use crate::server_state::ServerState;
use crate::timestamp::time;
use crate::versions::{Period, Pin, PluginVersions};

/// The maximum number of plugins in an answer.
const MAX_PLUGINS: usize = 200;
/// The maximum size of a text of a plugin.
const MAX_TEXT_BYTES: usize = 256;

/// The body of a request to return to a version.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RollbackRequest {
    plugin: String,
    digest: Option<String>,
    wait_seconds: Option<u64>,
}

/// Lists the versions that have served, of all plugins or of the one that the query names.
pub(super) fn history(context: &Context, query: Option<&str>) -> Result<Answer, Problem> {
    let mut plugin = None;
    for (key, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
        if key != "plugin" {
            return Err(Problem::invalid("the query has one key, `plugin`"));
        }
        plugin = Some(value.into_owned());
    }
    let plugins = context.state.reloader.versions().history(plugin.as_deref());
    if plugins.is_empty()
        && let Some(plugin) = plugin
    {
        let plugin = Untrusted::new(plugin).at_most(MAX_TEXT_BYTES);
        return Err(Problem::unknown(format!("no plugin `{plugin}` has served here")));
    }
    let count = plugins.len();
    let shown = plugins.iter().take(MAX_PLUGINS);
    let shown: Vec<Value> = shown.map(|(name, versions)| shown_plugin(name, versions)).collect();
    Ok(Answer::json(StatusCode::OK, &json!({ "plugin_count": count, "plugins": shown })))
}

fn shown_plugin(name: &str, versions: &PluginVersions) -> Value {
    json!({
        "name": name,
        "disabled_since": versions.disabled.map(|it| time(it.since)),
        "pin": versions.pin.as_ref().map(pin),
        "versions": versions.versions.iter().map(period).collect::<Vec<_>>(),
    })
}

fn pin(pin: &Pin) -> Value {
    json!({
        "file": pin.file,
        "file_digest": pin.replaces.as_deref().map(sha256),
        "digest": sha256(&pin.serves),
        "since": time(pin.since),
        "by": pin.by.label(),
    })
}

fn period(period: &Period) -> Value {
    json!({
        "digest": sha256(&period.digest),
        "version": period.version,
        "contract": period.contract,
        "schema": period.schema,
        "file": period.file,
        "since": time(period.since),
        "cause": period.cause,
        "took_seconds": period.took.as_secs_f64(),
        "until": period.ended.map(|it| time(it.at)),
        "ended": period.ended.map(|it| it.reason.label()),
        "kept": period.is_kept,
    })
}

/// Returns to an earlier version.
pub(super) async fn roll_back(
    context: &Context,
    caller: &Caller,
    request: RollbackRequest,
) -> Result<Answer, Problem> {
    let RollbackRequest { plugin, digest, wait_seconds } = request;
    let subject = Subject::plugin(&plugin)?;
    check_digest(digest.as_deref())?;
    let subject = subject.with_digest(digest.as_deref());
    let change = VersionChange { context, caller, action: "rollback", subject, wait_seconds };
    let roll_back = async move |state: Arc<ServerState>| {
        let target = state.rollout.roll_back(&plugin, digest.as_deref()).await?;
        Ok(Changed::target(&target))
    };
    change.run(roll_back).await
}

/// Ends the pin of a plugin: its file serves again.
pub(super) async fn unpin(
    context: &Context,
    caller: &Caller,
    request: PluginRequest,
) -> Result<Answer, Problem> {
    let (change, plugin) = VersionChange::of_plugin(context, caller, "unpin", request)?;
    let unpin = async move |state: Arc<ServerState>| {
        Ok(match state.rollout.unpin(&plugin).await? {
            Some(target) => Changed::target(&target),
            None => Changed::of_plugin(false, json!({ "plugin": plugin })),
        })
    };
    change.run(unpin).await
}

/// Disables or enables a plugin.
pub(super) async fn set_enabled(
    context: &Context,
    caller: &Caller,
    request: PluginRequest,
    is_enabled: bool,
) -> Result<Answer, Problem> {
    let action = if is_enabled { "enable" } else { "disable" };
    let (change, plugin) = VersionChange::of_plugin(context, caller, action, request)?;
    let set = async move |state: Arc<ServerState>| {
        let is_change = state.rollout.set_enabled(&plugin, is_enabled).await?;
        Ok(Changed::of_plugin(is_change, json!({ "plugin": plugin })))
    };
    change.run(set).await
}
