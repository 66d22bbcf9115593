//! Engine of a cluster: each commit is in a log that all nodes share, before it is in the file of this node.
//!
//! The log comes first. A crash between the two leaves a commit in the log that no client has seen
//! acknowledged: the next home has it. A message is put only behind the last one that this engine knows, so a
//! node that was replaced without knowing it is refused, and gives the plugin up. It does so too if the log does
//! not answer, and if the file cannot be written: then the log may have what the file has not. A plugin that was
//! given up is read from the log again before the next commit ([`Engine::take_over`]).
//!
//! Some servers of NATS can accept two messages behind the same one, if they are under way at once: one of a
//! former home, and one of the next. The [chain](crate::chain) of the log decides which one counts. A new home
//! reads back whether its first record counts. A commit counts if the lease of the home is valid when it is acknowledged: no
//! later home has begun to write then, and earlier ones are skipped.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::sync::Arc;

use bytes::Bytes;

use crate::chain::Chain;
use crate::log::{Record, write};
use crate::{
    Backup, Changes, Engine, EngineError, LogFormatError, LogState, Saved, SqliteEngine, Syncer,
    TakeOver, Value, WriteLease,
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

    /// Returns the messages of a plugin from one place to another, both included, and their places.
    ///
    /// # Errors
    /// The log does not answer.
    fn read_back(
        &mut self,
        plugin: &str,
        places: RangeInclusive<u64>,
    ) -> Result<Vec<(u64, Bytes)>, AppendError>;

    /// Removes the messages of a plugin before a sequence number, if the log answers.
    fn trim(&mut self, plugin: &str, before: u64);

    /// Saves a store elsewhere, before it is replaced by that of the log, which has never had it.
    ///
    /// # Errors
    /// It cannot be saved.
    fn set_aside(&mut self, plugin: &str, saved: &Saved) -> Result<(), EngineError>;

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

/// A record that was appended.
struct Written {
    appended: Appended,
    bytes: usize,
    messages: usize,
}

impl From<LogFormatError> for EngineError {
    fn from(error: LogFormatError) -> Self {
        match error {
            LogFormatError::Removed { .. } => Self::Replaced,
            error => Self::Log(error.to_string()),
        }
    }
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
    /// The id of the last record.
    last_id: u64,
}

/// The end of a plugin's log.
#[derive(Debug)]
struct Copy {
    chain: Chain,
    lease: WriteLease,
    term: u64,
    snapshot_bytes: usize,
    bytes_since: usize,
    messages_since: usize,
    /// Messages before this one are to be removed.
    trim: Option<u64>,
}

impl Copy {
    fn of(state: &LogState, lease: WriteLease) -> Self {
        let LogState { chain, snapshot_bytes, bytes_since, messages_since, .. } = state;
        let (snapshot_bytes, bytes_since, messages_since) =
            (*snapshot_bytes, *bytes_since, *messages_since);
        let (chain, term) = (chain.clone(), chain.next_term(lease.number()));
        Self { chain, lease, term, snapshot_bytes, bytes_since, messages_since, trim: None }
    }

    /// The log is a snapshot of this size.
    fn begin(&mut self, bytes: usize) {
        self.snapshot_bytes = bytes;
        (self.bytes_since, self.messages_since) = (0, 0);
    }

    fn add(&mut self, bytes: usize, messages: usize) {
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
    /// An engine that writes to the log, then to the file. `seed` is a random number: no other engine of the
    /// cluster has it.
    pub fn new(inner: E, log: L, seed: u64) -> Self {
        Self { inner, log, copies: HashMap::new(), last_id: seed }
    }

    /// Returns a number that no other record has.
    fn next_id(&mut self) -> u64 {
        self.last_id = self.last_id.wrapping_add(1);
        self.last_id
    }

    fn give_up(&mut self, plugin: &str, error: &EngineError) {
        if self.copies.remove(plugin).is_some() {
            self.inner.resign(plugin);
            self.log.given_up(plugin, error);
        }
    }

    /// Gives all plugins up: the file may lack what their logs have.
    fn give_up_all(&mut self, error: &EngineError) {
        for (plugin, _) in std::mem::take(&mut self.copies) {
            self.inner.resign(&plugin);
            self.log.given_up(&plugin, error);
        }
    }

    /// Appends one record, and reads back whether it counts: another writer may have appended at the same time.
    fn append(
        &mut self,
        plugin: &Arc<str>,
        (chain, term): (&mut Chain, u64),
        record: Record<'_>,
    ) -> Result<Written, EngineError> {
        let parts = write(record, chain.link(term, self.next_id()), self.log.max_message_bytes());
        let (bytes, messages) = (size(&parts), parts.len());
        let append = Append { plugin: Arc::clone(plugin), expected: chain.last(), parts };
        let appended = self.log.append(vec![append]).pop();
        let appended =
            appended.unwrap_or_else(|| Err(AppendError::Failed("no answer".to_owned())))?;
        let places = chain.last().saturating_add(1)..=appended.last;
        for (place, mut message) in self.log.read_back(plugin, places)? {
            chain.take(place, &mut message)?;
        }
        if chain.accepted() != appended.last {
            return Err(EngineError::Replaced);
        }
        Ok(Written { appended, bytes, messages })
    }

    /// Replaces a long log by a snapshot of the store, and removes the messages before it.
    fn compact(&mut self, plugin: &Arc<str>) -> Result<(), EngineError> {
        let Some(copy) = self.copies.get(plugin) else { return Ok(()) };
        let (mut chain, term) = (copy.chain.clone(), copy.term);
        let saved = self.inner.read(plugin)?;
        let Written { appended, bytes, .. } =
            self.append(plugin, (&mut chain, term), Record::Snapshot(&saved))?;
        if let Some(copy) = self.copies.get_mut(plugin) {
            copy.begin(bytes);
            (copy.chain, copy.trim) = (chain, Some(appended.first));
        }
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
            let id = self.next_id();
            results.push(match self.copies.get(&changes.plugin) {
                _ if changes.entries.is_empty() => Ok(()),
                None => Err(EngineError::NotHome),
                Some(copy) => {
                    let parts = write(Record::Commit(changes), copy.chain.link(copy.term, id), max);
                    let (plugin, expected) = (Arc::clone(&changes.plugin), copy.chain.last());
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
            let copy = self.copies.get_mut(&plugin);
            match appended {
                Ok(appended) if copy.as_ref().is_some_and(|it| it.lease.is_valid()) => {
                    if let Some(copy) = copy {
                        copy.chain.written(copy.term, appended.last);
                        copy.add(bytes, messages);
                    }
                }
                appended => {
                    let error = appended.err().map_or(EngineError::NotHome, Into::into);
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
        let TakeOver { state, node, lease } = from;
        if !lease.is_valid() {
            // A later home may be in what was read.
            return Err(EngineError::Replaced);
        }
        let plugin: Arc<str> = plugin.into();
        let here = self.inner.read(&plugin)?;
        let mut copy = Copy::of(&state, lease);
        let saved = if let Some(saved) = state.saved {
            let Written { bytes, messages, .. } =
                self.append(&plugin, (&mut copy.chain, copy.term), Record::Takeover(&node))?;
            copy.add(bytes, messages);
            let changes = difference(&plugin, &here, &saved);
            let is_lost =
                |key: &Arc<str>| here.entries.binary_search_by(|it| (*it.0).cmp(key)).is_ok();
            if self.inner.origin(&plugin) != copy.chain.log()
                && changes.entries.iter().any(|(key, _)| is_lost(key))
            {
                self.log.set_aside(&plugin, &here)?;
            }
            if !changes.entries.is_empty() || here.schema != saved.schema {
                self.inner.commit(&[&changes])?;
            }
            saved
        } else {
            let Written { bytes, .. } =
                self.append(&plugin, (&mut copy.chain, copy.term), Record::Snapshot(&here))?;
            copy.begin(bytes);
            here
        };
        if let Some(log) = copy.chain.log() {
            self.inner.set_origin(&plugin, log)?;
        }
        self.copies.insert(plugin, copy);
        Ok(saved)
    }

    fn resign(&mut self, plugin: &str) {
        self.copies.remove(plugin);
        self.inner.resign(plugin);
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
