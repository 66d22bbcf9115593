//! Engine of a cluster: each commit is in a log that all nodes share, before it is in the file of this node.
//!
//! The log comes first. A crash between the two leaves a commit in the log that no client has seen
//! acknowledged: the next home has it. A message is put only behind the last one that this engine knows, so a
//! node that was replaced without knowing it is refused, and gives the plugin up. It does so too if the log does
//! not answer, and if the file cannot be written: then the log may have what the file has not. A plugin that was
//! given up is read from the log again before the next commit ([`Engine::take_over`]).

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;

use crate::log::{Record, write};
use crate::{
    Backup, Changes, Engine, EngineError, LogState, Saved, SqliteEngine, Syncer, TakeOver, Value,
};

/// The minimum size of a log's commits before a snapshot replaces them, in bytes.
const MIN_COMPACTED_BYTES: usize = 1 << 20;

/// The minimum number of messages before a snapshot replaces them: a new home reads one after another.
const MIN_COMPACTED_MESSAGES: usize = 4_096;

/// The bytes of a snapshot for which one message more may be in the log.
const BYTES_PER_MESSAGE: usize = 4_096;

/// The logs of a cluster's stores.
pub trait CommitLog: Send {
    /// Returns whether commits have to be in the log. If not, this engine only writes to the file.
    fn is_required(&self) -> bool;

    /// Returns the maximum size of a message in bytes.
    fn max_message_bytes(&self) -> usize;

    /// Puts messages to logs of different plugins, all at the same time. Returns the results in their order.
    fn append(&mut self, appends: Vec<Append>) -> Vec<Result<Appended, AppendError>>;

    /// Removes the messages of a plugin before a sequence number, if the log answers.
    fn trim(&mut self, plugin: &str, before: u64);

    /// This engine has given a plugin up, for this reason.
    fn given_up(&self, plugin: &str, error: &EngineError);
}

/// Messages of one record.
#[derive(Clone, Debug)]
pub struct Append {
    /// The plugin.
    pub plugin: Arc<str>,
    /// The last message of the log, behind which the first of these comes.
    pub expected: u64,
    /// The messages, in order.
    pub parts: Vec<Bytes>,
}

/// The places of appended messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// That of the first one.
    pub first: u64,
    /// That of the last one.
    pub last: u64,
}

/// Messages cannot be appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AppendError {
    /// Another node has written since.
    Behind,
    /// The log does not answer: they may be there.
    Failed(String),
}

impl From<AppendError> for EngineError {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::Behind => Self::Replaced,
            AppendError::Failed(reason) => Self::Log(reason),
        }
    }
}

/// The engine.
pub struct CopiedEngine<L, E = SqliteEngine> {
    inner: E,
    log: L,
    /// The plugins whose home is this node.
    copies: HashMap<Arc<str>, Copy>,
}

/// The end of a plugin's log.
#[derive(Debug)]
struct Copy {
    last: u64,
    snapshot_bytes: usize,
    bytes_since: usize,
    messages_since: usize,
    /// Messages before this one are to be removed.
    trim: Option<u64>,
}

impl Copy {
    fn of(state: &LogState) -> Self {
        let LogState { last, snapshot_bytes, bytes_since, messages_since, .. } = *state;
        Self { last, snapshot_bytes, bytes_since, messages_since, trim: None }
    }

    fn appended(&mut self, appended: Appended, bytes: usize, messages: usize) {
        self.last = appended.last;
        self.bytes_since += bytes;
        self.messages_since += messages;
    }

    /// Returns whether the log is about twice as large as the store.
    fn is_long(&self) -> bool {
        self.bytes_since > MIN_COMPACTED_BYTES.max(self.snapshot_bytes)
            || self.messages_since
                > MIN_COMPACTED_MESSAGES.max(self.snapshot_bytes / BYTES_PER_MESSAGE)
    }
}

fn size(parts: &[Bytes]) -> usize {
    parts.iter().map(Bytes::len).sum()
}

impl<L: CommitLog, E: Engine> CopiedEngine<L, E> {
    /// An engine that writes to the log, then to the file.
    pub fn new(inner: E, log: L) -> Self {
        Self { inner, log, copies: HashMap::new() }
    }

    fn give_up(&mut self, plugin: &str, error: &EngineError) {
        if self.copies.remove(plugin).is_some() {
            self.log.given_up(plugin, error);
        }
    }

    /// Gives all plugins up: the file may lack what their logs have.
    fn give_up_all(&mut self, error: &EngineError) {
        for (plugin, _) in std::mem::take(&mut self.copies) {
            self.log.given_up(&plugin, error);
        }
    }

    /// Appends one record.
    fn append(
        &mut self,
        plugin: &Arc<str>,
        expected: u64,
        record: Record<'_>,
    ) -> Result<(Appended, usize, usize), EngineError> {
        let parts = write(record, expected, self.log.max_message_bytes());
        let (bytes, messages) = (size(&parts), parts.len());
        let append = Append { plugin: Arc::clone(plugin), expected, parts };
        let appended = self.log.append(vec![append]).pop();
        let appended =
            appended.unwrap_or_else(|| Err(AppendError::Failed("no answer".to_owned())))?;
        Ok((appended, bytes, messages))
    }

    /// Replaces a long log by a snapshot of the store, and removes the messages before it.
    fn compact(&mut self, plugin: &Arc<str>) -> Result<(), EngineError> {
        let Some(expected) = self.copies.get(plugin).map(|it| it.last) else { return Ok(()) };
        let saved = self.inner.read(plugin)?;
        let (appended, bytes, _) = self.append(plugin, expected, Record::Snapshot(&saved))?;
        let copy = Copy {
            last: appended.last,
            snapshot_bytes: bytes,
            bytes_since: 0,
            messages_since: 0,
            trim: Some(appended.first),
        };
        self.copies.insert(Arc::clone(plugin), copy);
        Ok(())
    }

    /// Removes the messages before the last snapshot, once: the next one removes those that are left.
    fn trim(&mut self, plugin: &str) {
        if let Some(before) = self.copies.get_mut(plugin).and_then(|copy| copy.trim.take()) {
            self.log.trim(plugin, before);
        }
    }
}

/// The changes that make one store of another.
fn difference(plugin: &Arc<str>, from: &Saved, to: &Saved) -> Changes {
    let before: HashMap<&str, &Value> =
        from.entries.iter().map(|(key, value)| (key.as_str(), value)).collect();
    let after: HashMap<&str, &Value> =
        to.entries.iter().map(|(key, value)| (key.as_str(), value)).collect();
    let gone =
        before.keys().filter(|key| !after.contains_key(*key)).map(|key| (Arc::from(*key), None));
    let new = after.iter().filter(|(key, value)| before.get(*key) != Some(value));
    let new = new.map(|(key, value)| (Arc::from(*key), Some((*value).clone())));
    let entries = gone.chain(new).collect();
    Changes { plugin: Arc::clone(plugin), schema: to.schema.unwrap_or_default(), entries }
}

impl<L: CommitLog, E: Engine> Engine for CopiedEngine<L, E> {
    fn read(&mut self, plugin: &str) -> Result<Saved, EngineError> {
        self.inner.read(plugin)
    }

    fn plugins(&mut self) -> Result<Vec<String>, EngineError> {
        self.inner.plugins()
    }

    fn prepare(&mut self, changes: &[&Changes]) -> Vec<Result<(), EngineError>> {
        if !self.log.is_required() {
            return changes.iter().map(|_| Ok(())).collect();
        }
        let max = self.log.max_message_bytes();
        let (mut results, mut appends) = (Vec::new(), Vec::new());
        for (place, changes) in changes.iter().enumerate() {
            results.push(match self.copies.get(&changes.plugin) {
                _ if changes.entries.is_empty() => Ok(()),
                None => Err(EngineError::NotHome),
                Some(copy) => {
                    let parts = write(Record::Commit(changes), copy.last, max);
                    let (plugin, expected) = (Arc::clone(&changes.plugin), copy.last);
                    appends.push((place, Append { plugin, expected, parts }));
                    Ok(())
                }
            });
        }
        let sizes: Vec<_> = appends
            .iter()
            .map(|(place, it)| (*place, Arc::clone(&it.plugin), size(&it.parts), it.parts.len()))
            .collect();
        if appends.is_empty() {
            return results;
        }
        let appended = self.log.append(appends.into_iter().map(|(_, it)| it).collect());
        let missing = || Err(AppendError::Failed("no answer".to_owned()));
        let appended = appended.into_iter().chain(std::iter::repeat_with(missing));
        for ((place, plugin, bytes, messages), appended) in sizes.into_iter().zip(appended) {
            match appended {
                Ok(appended) => {
                    if let Some(copy) = self.copies.get_mut(&plugin) {
                        copy.appended(appended, bytes, messages);
                    }
                }
                Err(error) => {
                    let error = error.into();
                    self.give_up(&plugin, &error);
                    if let Some(result) = results.get_mut(place) {
                        *result = Err(error);
                    }
                }
            }
        }
        results
    }

    fn commit(&mut self, changes: &[&Changes]) -> Result<(), EngineError> {
        let committed = self.inner.commit(changes);
        if let (Err(error), [changes]) = (&committed, changes) {
            // The log has it. Several are tried again one by one.
            self.give_up(&changes.plugin, error);
        }
        committed
    }

    fn finish(&mut self, plugins: &[Arc<str>]) {
        for plugin in plugins {
            if self.copies.get(plugin).is_some_and(Copy::is_long)
                && let Err(error) = self.compact(plugin)
            {
                self.give_up(plugin, &error);
            }
            self.trim(plugin);
        }
    }

    fn take_over(&mut self, plugin: &str, from: TakeOver) -> Result<Saved, EngineError> {
        let TakeOver { state, node } = from;
        let plugin: Arc<str> = plugin.into();
        let here = self.inner.read(&plugin)?;
        let mut copy = Copy::of(&state);
        let saved = if let Some(saved) = state.saved {
            let taken = self.append(&plugin, copy.last, Record::Takeover(&node))?;
            copy.appended(taken.0, taken.1, taken.2);
            let changes = difference(&plugin, &here, &saved);
            if !changes.entries.is_empty() || here.schema != saved.schema {
                self.inner.commit(&[&changes])?;
            }
            saved
        } else {
            let (appended, bytes, _) = self.append(&plugin, copy.last, Record::Snapshot(&here))?;
            copy.last = appended.last;
            copy.snapshot_bytes = bytes;
            (copy.bytes_since, copy.messages_since) = (0, 0);
            here
        };
        self.copies.insert(plugin, copy);
        Ok(saved)
    }

    fn resign(&mut self, plugin: &str) {
        self.copies.remove(plugin);
    }

    fn probe(&mut self) -> Result<(), EngineError> {
        self.inner.probe()
    }

    fn renew(&mut self) -> Result<(), EngineError> {
        self.give_up_all(&EngineError::Log("the file is written anew".to_owned()));
        self.inner.renew()
    }

    fn sync(&mut self) -> Result<(), EngineError> {
        let synced = self.inner.sync();
        if let Err(error) = &synced {
            self.give_up_all(error);
        }
        synced
    }

    fn syncer(&mut self) -> Result<Syncer, EngineError> {
        self.inner.syncer()
    }

    fn begin_backup(&mut self) -> Result<Backup, EngineError> {
        self.inner.begin_backup()
    }

    fn end_backup(&mut self) -> Result<(), EngineError> {
        self.inner.end_backup()
    }
}

impl<L, E> std::fmt::Debug for CopiedEngine<L, E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CopiedEngine").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
