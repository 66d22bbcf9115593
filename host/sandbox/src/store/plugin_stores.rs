//! The stores of all plugins for the operator of a server: those in service, those of plugins that are
//! removed, and backups of the file.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use jackfield_store::TakeOver;

use super::Spaces;
use super::durable::Durable;
use super::plugin_store::PluginStore;
use super::take_over::{TakeOverError, Taken};

/// The stores of all plugins. Cheap to clone.
#[derive(Clone)]
pub struct PluginStores {
    spaces: Arc<Spaces>,
    /// The quota of the plugin of this name, in bytes.
    quota: Arc<dyn Fn(&str) -> usize + Send + Sync>,
}

impl PluginStores {
    pub(crate) fn new(
        spaces: Arc<Spaces>,
        quota: impl Fn(&str) -> usize + Send + Sync + 'static,
    ) -> Self {
        Self { spaces, quota: Arc::new(quota) }
    }

    /// The plugins that have entries, by name, also removed ones.
    ///
    /// # Errors
    /// The text says why the file cannot be read.
    pub async fn names(&self) -> Result<BTreeSet<String>, String> {
        self.spaces.names().await
    }

    /// The store of a plugin that may be removed; none if it has never had entries. From then on it
    /// is in memory. Writes keep the number of the layout that is there.
    ///
    /// # Errors
    /// The text says why the file cannot be read.
    pub async fn find(&self, plugin: &str) -> Result<Option<PluginStore>, String> {
        let space = self.spaces.find(plugin, (self.quota)(plugin)).await?;
        Ok(space.map(|space| {
            let schema = space.durable.as_ref().and_then(Durable::schema).unwrap_or_default();
            PluginStore::new(space, schema)
        }))
    }

    /// Returns whether the store of a plugin is saved.
    pub fn is_saved(&self, plugin: &str) -> bool {
        self.spaces.is_saved(plugin)
    }

    /// Makes this node the one that writes a plugin's store, and the store what the other copies have. Hooks
    /// see it from then on.
    ///
    /// # Errors
    /// [`TakeOverError`]
    pub async fn take_over(&self, plugin: &str, from: TakeOver) -> Result<Taken, TakeOverError> {
        let writer = self.spaces.writer().ok_or(TakeOverError::NotSaved)?;
        let space = self.spaces.of(plugin, (self.quota)(plugin)).await;
        writer.take_over(&space.map_err(TakeOverError::Failed)?, from).await
    }

    /// Lets this node write the store of a plugin no more: the writes of hooks that still run are refused.
    pub fn resign(&self, plugin: &str) {
        if let Some(writer) = self.spaces.writer() {
            writer.resign(plugin);
        }
    }

    /// Writes a backup of all saved stores to a new file, and returns its size in bytes. Hooks go on
    /// meanwhile.
    ///
    /// # Errors
    /// The text says why it cannot be written.
    pub async fn back_up(&self, file: PathBuf) -> Result<u64, String> {
        match self.spaces.writer() {
            Some(writer) => writer.back_up(file).await,
            None => {
                Err("the stores of plugins are in memory (`data: off`): no file has them".into())
            }
        }
    }
}

impl fmt::Debug for PluginStores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PluginStores").finish_non_exhaustive()
    }
}
