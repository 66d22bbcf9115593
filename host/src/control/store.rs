//! `/v1/store/…`: the entries of plugins' stores, and a backup of the file of all.
//!
//! [`mod@export`] writes a store as lines, [`mod@import`] reads such lines.

mod export;
mod import;

use std::path::PathBuf;
use std::time::Duration;

use hyper::StatusCode;
use jackfield_sandbox::{
    MAX_KEY_BYTES, PluginStore, StoreEntry, StoreFault, StoreImported, StorePage, StoreRange,
    StoreValue,
};
use jackfield_text::Untrusted;
use serde::Deserialize;
use serde_json::{Value, json};

use super::audit::{Caller, Subject};
use super::change::ChangeEnd;
use super::plugin_lookup::find_plugin;
use super::problem::Problem;
use super::query::Query;
use super::{Context, change};
use crate::cluster::{Home, Rule};
use crate::generation::PluginEntry;
use crate::http::response::Answer;

pub(super) use export::{Lines, export};
pub(super) use import::import;

/// The number of entries of a list, unless the query has another.
const DEFAULT_LIMIT: usize = 1000;
/// The maximum number of entries of a list.
const MAX_LIMIT: usize = 10_000;
/// The maximum size of all keys of a list, in bytes.
const MAX_KEYS_BYTES: usize = 1 << 20;
/// The maximum size of a name or path that is shown.
const MAX_TEXT_BYTES: usize = 256;
/// The maximum size of a path, in bytes.
const MAX_PATH_BYTES: usize = 4096;

/// The body of a request to write an entry.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct SetRequest {
    plugin: String,
    key: String,
    value: Option<StoreValue>,
    ttl_seconds: Option<f64>,
    wait_seconds: Option<u64>,
}

/// The body of a request to remove an entry, or all.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct DeleteRequest {
    plugin: String,
    key: Option<String>,
    all: bool,
    wait_seconds: Option<u64>,
}

/// The body of a request for a backup.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct BackupRequest {
    file: PathBuf,
    wait_seconds: Option<u64>,
}

/// A store that was found.
struct Found {
    store: PluginStore,
    /// How it is kept.
    state: &'static str,
    /// Whether the plugin is in service. The store of a removed one stays.
    is_in_service: bool,
}

/// The use of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Access {
    /// It is read at the home of the plugin.
    Read,
    /// It is read on this node, also if its copy is not the current one.
    ReadHere,
    Write,
}

impl Access {
    /// The access that a query to read asks for.
    fn of(query: &Query<'_>) -> Result<Self, Problem> {
        Ok(if query.is_set("here")? { Self::ReadHere } else { Self::Read })
    }
}

/// Checks that this node has the current store of a plugin.
fn check_home(context: &Context, plugin: &str, access: Access) -> Result<(), Problem> {
    let Some(cluster) = context.state.cluster.as_ref().filter(|_| access != Access::ReadHere)
    else {
        return Ok(());
    };
    let place = match cluster.homes().of(plugin) {
        Some(Home::Here(_)) => return Ok(()),
        None if access == Access::Read || cluster.rule() != Rule::Lease => return Ok(()),
        None => "the plugin is not in service".to_owned(),
        Some(Home::At(node)) => format!("the home of the plugin is {}", cluster.name_of(node)),
        Some(Home::Nowhere) => "no node is the home of the plugin now".to_owned(),
    };
    Err(Problem::conflict(if access == Access::Write {
        format!("{place}: this node cannot change its store\n  = help: change it at the home")
    } else {
        format!(
            "{place}: the copy of its store on this node is not the current one\n  = help: ask the home, or read \
             the copy of this node with `--here`"
        )
    }))
}

/// The store of a plugin in service, or of one that is removed.
async fn find(context: &Context, plugin: &str, access: Access) -> Result<Found, Problem> {
    check_home(context, plugin, access)?;
    let in_service = find_plugin(&context.state.reloader.generations().current(), plugin)
        .map(PluginEntry::store);
    let is_in_service = in_service.is_ok();
    let store = match in_service {
        Ok(store) => store,
        Err(problem) => {
            let removed = context.state.stores.find(plugin).await.map_err(Problem::store_failed)?;
            removed.ok_or(problem)?
        }
    };
    let state = store.state_mode().label();
    Ok(Found { store, state, is_in_service })
}

/// Lists the plugins that have entries.
pub(super) async fn plugins(context: &Context, query: Option<&str>) -> Result<Answer, Problem> {
    Query::parse(query, &[])?;
    let names = context.state.stores.names().await.map_err(Problem::store_failed)?;
    let generations = context.state.reloader.generations();
    let generation = generations.current();
    let is_in_service =
        |name: &str| generation.plugins().iter().any(|it| it.manifest().name == name);
    let plugin = |name: &String| json!({ "plugin": name, "in_service": is_in_service(name) });
    let body = json!({ "plugins": names.iter().map(plugin).collect::<Vec<Value>>() });
    Ok(Answer::json(StatusCode::OK, &body))
}

/// Lists a part of a store.
pub(super) async fn list(context: &Context, query: Option<&str>) -> Result<Answer, Problem> {
    let query = Query::parse(query, &["plugin", "prefix", "after", "limit", "here"])?;
    let limit = query.limit(DEFAULT_LIMIT, MAX_LIMIT)?;
    let Found { store, state, is_in_service } =
        find(context, query.plugin(), Access::of(&query)?).await?;
    let (prefix, after) = (query.get("prefix").unwrap_or_default(), query.get("after"));
    let page = store.list(StoreRange { prefix, after, limit }).await.map_err(|it| failed(&it))?;
    let StorePage { entries, has_more, count, used, quota } = page;
    let mut left = MAX_KEYS_BYTES;
    let fits = |entry: &&StoreEntry| {
        let rest = left.checked_sub(entry.key.len());
        left = rest.unwrap_or_default();
        rest.is_some()
    };
    let shown: Vec<&StoreEntry> = entries.iter().take_while(fits).collect();
    let entry = |entry: &&StoreEntry| {
        let (key, bytes) = (&*entry.key, entry.value.len());
        json!({ "key": key, "bytes": bytes, "ttl_seconds": seconds(entry) })
    };
    let body = json!({
        "plugin": query.plugin(),
        "state": state,
        "in_service": is_in_service,
        "schema": store.schema(),
        "entry_count": count,
        "bytes": used,
        "quota": quota,
        "entries": shown.iter().map(entry).collect::<Vec<Value>>(),
        "has_more": has_more || shown.len() < entries.len(),
    });
    Ok(Answer::json(StatusCode::OK, &body))
}

/// Shows an entry.
pub(super) async fn get(context: &Context, query: Option<&str>) -> Result<Answer, Problem> {
    let query = Query::parse(query, &["plugin", "key", "here"])?;
    let key = query.get("key").unwrap_or_default();
    let Found { store, .. } = find(context, query.plugin(), Access::of(&query)?).await?;
    let entry = store.get(key).await.map_err(|it| failed(&it))?.ok_or_else(|| {
        let key = Untrusted::new(key).at_most(MAX_TEXT_BYTES);
        Problem::unknown(format!("the store has no key `{key}`"))
    })?;
    let body = json!({
        "plugin": query.plugin(),
        "key": &*entry.key,
        "bytes": entry.value.len(),
        "value": StoreValue(entry.value.to_vec()),
        "ttl_seconds": seconds(&entry),
    });
    Ok(Answer::json(StatusCode::OK, &body))
}

/// The remaining time to live, in seconds.
fn seconds(entry: &StoreEntry) -> Option<f64> {
    entry.ttl.map(|ttl| ttl.as_secs_f64())
}

/// Writes an entry.
pub(super) async fn set(
    context: &Context,
    caller: &Caller,
    request: SetRequest,
) -> Result<Answer, Problem> {
    let SetRequest { plugin, key, value, ttl_seconds, wait_seconds } = request;
    let Some(StoreValue(value)) = value else {
        return Err(Problem::invalid("`value` is a text, or `{\"base64\": \"…\"}`"));
    };
    let ttl = match ttl_seconds.map(Duration::try_from_secs_f64) {
        None => None,
        Some(Ok(ttl)) if !ttl.is_zero() => Some(ttl),
        Some(_) => return Err(Problem::invalid("`ttl_seconds` is a number above 0")),
    };
    let wait = change::wait(wait_seconds)?;
    let subject = Subject::entry(&plugin, &checked(&key)?)?;
    let Found { store, state, .. } = find(context, &plugin, Access::Write).await?;
    let bytes = value.len();
    let writing = async move {
        let entry = StoreEntry { key: key.as_str().into(), value: value.into(), ttl };
        ended(store.set(entry).await.map(|()| {
            json!({
                "result": "ok", "plugin": plugin, "key": key, "bytes": bytes, "state": state,
            })
        }))
    };
    change::run(context, caller, "store_set", subject, wait, writing).await
}

/// Removes an entry, or all.
pub(super) async fn delete(
    context: &Context,
    caller: &Caller,
    request: DeleteRequest,
) -> Result<Answer, Problem> {
    let DeleteRequest { plugin, key, all, wait_seconds } = request;
    let wait = change::wait(wait_seconds)?;
    if key.is_some() == all {
        return Err(Problem::invalid("a request to delete has a `key`, or `all`: true"));
    }
    let subject = match &key {
        Some(key) => Subject::entry(&plugin, &checked(key)?)?,
        None => Subject::plugin(&plugin)?,
    };
    let Found { store, state, .. } = find(context, &plugin, Access::Write).await?;
    let removing = async move {
        let removed = if let Some(key) = &key {
            store.delete(key).await.map(usize::from)
        } else {
            let emptied = store.import(Vec::new(), true).await;
            emptied.map(|StoreImported { removed, .. }| removed)
        };
        ended(removed.map(|removed| {
            let result = if removed > 0 { "ok" } else { "unchanged" };
            json!({
                "result": result, "plugin": plugin, "key": key, "removed": removed, "state": state,
            })
        }))
    };
    let action = if all { "store_delete_all" } else { "store_delete" };
    change::run(context, caller, action, subject, wait, removing).await
}

/// Copies the file of all stores to a new file.
pub(super) async fn back_up(
    context: &Context,
    caller: &Caller,
    request: BackupRequest,
) -> Result<Answer, Problem> {
    let BackupRequest { file, wait_seconds } = request;
    caller.check_files()?;
    let wait = change::wait(wait_seconds)?;
    if !file.is_absolute() || file.as_os_str().len() > MAX_PATH_BYTES {
        let message = format!("`file` is an absolute path, up to {MAX_PATH_BYTES} bytes");
        return Err(Problem::invalid(message));
    }
    let subject = Subject::file(&file);
    let backup = context.state.stores.clone();
    let copying = async move {
        match backup.back_up(file.clone()).await {
            Ok(bytes) => {
                let body = json!({ "result": "ok", "file": file, "bytes": bytes });
                ChangeEnd::new("ok", Ok(Answer::json(StatusCode::OK, &body)))
            }
            Err(error) => ChangeEnd::new("failed", Err(Problem::conflict(error))),
        }
    };
    change::run(context, caller, "store_backup", subject, wait, copying).await
}

fn checked(key: &str) -> Result<String, Problem> {
    if key.len() > MAX_KEY_BYTES {
        return Err(failed(&StoreFault::Key(key.len())));
    }
    Ok(key.to_owned())
}

fn ended(result: Result<Value, StoreFault>) -> ChangeEnd {
    match result {
        Ok(body) => {
            let is_change = body.get("result").is_none_or(|result| result != "unchanged");
            let result = if is_change { "ok" } else { "unchanged" };
            ChangeEnd::new(result, Ok(Answer::json(StatusCode::OK, &body)))
        }
        Err(fault) => ChangeEnd::new("failed", Err(failed(&fault))),
    }
}

fn failed(fault: &StoreFault) -> Problem {
    let text = fault.to_string();
    match fault {
        StoreFault::Key(_) | StoreFault::Value(_) => Problem::invalid(text),
        StoreFault::Full { .. } => Problem::conflict(text),
        StoreFault::Failed(_) => Problem::store_failed(text),
    }
}
