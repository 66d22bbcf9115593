//! `GET /v1/plugin`, `GET /v1/faults` and `GET /v1/log`: a plugin's hooks with their times, its last
//! faults with backtraces, and its last log lines.

use std::collections::BTreeMap;

use hyper::StatusCode;
use jackfield_metrics::Durations;
use jackfield_sandbox::{HandlerCounts, Hook};
use serde_json::{Value, json};

use super::Context;
use super::plugin_lookup::find_plugin;
use super::problem::Problem;
use super::query::Query;
use crate::http::response::Answer;
use crate::log::PluginLine;
use crate::timestamp::time;

/// The maximum number of handlers in an answer.
const MAX_HANDLERS: usize = 200;
/// The maximum number of log lines of an answer.
const MAX_LINES: usize = 200;
/// The maximum number of faults of an answer.
const MAX_FAULTS: usize = 50;

/// Shows the times of a plugin's hooks, and the numbers of its faults.
pub(super) fn one(context: &Context, query: Option<&str>) -> Result<Answer, Problem> {
    let query = Query::parse(query, &["plugin"])?;
    let name = query.plugin();
    let reloader = &context.state.reloader;
    let generations = reloader.generations();
    let generation = generations.current();
    let entry = find_plugin(&generation, name)?;
    let counts = reloader.plugin_metrics().handlers();
    let mut counts: BTreeMap<&str, &HandlerCounts> =
        counts.iter().filter(|it| it.plugin == name).map(|it| (&*it.handler, it)).collect();
    let handlers = &entry.manifest().handlers;
    let shown = handlers.iter().take(MAX_HANDLERS).map(|handler| {
        let counts = counts.remove(handler.name.as_str());
        let hooks = counts.iter().flat_map(|it| &it.hooks).map(hook);
        json!({
            "name": handler.name,
            "hooks": hooks.collect::<Vec<_>>(),
            "faults": counts.map(|it| &it.faults).cloned().unwrap_or_default(),
        })
    });
    let body = json!({
        "plugin": name,
        "waiting": entry.waiting(),
        "handler_count": handlers.len(),
        "handlers": shown.collect::<Vec<_>>(),
    });
    Ok(Answer::json(StatusCode::OK, &body))
}

fn hook((hook, times): &(Hook, Durations)) -> Value {
    let buckets = times.cumulative().map(|(bound, count)| json!({ "le": bound, "count": count }));
    json!({
        "hook": hook.name(),
        "count": times.count(),
        "seconds": times.seconds(),
        "buckets": buckets.collect::<Vec<_>>(),
    })
}

/// Lists the last faults of a plugin, the newest first.
pub(super) fn faults(context: &Context, query: Option<&str>) -> Result<Answer, Problem> {
    let query = Query::parse(query, &["plugin", "limit"])?;
    let limit = query.limit(MAX_FAULTS, MAX_FAULTS)?;
    let plugin = query.plugin();
    let faults = context.state.plugin_log.faults(plugin, limit);
    let shown = faults.iter().rev().map(|fault| {
        let text = |name| fault.fields.get(name);
        json!({
            "at": time(fault.at),
            "kind": text("kind"),
            "hook": text("hook"),
            "handler": text("handler"),
            "topic": text("topic"),
            "message": text("message"),
            "backtrace": text("backtrace"),
        })
    });
    let body = json!({ "plugin": plugin, "faults": shown.collect::<Vec<_>>() });
    Ok(Answer::json(StatusCode::OK, &body))
}

/// Lists the last log lines of a plugin behind a number, the oldest first.
pub(super) fn log(context: &Context, query: Option<&str>) -> Result<Answer, Problem> {
    let query = Query::parse(query, &["plugin", "after", "limit"])?;
    let limit = query.limit(MAX_LINES, MAX_LINES)?;
    let after = query.number("after")?.unwrap_or(0);
    let plugin = query.plugin();
    let lines = context.state.plugin_log.lines(plugin, after, limit);
    // A number behind the last line is one of an earlier process.
    let next =
        lines.last().map_or_else(|| after.min(context.state.plugin_log.last()), |it| it.number);
    let shown = lines.iter().map(|line| {
        let PluginLine { number, at, level, fields } = line;
        json!({
            "number": number,
            "at": time(*at),
            "level": level.as_str().to_lowercase(),
            "handler": fields.get("handler"),
            "topic": fields.get("topic"),
            "message": fields.get("message"),
        })
    });
    let body = json!({
        "plugin": plugin,
        "started": time(context.process.started),
        "lines": shown.collect::<Vec<_>>(),
        "next": next,
    });
    Ok(Answer::json(StatusCode::OK, &body))
}
