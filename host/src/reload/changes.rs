//! Changes of a reload: the difference of two generations, by the names of routes and plugins.

use std::collections::BTreeMap;

use crate::generation::{Generation, PluginEntry};

/// The maximum number of names in each list.
const MAX_NAMES: usize = 50;

/// The difference of a generation and the one before it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ReloadChanges {
    pub(crate) added_routes: Names,
    pub(crate) removed_routes: Names,
    pub(crate) changed_routes: Names,
    /// The first of the plugins that differ, by name.
    pub(crate) plugins: Vec<PluginChange>,
    /// The number of plugins that differ.
    pub(crate) plugin_count: usize,
}

/// The first of some names, and the number of all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Names {
    pub(crate) first: Vec<String>,
    pub(crate) count: usize,
}

/// A plugin that differs in two generations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PluginChange {
    pub(crate) name: String,
    pub(crate) kind: PluginChangeKind,
    /// The versions before and after.
    pub(crate) from: Option<ServedVersion>,
    pub(crate) to: Option<ServedVersion>,
}

/// A version of a plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServedVersion {
    pub(crate) version: String,
    /// The SHA-256 of the component, in hexadecimal.
    pub(crate) digest: String,
}

/// The kind of a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PluginChangeKind {
    Added,
    Removed,
    Replaced,
    Disabled,
    Enabled,
    /// Its canary began, ended, or got another share.
    Canary,
    /// The same version with new instances, as its routes have changed.
    Restarted,
}

impl PluginChangeKind {
    /// A short name.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Removed => "removed",
            Self::Replaced => "replaced",
            Self::Disabled => "disabled",
            Self::Enabled => "enabled",
            Self::Canary => "canary",
            Self::Restarted => "restarted",
        }
    }
}

impl ReloadChanges {
    /// Compares two generations.
    pub(super) fn between(old: &Generation, new: &Generation) -> Self {
        let mut changes = Self::default();
        let routes = |of: &Generation| -> BTreeMap<String, usize> {
            let routes = of.routes().routes().iter().enumerate();
            routes.map(|(position, route)| (route.name.clone(), position)).collect()
        };
        let (before, after) = (routes(old), routes(new));
        for (name, position) in &after {
            match before.get(name) {
                None => changes.added_routes.add(name),
                Some(other) => {
                    let [old, new] = [(old, other), (new, position)]
                        .map(|(of, position)| of.routes().routes().get(*position));
                    if old != new {
                        changes.changed_routes.add(name);
                    }
                }
            }
        }
        for name in before.keys().filter(|name| !after.contains_key(*name)) {
            changes.removed_routes.add(name);
        }
        let plugins = |of: &'_ Generation| -> BTreeMap<String, PluginEntry> {
            of.plugins().iter().map(|it| (it.manifest().name.clone(), it.clone())).collect()
        };
        let (before, after) = (plugins(old), plugins(new));
        let names = before.keys().chain(after.keys().filter(|name| !before.contains_key(*name)));
        for name in names {
            let (from, to) = (before.get(name), after.get(name));
            let Some(kind) = kind(from, to) else { continue };
            changes.plugin_count += 1;
            if changes.plugins.len() < MAX_NAMES {
                let (from, to) = (from.map(ServedVersion::of), to.map(ServedVersion::of));
                changes.plugins.push(PluginChange { name: name.clone(), kind, from, to });
            }
        }
        changes.plugins.sort_by(|one, other| one.name.cmp(&other.name));
        changes
    }
}

/// The kind of the difference; `None` if there is none.
fn kind(from: Option<&PluginEntry>, to: Option<&PluginEntry>) -> Option<PluginChangeKind> {
    let (from, to) = match (from, to) {
        (Some(from), Some(to)) => (from, to),
        (None, Some(_)) => return Some(PluginChangeKind::Added),
        (Some(_), None) => return Some(PluginChangeKind::Removed),
        (None, None) => return None,
    };
    let candidate =
        |entry: &PluginEntry| entry.canary().map(|it| (it.digest(), it.share().to_string()));
    if from.digest() != to.digest() {
        Some(PluginChangeKind::Replaced)
    } else if from.is_disabled() != to.is_disabled() {
        let is_disabled = to.is_disabled();
        Some(if is_disabled { PluginChangeKind::Disabled } else { PluginChangeKind::Enabled })
    } else if candidate(from) != candidate(to) {
        Some(PluginChangeKind::Canary)
    } else if from.is_same_instance(to) {
        None
    } else {
        Some(PluginChangeKind::Restarted)
    }
}

impl Names {
    fn add(&mut self, name: &str) {
        self.count += 1;
        if self.first.len() < MAX_NAMES {
            self.first.push(name.to_owned());
        }
    }
}

impl ServedVersion {
    fn of(entry: &PluginEntry) -> Self {
        let version = entry.manifest().version.clone();
        Self { version, digest: entry.digest().hex().to_string() }
    }
}
