//! Plugins whose hooks one node of a cluster runs for all.

use std::collections::BTreeSet;

use jackfield_sandbox::{Hook, Manifest, Plugin};

use super::{BoundHandler, Generation};

/// Returns whether the hooks of a plugin have one home: its state or its timers would be several otherwise.
pub(super) fn has_home(plugin: &Plugin) -> bool {
    let Manifest { handlers, is_stateless, .. } = plugin.manifest();
    let has_hooks = handlers.iter().any(|it| it.hooks.iter().next().is_some());
    let has_timer = handlers.iter().any(|it| it.hooks.contains(Hook::Timer));
    has_hooks && (!is_stateless || has_timer || plugin.uses_store())
}

impl Generation {
    /// Returns whether a plugin has a home.
    pub(crate) fn has_home(&self, plugin: &str) -> bool {
        self.handlers.iter().any(|it| it.has_home && it.manifest().name == plugin)
    }

    /// Returns the names of the plugins that have a home.
    pub(crate) fn plugins_with_home(&self) -> BTreeSet<String> {
        let handlers = self.handlers.iter().filter(|it| it.has_home);
        handlers.map(|it| it.manifest().name.clone()).collect()
    }
}

impl Generation {
    /// Returns whether a plugin has a store that its next home has to know.
    pub(crate) fn copies_store(&self, plugin: &str) -> bool {
        let mut plugins = self.plugins().iter();
        plugins.any(|it| it.manifest().name == plugin && it.running.plugin.uses_store())
    }
}

impl BoundHandler {
    /// Returns whether the plugin has a home.
    pub(crate) fn has_home(&self) -> bool {
        self.has_home
    }
}
