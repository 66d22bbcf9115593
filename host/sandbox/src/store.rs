//! The state that plugins keep: one [`Space`] a plugin, in memory, which outlives
//! instances, reloads and faults.
//!
//! The sandbox owns the spaces; a hook under way reaches its plugin's through a
//! [`Journal`](journal::Journal), which takes back what the hook wrote if it fails.

pub(crate) mod journal;
pub(crate) mod space;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use space::Space;

/// A space that several instances use. A std mutex: it is held for one operation in memory, and
/// nothing is awaited or called meanwhile.
pub(crate) type SharedSpace = Arc<Mutex<Space>>;

/// Every plugin's space, by the name of the plugin. None is ever removed: a plugin that is taken
/// out and put back finds its state.
#[derive(Debug, Default)]
pub(crate) struct Spaces {
    by_plugin: Mutex<HashMap<String, SharedSpace>>,
}

impl Spaces {
    /// The plugin's space, made if there is none; `quota` applies from now on.
    pub(crate) fn of(&self, plugin: &str, quota: usize) -> SharedSpace {
        let mut spaces = self.by_plugin.lock().unwrap_or_else(PoisonError::into_inner);
        let space = Arc::clone(spaces.entry(plugin.to_owned()).or_default());
        drop(spaces);
        space.lock().unwrap_or_else(PoisonError::into_inner).set_quota(quota);
        space
    }
}
