//! Metrics of handlers: the times of their hooks, and their faults by kind. The versions of a plugin
//! share them, so that a reload does not reset them.
//!
//! A handler's hooks run one at a time in each lane, so the atomics of a histogram are rarely written
//! by two threads at once.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use jackfield_metrics::{Durations, Histogram};

use crate::fault::FaultKind;
use crate::manifest::Hook;

/// The metrics of the plugins that serve. Cheap to clone.
#[derive(Clone, Default)]
pub struct SandboxMetrics {
    /// A std mutex, held for a look-up when a plugin is loaded, and for a scrape.
    plugins: Arc<Mutex<BTreeMap<String, Weak<PluginMetrics>>>>,
    store_commits: Arc<Histogram>,
}

/// The counts of a handler since its plugin was loaded first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HandlerCounts {
    /// The plugin's name.
    pub plugin: String,
    /// The handler's name.
    pub handler: String,
    /// The times of the hooks that were called: from having the lane to the answer.
    pub hooks: Vec<(Hook, Durations)>,
    /// The number of faults by [`FaultKind::label`].
    pub faults: BTreeMap<&'static str, u64>,
}

/// The metrics of a plugin's handlers. They end with the last version of the plugin.
#[derive(Debug, Default)]
pub(crate) struct PluginMetrics {
    handlers: Mutex<BTreeMap<String, Weak<HandlerMetrics>>>,
}

/// The metrics of a handler.
#[derive(Debug, Default)]
pub(crate) struct HandlerMetrics {
    /// By hook; made at its first call, as few handlers have every hook.
    times: [OnceLock<Box<Histogram>>; Hook::COUNT],
    /// A std mutex: faults are rare, or refusals of an open circuit breaker, which cost no call.
    faults: Mutex<BTreeMap<&'static str, u64>>,
    /// Kept alive by its handlers.
    _plugin: Option<Arc<PluginMetrics>>,
}

impl SandboxMetrics {
    /// The times of commits of saved stores.
    pub fn store_commit_times(&self) -> Durations {
        self.store_commits.durations()
    }

    /// The counts of all handlers, by the names of plugin and handler.
    pub fn handlers(&self) -> Vec<HandlerCounts> {
        let plugins: Vec<(String, Arc<PluginMetrics>)> = {
            let mut plugins = lock(&self.plugins);
            plugins.retain(|_, plugin| plugin.strong_count() > 0);
            let alive = |(name, it): (&String, &Weak<_>)| Some((name.clone(), it.upgrade()?));
            plugins.iter().filter_map(alive).collect()
        };
        let counts = plugins.iter().flat_map(|(plugin, metrics)| {
            let handlers = lock(&metrics.handlers);
            let alive =
                handlers.iter().filter_map(|(name, it)| Some((name.clone(), it.upgrade()?)));
            alive.map(|(handler, metrics)| metrics.counts(plugin, handler)).collect::<Vec<_>>()
        });
        counts.collect()
    }

    pub(crate) fn store_commits(&self) -> Arc<Histogram> {
        Arc::clone(&self.store_commits)
    }

    /// The metrics of the plugin of this name.
    pub(crate) fn of(&self, plugin: &str) -> Arc<PluginMetrics> {
        let mut plugins = lock(&self.plugins);
        if let Some(metrics) = plugins.get(plugin).and_then(Weak::upgrade) {
            return metrics;
        }
        let metrics = Arc::new(PluginMetrics::default());
        plugins.insert(plugin.to_owned(), Arc::downgrade(&metrics));
        metrics
    }
}

impl PluginMetrics {
    /// The metrics of the handler of this name.
    pub(crate) fn of(self: &Arc<Self>, handler: &str) -> Arc<HandlerMetrics> {
        let mut handlers = lock(&self.handlers);
        if let Some(metrics) = handlers.get(handler).and_then(Weak::upgrade) {
            return metrics;
        }
        let metrics = HandlerMetrics { _plugin: Some(Arc::clone(self)), ..Default::default() };
        let metrics = Arc::new(metrics);
        handlers.insert(handler.to_owned(), Arc::downgrade(&metrics));
        metrics
    }
}

impl HandlerMetrics {
    /// A call has ended after this time, with an answer or a fault.
    pub(crate) fn ended(&self, hook: Hook, took: Duration) {
        if let Some(times) = self.times.get(hook as usize) {
            times.get_or_init(Box::default).record(took);
        }
    }

    /// A call has failed, or was refused.
    pub(crate) fn failed(&self, kind: &FaultKind) {
        let mut faults = lock(&self.faults);
        let count = faults.entry(kind.label()).or_default();
        *count = count.saturating_add(1);
    }

    fn counts(&self, plugin: &str, handler: String) -> HandlerCounts {
        let hooks = Hook::EVERY.into_iter().filter_map(|hook| {
            let times = self.times.get(hook as usize)?.get()?;
            Some((hook, times.durations()))
        });
        HandlerCounts {
            plugin: plugin.to_owned(),
            handler,
            hooks: hooks.collect(),
            faults: lock(&self.faults).clone(),
        }
    }
}

impl fmt::Debug for SandboxMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SandboxMetrics").finish_non_exhaustive()
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    // Each change is one statement.
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_a_plugin_share_their_counts() {
        let metrics = SandboxMetrics::default();
        let before = metrics.of("chat").of("room");
        before.ended(Hook::Publish, Duration::from_millis(2));
        before.failed(&FaultKind::UnknownRoute);
        let after = metrics.of("chat").of("room");
        drop(before);
        after.ended(Hook::Publish, Duration::from_millis(2));
        after.ended(Hook::Result, Duration::from_millis(2));
        let counts = metrics.handlers();
        let [chat] = counts.as_slice() else { panic!("{counts:?}") };
        assert_eq!((&*chat.plugin, &*chat.handler), ("chat", "room"));
        let called: Vec<_> = chat.hooks.iter().map(|(hook, it)| (*hook, it.count())).collect();
        assert_eq!(called, [(Hook::Publish, 2), (Hook::Result, 1)]);
        assert_eq!(chat.faults, BTreeMap::from([("unknown_route", 1)]));
        drop(after);
        assert_eq!(metrics.handlers(), [], "the plugin was removed");
    }
}
