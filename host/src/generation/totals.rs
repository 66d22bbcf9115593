//! Bounds of all plugins together: lanes and stores. The memory of instances has a bound of its own,
//! in the sandbox.
//!
//! Counted are the plugins of a generation: those that are loaded, those that are held until their
//! successor is, and canaries. A canary shares the store of its plugin.

use jackfield_config::Plugins;
use jackfield_sandbox::Plugin;

use super::PluginEntry;
use super::problem::Problem;

/// The sums of the plugins of one generation.
pub(super) struct Totals<'a> {
    settings: &'a Plugins,
    used: Needs,
}

/// The lanes and the store of a plugin.
#[derive(Clone, Copy, Debug, Default)]
struct Needs {
    lanes: usize,
    store_bytes: usize,
}

impl<'a> Totals<'a> {
    /// The sums of the plugins that are held.
    pub(super) fn new(settings: &'a Plugins, held: impl Iterator<Item = &'a PluginEntry>) -> Self {
        let used = held.fold(Needs::default(), |sum, entry| sum.with(Needs::of_entry(entry)));
        Self { settings, used }
    }

    /// Adds a plugin with this number of lanes.
    ///
    /// # Errors
    /// The bound that it exceeds. It is not added then, so that each plugin beyond a bound is named.
    pub(super) fn add(&mut self, file: &str, plugin: &Plugin, lanes: usize) -> Result<(), Problem> {
        let store_bytes = if plugin.uses_store() { plugin.store_limit() } else { 0 };
        let name = &plugin.manifest().name;
        self.take(Needs { lanes, store_bytes })
            .map_err(|text| Problem::plugin(file, format!("the plugin `{name}` {text}")))
    }

    fn take(&mut self, own: Needs) -> Result<(), String> {
        let (before, sum) = (self.used, self.used.with(own));
        lanes(own.lanes, before.lanes, self.settings.lanes)?;
        let limit = self.settings.stores;
        if sum.store_bytes > limit {
            let [own, before, shown] = [own.store_bytes, before.store_bytes, limit].map(size);
            // In MiB, as a limit of two units is hard to read.
            let needed = sum.store_bytes.div_ceil(MIB);
            return Err(format!(
                "may store {own} (plugins.*.store), and other plugins {before}; all together may \
                 store {shown} (plugins.stores = {shown})\n  = help: set `plugins: {{ stores: \
                 {needed}MiB }}` or more in jackfield.yml, or lower the `store` of plugins that \
                 store little"
            ));
        }
        self.used = sum;
        Ok(())
    }
}

impl Needs {
    fn of_entry(entry: &PluginEntry) -> Self {
        Self { lanes: entry.all_lanes(), store_bytes: entry.store_limit() }
    }

    fn with(self, other: Self) -> Self {
        Self {
            lanes: self.lanes.saturating_add(other.lanes),
            store_bytes: self.store_bytes.saturating_add(other.store_bytes),
        }
    }
}

const MIB: usize = 1 << 20;

/// Checks the lanes of one plugin beside those of others.
///
/// # Errors
/// A text that follows the plugin's name.
pub(super) fn lanes(own: usize, before: usize, limit: usize) -> Result<(), String> {
    let sum = before.saturating_add(own);
    if sum <= limit {
        return Ok(());
    }
    let noun = if own == 1 { "lane" } else { "lanes" };
    Err(format!(
        "has {own} {noun}, and other plugins {before}; all together may have {limit} (plugins.lanes \
         = {limit})\n  = help: set `plugins: {{ lanes: {sum} }}` or more in jackfield.yml, or give \
         its routes fewer `lanes`"
    ))
}

/// A size in the notation of the settings.
fn size(bytes: usize) -> String {
    let units = [(1 << 30, "GiB"), (MIB, "MiB"), (1 << 10, "KiB")];
    let divides = |(unit, _): &(usize, &str)| bytes > 0 && bytes.is_multiple_of(*unit);
    match units.into_iter().find(divides) {
        Some((unit, name)) => format!("{}{name}", bytes / unit),
        None => format!("{bytes} bytes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_has_room_for_256_stores_and_names_the_line_to_change() {
        let settings = Plugins::default();
        let mut totals = Totals::new(&settings, std::iter::empty());
        let own = Needs { lanes: 1, store_bytes: settings.default.limits.store };
        for _ in 0..256 {
            totals.take(own).unwrap();
        }
        let text = totals.take(own).unwrap_err();
        assert_eq!(
            text,
            "may store 64MiB (plugins.*.store), and other plugins 16GiB; all together may store \
             16GiB (plugins.stores = 16GiB)\n  = help: set `plugins: { stores: 16448MiB }` or more \
             in jackfield.yml, or lower the `store` of plugins that store little"
        );
        // One without a store has room.
        totals.take(Needs { store_bytes: 0, ..own }).unwrap();
    }

    #[test]
    fn a_plugin_beyond_the_lanes_is_not_counted() {
        let settings = Plugins { lanes: 4, ..Plugins::default() };
        let mut totals = Totals::new(&settings, std::iter::empty());
        let needs = |lanes| Needs { lanes, store_bytes: 0 };
        totals.take(needs(3)).unwrap();
        let text = totals.take(needs(2)).unwrap_err();
        let help = "= help: set `plugins: { lanes: 5 }` or more in jackfield.yml";
        assert!(text.contains("may have 4 (plugins.lanes = 4)") && text.contains(help), "{text}");
        totals.take(needs(1)).unwrap();
    }
}
