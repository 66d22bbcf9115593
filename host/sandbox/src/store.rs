//! Stores of plugins: one [`Space`] each, in memory, which outlives instances, reloads and faults.
//!
//! The sandbox owns the spaces; a running hook reaches its plugin's space through a
//! [`Journal`](journal::Journal), which rolls its writes back if it fails.

pub(crate) mod journal;
pub(crate) mod space;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use space::Space;

/// A space shared by several instances. A std mutex, held for one operation in memory.
pub(crate) type SharedSpace = Arc<Mutex<Space>>;

/// The space of each plugin, by name. None is ever removed: a plugin that is removed and restored
/// finds its state.
#[derive(Debug, Default)]
pub(crate) struct Spaces {
    by_plugin: Mutex<HashMap<String, SharedSpace>>,
}

impl Spaces {
    /// The plugin's space, created if missing; `quota` applies from now on.
    pub(crate) fn of(&self, plugin: &str, quota: usize) -> SharedSpace {
        let mut spaces = self.by_plugin.lock().unwrap_or_else(PoisonError::into_inner);
        let space = Arc::clone(spaces.entry(plugin.to_owned()).or_default());
        drop(spaces);
        space.lock().unwrap_or_else(PoisonError::into_inner).set_quota(quota);
        space
    }
}
