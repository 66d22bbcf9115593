//! A plugin's store for the operator of a server.
//!
//! Each step has the space to itself, so hooks see all of it or nothing. It goes the way of a hook:
//! within the quota, and it ends when all that it has read and written is saved, as the plugin's
//! mode says.

use std::time::Instant;

use super::SharedSpace;
use super::durable::{Durable, Receipt};
use super::entry::{StoreEntry, StoreFault, StoreImported, StorePage, StoreRange};
use super::space::Space;
use crate::fault::FaultKind;
use crate::policy::StateMode;

/// The store of a plugin, which may be removed.
#[derive(Debug, Clone)]
pub struct PluginStore {
    space: SharedSpace,
    /// The number of the layout that the plugin writes.
    schema: u32,
}

impl PluginStore {
    pub(crate) fn new(space: SharedSpace, schema: u32) -> Self {
        Self { space, schema }
    }

    /// The number of the layout that the plugin writes.
    pub fn schema(&self) -> u32 {
        self.schema
    }

    /// The size of what it holds, in bytes.
    pub fn used(&self) -> usize {
        self.space.lock().used()
    }

    /// How it is kept.
    pub fn state_mode(&self) -> StateMode {
        match &self.space.durable {
            None => StateMode::Memory,
            Some(durable) if durable.is_synced => StateMode::Synced,
            Some(_) => StateMode::Written,
        }
    }

    /// The quota, in bytes.
    pub fn quota(&self) -> usize {
        self.space.lock().quota()
    }

    /// The entries of a range.
    ///
    /// # Errors
    /// They are not saved, and cannot be.
    pub async fn list(&self, range: StoreRange<'_>) -> Result<StorePage, StoreFault> {
        self.step(|space, now| Ok(space.page(range, now))).await
    }

    /// The entry of a key.
    ///
    /// # Errors
    /// It is not saved, and cannot be.
    pub async fn get(&self, key: &str) -> Result<Option<StoreEntry>, StoreFault> {
        self.step(|space, now| Ok(space.entry(key, now))).await
    }

    /// Writes an entry.
    ///
    /// # Errors
    /// It is too large, the store is full, or cannot be saved.
    pub async fn set(&self, entry: StoreEntry) -> Result<(), StoreFault> {
        self.import(vec![entry], false).await.map(drop)
    }

    /// Removes an entry; false if there is none.
    ///
    /// # Errors
    /// The store cannot be saved.
    pub async fn delete(&self, key: &str) -> Result<bool, StoreFault> {
        let delete = |space: &mut Space, now| {
            let undo = space.delete(key, now);
            if let Some(undo) = &undo {
                space.keep(undo);
            }
            Ok(undo.is_some())
        };
        self.step(delete).await
    }

    /// Writes all entries or none, each key once; `replaces` removes all others.
    ///
    /// # Errors
    /// One is too large, the store is full, or cannot be saved.
    pub async fn import(
        &self,
        entries: Vec<StoreEntry>,
        replaces: bool,
    ) -> Result<StoreImported, StoreFault> {
        entries.iter().try_for_each(StoreEntry::check)?;
        let written = entries.len();
        let import = |space: &mut Space, now| {
            let removed = space.import(entries, replaces, now)?;
            Ok(StoreImported { written, removed })
        };
        self.step(import).await
    }

    async fn step<T>(
        &self,
        act: impl FnOnce(&mut Space, Instant) -> Result<T, StoreFault>,
    ) -> Result<T, StoreFault> {
        let (result, receipt) = self.act(act)?;
        if let Some(receipt) = receipt {
            receipt.saved().await.map_err(failed)?;
        }
        Ok(result)
    }

    fn act<T>(
        &self,
        act: impl FnOnce(&mut Space, Instant) -> Result<T, StoreFault>,
    ) -> Result<(T, Option<Receipt>), StoreFault> {
        let durable = self.space.durable.as_ref();
        let mut space = self.space.lock();
        // The incarnation changes under the lock only.
        durable.map_or(Ok(()), Durable::admit).map_err(failed)?;
        let result = act(&mut space, Instant::now())?;
        let receipt = match durable {
            Some(it) => it.settle(&self.space, &mut space, it.incarnation(), self.schema),
            None => Ok(None),
        };
        Ok((result, receipt.map_err(failed)?))
    }
}

fn failed(kind: FaultKind) -> StoreFault {
    match kind {
        FaultKind::StoreFailed(reason) => StoreFault::Failed(reason),
        other => StoreFault::Failed(other.to_string()),
    }
}
