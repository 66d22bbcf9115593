//! Stores of plugins: one [`Space`] each, in memory, which outlives instances, reloads and faults.
//!
//! The sandbox owns the spaces; a running hook reaches its plugin's space through a
//! [`Journal`](journal::Journal), which rolls its writes back if it fails. With an engine, the
//! writes of hooks are saved as well: [`durable`] collects them, the [`writer`] commits them, and a
//! [`Gate`](passage::Gate) keeps a hook's answer and effects back until then. The operator of a server
//! reaches a space through a [`PluginStore`](plugin_store::PluginStore), which
//! [`PluginStores`](plugin_stores::PluginStores) finds, also of plugins that are removed.

pub(crate) mod durable;
pub(crate) mod entry;
pub(crate) mod history;
pub(crate) mod journal;
pub(crate) mod moment;
pub(crate) mod passage;
pub(crate) mod plugin_store;
pub(crate) mod plugin_stores;
pub(crate) mod space;
pub(crate) mod take_over;
pub(crate) mod writer;

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use std::{fmt, io};

use jackfield_metrics::Histogram;
use jackfield_store::Engine;

use crate::policy::StateMode;
use durable::{Durable, MAX_SAVE_TIME};
use space::Space;
use writer::StoreWriter;

/// A space shared by several instances.
pub(crate) type SharedSpace = Arc<Kept>;

/// A space and, if it is saved, what is not saved yet.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    /// A std mutex, held for one operation in memory. Taken before those of `durable`.
    space: Mutex<Space>,
    pub(crate) durable: Option<Durable>,
}

/// The space of each plugin, by name. None is ever removed: a plugin that is removed and restored
/// finds its state.
#[derive(Debug, Default)]
pub(crate) struct Spaces {
    /// A tokio mutex, as a space is read from the file before others see it.
    by_plugin: tokio::sync::Mutex<HashMap<String, SharedSpace>>,
    saving: Option<Saving>,
}

/// How spaces are saved.
struct Saving {
    writer: StoreWriter,
    /// The mode of the plugin of this name.
    mode: Box<dyn Fn(&str) -> StateMode + Send + Sync>,
    /// The time for changes to be saved.
    save_time: Duration,
}

impl Spaces {
    /// Spaces that are saved by the engine.
    pub(crate) fn saved_by(
        engine: Box<dyn Engine>,
        mode: Box<dyn Fn(&str) -> StateMode + Send + Sync>,
        commits: Arc<Histogram>,
    ) -> io::Result<Self> {
        let writer = StoreWriter::start(engine, commits)?;
        let saving = Saving { writer, mode, save_time: MAX_SAVE_TIME };
        Ok(Self { saving: Some(saving), ..Self::default() })
    }

    /// The thread that saves; none if all spaces are in memory.
    pub(crate) fn writer(&self) -> Option<&StoreWriter> {
        self.saving.as_ref().map(|saving| &saving.writer)
    }

    /// Whether the space of a plugin is saved.
    pub(crate) fn is_saved(&self, plugin: &str) -> bool {
        self.saving.as_ref().is_some_and(|saving| (saving.mode)(plugin) != StateMode::Memory)
    }

    /// The plugin's space, made or read from the file if missing; `quota` applies from now on.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(crate) async fn of(&self, plugin: &str, quota: usize) -> Result<SharedSpace, String> {
        let mut spaces = self.by_plugin.lock().await;
        let space = match (spaces.get(plugin), &self.saving) {
            (Some(space), _) => Arc::clone(space),
            (None, None) => SharedSpace::default(),
            (None, Some(saving)) => saving.open(plugin).await?,
        };
        spaces.entry(plugin.to_owned()).or_insert_with(|| Arc::clone(&space));
        drop(spaces);
        space.lock().set_quota(quota);
        Ok(space)
    }
}

impl Spaces {
    /// The space of a plugin that may be removed, in memory or in the file. `quota` applies to one
    /// that is read from there. None if it has never had entries.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(crate) async fn find(
        &self,
        plugin: &str,
        quota: usize,
    ) -> Result<Option<SharedSpace>, String> {
        let mut spaces = self.by_plugin.lock().await;
        if let Some(space) = spaces.get(plugin) {
            return Ok(Some(Arc::clone(space)));
        }
        let Some(saving) = &self.saving else { return Ok(None) };
        let space = saving.open(plugin).await?;
        if space.durable.as_ref().and_then(Durable::schema).is_none() {
            return Ok(None);
        }
        space.lock().set_quota(quota);
        // From now on a plugin of this name gets the same space.
        spaces.insert(plugin.to_owned(), Arc::clone(&space));
        Ok(Some(space))
    }

    /// The plugins that have entries, by name, also removed ones.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(crate) async fn names(&self) -> Result<BTreeSet<String>, String> {
        let saved = match self.writer() {
            Some(writer) => writer.plugins().await?,
            None => Vec::new(),
        };
        let spaces = self.by_plugin.lock().await;
        // The file may be behind the memory, and have what is deleted there.
        let is_used = |name: &String| spaces.get(name).is_none_or(|it| !it.lock().is_empty());
        let in_memory = spaces.keys().cloned();
        Ok(saved.into_iter().chain(in_memory).filter(is_used).collect())
    }
}

impl Saving {
    async fn open(&self, plugin: &str) -> Result<SharedSpace, String> {
        let is_synced = match (self.mode)(plugin) {
            StateMode::Memory => return Ok(SharedSpace::default()),
            StateMode::Written => false,
            StateMode::Synced => true,
        };
        let durable = Durable::new(plugin, is_synced, self.save_time, self.writer.orders());
        let space = Arc::new(Kept { durable: Some(durable), ..Kept::default() });
        space.lock().note_changes();
        self.writer.read(&space).await?;
        Ok(space)
    }
}

impl fmt::Debug for Saving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Saving").finish_non_exhaustive()
    }
}

impl Kept {
    /// A poisoned space is still consistent.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Space> {
        self.space.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
