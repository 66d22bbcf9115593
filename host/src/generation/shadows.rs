//! Shadows of a generation: files `NAME.shadow.wasm` beside `NAME.wasm`. They are not loaded with the
//! generation, so that a broken one prevents no reload.

use super::{Generation, PluginEntry};
use crate::site::{PluginFile, plugin_of_shadow};

impl Generation {
    /// Returns the shadow beside the file of a plugin.
    pub(crate) fn shadow_of(&self, entry: &PluginEntry) -> Option<&PluginFile> {
        let is_beside = |file: &&PluginFile| {
            plugin_of_shadow(&file.path).is_some_and(|path| path == entry.file)
        };
        self.shadows.iter().find(is_beside)
    }

    /// Returns the shadows that no plugin is beside.
    pub(crate) fn orphaned_shadows(&self) -> impl Iterator<Item = &PluginFile> {
        self.shadows.iter().filter(|file| {
            let plugin = plugin_of_shadow(&file.path).unwrap_or_default();
            self.plugin_in(&plugin).is_none() && !self.loading.contains(&plugin)
        })
    }
}
