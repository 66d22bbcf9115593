//! `GET /v1/status`: the state of the server in one bounded answer.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use hyper::StatusCode;
use jackfield_config::AdminPlace;
use jackfield_sandbox::{CircuitState, CircuitStatus, Compiling, OutgoingCount, OutgoingKind};
use jackfield_text::Untrusted;
use jackfield_tls::CertificateInfo;
use jackfield_wamp::dialect::Dialect;
use serde_json::{Value, json};

use super::cluster;
use super::ended;
use super::problem::Problem;
use super::query::Query;
use super::settings;
use super::{AdminInfo, Context};
use crate::client_listener::ClientListener;
use crate::generation::{self, PluginEntry};
use crate::http::response::Answer;
use crate::listener_tls::ListenerTls;
use crate::rates::TrafficCounts;
use crate::reload::{Names, PluginChange, ReloadChanges, ReloadRecord, Reloader, ServedVersion};
use crate::server_state::ServerState;
use crate::shadow::{Shadow, Shadows};
use crate::timestamp::time;

/// The maximum number of plugins in an answer.
const MAX_PLUGINS: usize = 200;
/// The maximum number of entries in a list: handlers and lanes of a plugin, files that are being loaded.
const MAX_NAMES: usize = 50;
/// The maximum number of problems of each reload.
const MAX_PROBLEMS: usize = 10;
/// The maximum size of a text of a problem.
const MAX_TEXT_BYTES: usize = 4 * 1024;

/// Shows the state of the server.
pub(super) fn answer(context: &Context, query: Option<&str>) -> Result<Answer, Problem> {
    Query::parse(query, &[])?;
    let Context { state, connections, process, listeners, admin, .. } = context;
    let ServerState { reloader, realms, instance_memory, totals, .. } = &**state;
    let reload_state = reloader.state();
    let generations = reloader.generations();
    let generation = generations.current();
    let plugins = generation.plugins();
    let mut protocols: BTreeMap<&str, usize> =
        Dialect::ALL.iter().map(|dialect| (dialect.subprotocol(), 0)).collect();
    let mut shown_realms = Vec::new();
    // The first one is the realm of requests that name none.
    let default = realms.default_realm();
    let others = realms.iter().filter(|it| !Arc::ptr_eq(it, &default));
    for dispatch in std::iter::once(&default).chain(others) {
        let realm = dispatch.realm();
        let sessions = realm.sessions();
        for session in &sessions {
            *protocols.entry(session.dialect.subprotocol()).or_default() += 1;
        }
        shown_realms.push(json!({
            "name": realm.name(),
            "sessions": sessions.len(),
            "subscriptions": realm.subscription_count(),
            "subscription_limit": realm.limits().realm_subscriptions,
            "topics": realm.topic_count(),
            "topic_limit": realm.limits().topics,
        }));
    }
    let history = reloader.history();
    let history_numbers = realms.history_numbers();
    let (traffic, rates) = state.rates.view();
    let (lanes, stores) = generation.totals();
    let (limits, in_flight) = (reloader.plugin_settings(), reloader.in_flight());
    let pinned = reloader.versions().pinned();
    let shadows = state.rollout.shadows();
    let shown = plugins.iter().take(MAX_PLUGINS).map(|entry| plugin(entry, &pinned, shadows));
    let body = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "pid": std::process::id(),
        "state": state.phase().label(),
        "started": time(process.started),
        "uptime_seconds": process.began.elapsed().as_secs(),
        "site": process.site.display().to_string(),
        "config_file": process.config_file.as_ref().map(|path| path.display().to_string()),
        "listen": listeners.first().map(|it| it.place()),
        "listeners": listeners.iter().map(|it| listener(it)).collect::<Vec<_>>(),
        "admin": admin_listener(admin),
        "generation": {
            "number": generation.number(),
            "hash": generation.hash().to_string(),
            "since": time(reload_state.since),
            "routes": generation.routes().routes().len(),
        },
        "loading": names(generation.loading().iter().map(String::as_str)),
        "compiling": compiling(reloader),
        "plugin_totals": {
            "lanes": { "used": lanes, "limit": limits.lanes },
            "stores": { "bytes": stores, "limit": limits.stores },
            "in_flight": { "used": in_flight, "limit": limits.in_flight },
        },
        // Whether a plugin can return to an earlier version.
        "keeps_versions": reloader.versions().are_kept(),
        "plugin_count": plugins.len(),
        "plugins": shown.collect::<Vec<_>>(),
        "connections": { "open": connections.used(), "limit": connections.limit() },
        "sessions": { "open": protocols.values().sum::<usize>(), "by_protocol": protocols },
        "realms": shown_realms,
        "memory": {
            "instances": { "bytes": instance_memory.used(), "limit": instance_memory.limit() },
            "outboxes": { "bytes": totals.outboxes.bytes(), "limit": totals.outboxes.limit() },
            "waiting": { "bytes": totals.backlog.bytes(), "limit": totals.backlog.limit() },
            "incomplete": { "bytes": totals.arriving.bytes(), "limit": totals.arriving.limit() },
            "history": { "bytes": history_numbers.bytes, "limit": history_numbers.limit },
        },
        "history": {
            "topics": history_numbers.topics,
            "evictions": history_numbers.evictions,
            "replayed_events": history_numbers.replayed,
            "recovered": history_numbers.recovered,
            "not_recovered": history_numbers.not_recovered,
            "failure": state.history_log.as_ref().and_then(|log| log.failure()),
        },
        "cluster": state.cluster.as_ref().map(|node| cluster::state(node, state)),
        "traffic": counts(traffic),
        "rates": {
            "over_seconds": rates.time.as_secs_f64(),
            "messages_in": rates.per_second.messages_in,
            "bytes_in": rates.per_second.bytes_in,
            "messages_out": rates.per_second.messages_out,
            "bytes_out": rates.per_second.bytes_out,
        },
        "ended": ended::counts(&state.ended),
        "problem_count": reload_state.problems.len(),
        "failed_since": reload_state.failed_since.map(time),
        "settings": settings::state(&state.settings),
        "save_error": reloader.versions().unsaved(),
        "reloads": history.iter().map(|record| reload(record)).collect::<Vec<_>>(),
    });
    Ok(Answer::json(StatusCode::OK, &body))
}

/// A listener for clients.
fn listener(listener: &ClientListener) -> Value {
    json!({
        "name": listener.name,
        "url": listener.url,
        "certificates": certificates(listener.tls.as_deref()),
    })
}

/// The admin listener; null without one.
fn admin_listener(admin: &AdminInfo) -> Option<Value> {
    let listen = match admin.listen.as_ref()? {
        AdminPlace::Address(address) => address.to_string(),
        AdminPlace::Socket(path) => path.display().to_string(),
    };
    Some(json!({ "listen": listen, "certificates": certificates(admin.tls.as_deref()) }))
}

fn certificates(tls: Option<&ListenerTls>) -> Vec<Value> {
    let certificate = |(file, info): (PathBuf, CertificateInfo)| {
        json!({
            "file": file.display().to_string(),
            "hosts": info.hosts(),
            "expires": time(info.end()),
            "seconds_left": info.seconds_left(),
        })
    };
    tls.into_iter().flat_map(ListenerTls::certificates).map(certificate).collect()
}

fn counts(traffic: TrafficCounts) -> Value {
    let TrafficCounts { messages_in, bytes_in, messages_out, bytes_out } = traffic;
    json!({
        "messages_in": messages_in,
        "bytes_in": bytes_in,
        "messages_out": messages_out,
        "bytes_out": bytes_out,
    })
}

fn plugin(entry: &PluginEntry, pinned: &BTreeSet<String>, shadows: &Shadows) -> Value {
    let manifest = entry.manifest();
    let circuits: Vec<CircuitStatus> = entry.circuits().collect();
    let open = circuits.iter().filter(|circuit| circuit.is_open());
    let has = |state| circuits.iter().any(|circuit| circuit.state == state);
    let states = [CircuitState::Open, CircuitState::HalfOpen];
    let worst = states.into_iter().find(|state| has(*state)).unwrap_or(CircuitState::Closed);
    let digest = entry.digest().hex().to_string();
    json!({
        "name": manifest.name,
        "version": manifest.version,
        "file": entry.file(),
        "pinned": pinned.contains(&digest),
        "digest": format!("sha256:{digest}"),
        "contract": entry.contract(),
        "stateless": manifest.is_stateless,
        "schema": manifest.schema,
        "handler_count": manifest.handlers.len(),
        "handlers": names(manifest.handlers.iter().map(|handler| handler.name.as_str())),
        "disabled": entry.is_disabled(),
        "canary": entry.canary().map(|it| json!({
            "digest": format!("sha256:{}", it.digest().hex()),
            "share": it.share().to_string(),
            "memory": { "bytes": it.memory_used() },
        })),
        "shadow": shadows.of(&manifest.name).map(|it| shadow(&it)),
        "instances": entry.lanes(),
        "recycled": entry.recycled(),
        "outgoing": {
            "http": count(entry.outgoing(OutgoingKind::Http)),
            "calls": count(entry.outgoing(OutgoingKind::Call)),
            "later": count(entry.outgoing(OutgoingKind::Deferred)),
        },
        "store": {
            "state": entry.state_mode(),
            "failure": entry.store_failure(),
            "bytes": entry.store().used(),
            "limit": entry.store_limit(),
        },
        "queue": {
            "waiting": entry.waiting(),
            "lanes": entry.queues().take(MAX_NAMES).collect::<Vec<_>>(),
        },
        "memory": { "bytes": entry.memory_used(), "limit_per_instance": entry.memory_limit() },
        "circuit_breaker": {
            "state": worst.label(),
            "faults": circuits.iter().map(|it| it.faults).sum::<u64>(),
            "opened": circuits.iter().map(|it| it.opened).sum::<u64>(),
            "open": open.take(MAX_NAMES).map(circuit).collect::<Vec<_>>(),
        },
    })
}

/// The calls of a shadow.
fn shadow(shadow: &Shadow) -> Value {
    let report = shadow.report();
    json!({
        "digest": format!("sha256:{}", shadow.wanted.digest),
        "compared": report.compared,
        "differing": report.differing,
        "faults": report.faults,
        "left_out": report.left_out.sum(),
    })
}

/// The numbers of a kind of effects with an answer.
fn count(count: OutgoingCount) -> Value {
    let OutgoingCount { in_flight, accepted, refused, dropped } = count;
    json!({
        "in_flight": in_flight,
        "accepted": accepted,
        "refused": refused,
        "dropped": dropped,
    })
}

/// A handler's circuits that refuse calls.
fn circuit(status: &CircuitStatus) -> Value {
    json!({
        "handler": status.handler,
        "state": status.state.label(),
        "sessions": status.sessions,
        "clients": status.clients,
        "topics": status.topics,
    })
}

fn reload(record: &ReloadRecord) -> Value {
    let shown = record.problems.iter().take(MAX_PROBLEMS);
    json!({
        "at": time(record.at),
        "cause": record.cause.label(),
        "result": record.result.label(),
        "generation": record.generation,
        "took_seconds": record.took.as_secs_f64(),
        "loading": names(record.loading.iter().map(String::as_str)),
        "problem_count": record.problem_count,
        "problems": shown.map(problem).collect::<Vec<_>>(),
        "changes": record.changes.as_ref().map(changes),
    })
}

/// The difference that a reload has made.
fn changes(changes: &ReloadChanges) -> Value {
    let ReloadChanges { added_routes, removed_routes, changed_routes, plugins, plugin_count } =
        changes;
    let names = |names: &Names| json!({ "count": names.count, "names": names.first });
    let version = |version: &Option<ServedVersion>| {
        let shown = |it: &ServedVersion| json!({ "version": it.version, "digest": format!("sha256:{}", it.digest) });
        version.as_ref().map(shown)
    };
    let plugin = |it: &PluginChange| {
        let PluginChange { name, kind, from, to } = it;
        json!({ "name": name, "change": kind.label(), "from": version(from), "to": version(to) })
    };
    json!({
        "routes": {
            "added": names(added_routes),
            "removed": names(removed_routes),
            "changed": names(changed_routes),
        },
        "plugin_count": plugin_count,
        "plugins": plugins.iter().map(plugin).collect::<Vec<_>>(),
    })
}

/// The components that are being compiled, the one that takes longest first.
pub(super) fn compiling(reloader: &Reloader) -> Vec<Value> {
    let all = reloader.compiling().into_iter().take(MAX_NAMES);
    let shown = |it: Compiling| {
        let Compiling { file, since } = it;
        json!({ "file": file, "seconds": since.elapsed().as_secs() })
    };
    all.map(shown).collect()
}

/// A problem with its place; `text` is what the log and `jackfield check` show of it.
pub(super) fn problem(problem: &generation::Problem) -> Value {
    let (file, line, column) = problem.place();
    let text = problem.to_string();
    let text = Untrusted::new(text).at_most(MAX_TEXT_BYTES).with_lines().to_string();
    let message = Untrusted::new(problem.message()).at_most(MAX_TEXT_BYTES).with_lines();
    json!({
        "file": Some(file).filter(|file| !file.is_empty()),
        "line": Some(line).filter(|line| *line > 0),
        "column": Some(column).filter(|column| *column > 0),
        "message": message.to_string(),
        "text": text,
    })
}

fn names<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    names.take(MAX_NAMES).collect()
}
