//! Bounds of all plugins together: lanes and stores. The memory of instances has a bound of its own,
//! in the sandbox.

use jackfield_config::Plugins;
use jackfield_sandbox::Plugin;

use super::problem::Problem;

/// The sums of the plugins of one generation.
pub(super) struct Totals<'a> {
    settings: &'a Plugins,
    lanes: usize,
    store_bytes: usize,
}

impl<'a> Totals<'a> {
    pub(super) fn new(settings: &'a Plugins) -> Self {
        Self { settings, lanes: 0, store_bytes: 0 }
    }

    /// Adds a plugin with this number of lanes.
    ///
    /// # Errors
    /// The bound that it exceeds. It is not added then, so that each plugin beyond a bound is named.
    pub(super) fn add(&mut self, file: &str, plugin: &Plugin, lanes: usize) -> Result<(), Problem> {
        let name = &plugin.manifest().name;
        let exceeded = |text: String, help: &str| {
            Problem::plugin(file, format!("the plugin `{name}` {text}\n  = help: {help}"))
        };
        let (limit, sum) = (self.settings.lanes, self.lanes.saturating_add(lanes));
        if sum > limit {
            let before = self.lanes;
            let text = format!(
                "has {lanes} lanes, and other plugins {before}; all together may have {limit} \
                 (plugins.lanes = {limit})"
            );
            return Err(exceeded(text, "give its routes fewer `lanes`, or raise `plugins.lanes`"));
        }
        let own = if plugin.uses_store() { plugin.store_limit() } else { 0 };
        let (limit, bytes) = (self.settings.stores, self.store_bytes.saturating_add(own));
        if bytes > limit {
            let before = self.store_bytes;
            let text = format!(
                "may store {own} bytes (plugins.*.store), and other plugins {before}; all together \
                 may store {limit} (plugins.stores = {limit})"
            );
            let help = "lower the `store` of plugins that store little, or raise `plugins.stores`";
            return Err(exceeded(text, help));
        }
        (self.lanes, self.store_bytes) = (sum, bytes);
        Ok(())
    }
}
