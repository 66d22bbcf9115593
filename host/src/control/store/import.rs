//! Import: reads the lines of an export, all or nothing. What is read is bounded by the quota of the
//! store, and each line by a limit of its own.

use std::collections::HashSet;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::StatusCode;
use hyper::body::Body;
use jackfield_sandbox::{PluginStore, StoreEntry, StoreImported};
use jackfield_text::Untrusted;
use serde_json::json;

use super::super::audit::{Caller, Subject};
use super::super::body::{Pace, Parts};
use super::super::change::ChangeEnd;
use super::super::problem::Problem;
use super::super::{Context, change};
use super::export::now_ms;
use super::{Access, Found, MAX_TEXT_BYTES, Query, failed, find};
use crate::http::response::Answer;
use crate::store_lines::{Head, Line, VERSION};

/// The maximum size of a line: a value of the maximum size whose bytes are all escaped.
const MAX_LINE_BYTES: usize = 7 << 20;
/// The pace of the lines. The command waits longer, so that it learns the reason of an end.
const PACE: Pace =
    Pace { window: Duration::from_secs(10), min_bytes: 1 << 10, max_time: Duration::from_mins(10) };

/// An import while its lines are read.
struct Import<'a> {
    plugin: &'a str,
    store: &'a PluginStore,
    /// Whether lines of another plugin or layout are accepted.
    is_forced: bool,
    head: Option<Head>,
    entries: Vec<StoreEntry>,
    keys: HashSet<Arc<str>>,
    /// The memory that the entries need.
    cost: usize,
    quota: usize,
    /// The number of entries that have expired meanwhile.
    expired: usize,
    /// The number of the line.
    line: u64,
    /// The time of the import, in milliseconds since 1970.
    at_ms: u64,
}

/// Imports lines into the store of a plugin.
pub(in super::super) async fn import<B>(
    context: &Context,
    caller: &Caller,
    query: Option<&str>,
    body: B,
) -> Result<Answer, Problem>
where
    B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>>,
{
    let query = Query::parse(query, &["plugin", "replace", "force"])?;
    let plugin = query.plugin();
    let subject = Subject::plugin(plugin)?;
    let (replaces, is_forced) = (query.is_set("replace")?, query.is_set("force")?);
    let Found { store, state, .. } = find(context, plugin, Access::Write).await?;
    // Held until the entries are in the store: each import takes memory up to the quota.
    let place = context.imports.take(&context.state.shutdown)?;
    let quota = store.quota();
    let mut import = Import {
        plugin,
        store: &store,
        is_forced,
        head: None,
        entries: Vec::new(),
        keys: HashSet::new(),
        cost: 0,
        quota,
        expired: 0,
        line: 0,
        at_ms: now_ms(),
    };
    import.read(body).await?;
    let (entries, expired) = (import.entries, import.expired);
    let plugin = plugin.to_owned();
    let importing = {
        let store = store.clone();
        async move {
            let _place = place;
            match store.import(entries, replaces).await {
                Ok(StoreImported { written, removed }) => {
                    let body = json!({
                        "result": "ok",
                        "plugin": plugin,
                        "written": written,
                        "removed": removed,
                        "expired": expired,
                        "state": state,
                    });
                    ChangeEnd::new("ok", Ok(Answer::json(StatusCode::OK, &body)))
                }
                Err(fault) => ChangeEnd::new("failed", Err(failed(&fault))),
            }
        }
    };
    change::run(context, caller, "store_import", subject, change::wait(None)?, importing).await
}

impl Import<'_> {
    /// Reads all lines.
    async fn read<B>(&mut self, body: B) -> Result<(), Problem>
    where
        B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>>,
    {
        let mut parts = Parts::new(body, PACE);
        let mut rest: Vec<u8> = Vec::new();
        while let Some(part) = parts.next().await? {
            self.part(&mut rest, &part)?;
        }
        if !rest.is_empty() {
            self.next(&rest)?;
        }
        self.end()
    }

    /// Reads the lines that a part completes.
    fn part(&mut self, rest: &mut Vec<u8>, part: &[u8]) -> Result<(), Problem> {
        let mut lines = part.split(|byte| *byte == b'\n');
        // The last one has no end yet.
        let last = lines.next_back().unwrap_or_default();
        for line in lines {
            if rest.is_empty() {
                self.next(line)?;
            } else {
                rest.extend_from_slice(line);
                self.next(rest)?;
                rest.clear();
            }
        }
        rest.extend_from_slice(last);
        if rest.len() > MAX_LINE_BYTES {
            return Err(Problem::in_line(
                self.line + 1,
                format!("a line has at most {MAX_LINE_BYTES} bytes"),
            ));
        }
        Ok(())
    }

    fn next(&mut self, line: &[u8]) -> Result<(), Problem> {
        self.line += 1;
        let read = if self.head.is_none() { self.head(line) } else { self.entry(line) };
        read.map_err(|text| Problem::in_line(self.line, text))
    }

    fn head(&mut self, line: &[u8]) -> Result<(), String> {
        let head: Head = serde_json::from_slice(line).map_err(|error| {
            let reason = reason(&error);
            format!("this is not the head of an export, `{{\"jackfield_store\": 1, …}}`: {reason}")
        })?;
        if head.jackfield_store != VERSION {
            let found = head.jackfield_store;
            return Err(format!("the form has version {found}, and this server knows {VERSION}"));
        }
        if head.plugin != self.plugin && !self.is_forced {
            let other = Untrusted::new(&head.plugin).at_most(MAX_TEXT_BYTES);
            return Err(format!(
                "the export is of the plugin `{other}`; `force` imports it anyway"
            ));
        }
        let schema = self.store.schema();
        if head.schema != schema && !self.is_forced {
            let found = head.schema;
            return Err(format!(
                "the export has the layout (`schema`) {found}, and the plugin in service writes \
                 {schema}; `force` imports it anyway"
            ));
        }
        self.head = Some(head);
        Ok(())
    }

    fn entry(&mut self, line: &[u8]) -> Result<(), String> {
        let Line { key, value, expires_ms } = serde_json::from_slice(line)
            .map_err(|error| format!("this is not an entry: {}", reason(&error)))?;
        let expected = self.head.as_ref().map_or(0, |head| head.entries);
        if self.keys.len() == expected {
            return Err(format!(
                "the head says that there are {expected} entries; this is one more"
            ));
        }
        let key: Arc<str> = key.into();
        let ttl = expires_ms.map(|at| Duration::from_millis(at.saturating_sub(self.at_ms)));
        let entry = StoreEntry { key: Arc::clone(&key), value: value.0.into(), ttl };
        entry.check().map_err(|fault| fault.to_string())?;
        if !self.keys.insert(key) {
            let key = Untrusted::new(&entry.key).at_most(MAX_TEXT_BYTES);
            return Err(format!("an earlier line has the key `{key}` already"));
        }
        // Also of those that have expired: what is read is bounded.
        self.cost += entry.cost();
        if self.cost > self.quota {
            let quota = self.quota;
            return Err(format!(
                "the entries up to here exceed the quota of the store, {quota} bytes \
                 (`plugins.*.store`)"
            ));
        }
        if entry.ttl.is_some_and(|ttl| ttl.is_zero()) {
            self.expired += 1;
        } else {
            self.entries.push(entry);
        }
        Ok(())
    }

    fn end(&self) -> Result<(), Problem> {
        let Some(head) = &self.head else {
            return Err(Problem::in_line(1, "it is empty: an export begins with a head"));
        };
        let (found, expected) = (self.keys.len(), head.entries);
        if found < expected {
            let text = format!("it ends after {found} of {expected} entries: it is not whole");
            return Err(Problem::in_line(self.line, text));
        }
        Ok(())
    }
}

/// The text of an error in one line of JSON, with the column.
fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let text = text.split(" at line 1 column ").next().unwrap_or_default();
    let text = Untrusted::new(text).at_most(MAX_TEXT_BYTES);
    format!("{text} (column {})", error.column())
}
