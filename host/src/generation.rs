//! Generation: one immutable set of routes, each bound to the handler that serves it.
//!
//! A message uses one generation from start to end. [`prepare()`] builds a generation from a snapshot,
//! without serving it. `reload` commits it to [`CurrentGeneration`], from which `dispatch` reads it
//! for every message.

mod build_context;
mod handler_registry;
mod held;
mod imports;
mod loads;
mod prepare;
mod problem;
mod warnings;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};
use jackfield_routing::{Route, RouteTable, TimerFrom};
use jackfield_sandbox::{
    CircuitStatus, HandlerDescription, Hooks, Lane, Lanes, Manifest, Plugin, RouteConfig,
};

use crate::site::{ContentHash, PluginFile};

pub(crate) use build_context::BuildContext;
pub(crate) use loads::Loads;
pub(crate) use prepare::{build, prepare, routes_alone};
pub(crate) use problem::{Problem, Warning};
pub(crate) use warnings::{no_uri, route_warnings};

/// An immutable set of routes and running plugins.
pub(crate) struct Generation {
    number: u64,
    hash: ContentHash,
    routes: RouteTable,
    /// The handler of each route, in the order of the routes.
    handlers: Vec<BoundHandler>,
    plugins: Vec<PluginEntry>,
    warnings: Vec<Warning>,
    has_timers: bool,
    /// The files of plugins in the snapshot that are still being loaded.
    loading: Vec<String>,
}

/// The route that matches a topic, and its handler.
#[derive(Clone, Copy)]
pub(crate) struct RouteMatch<'g, 't> {
    /// The first route that matches.
    pub(crate) route: &'g Route,
    /// The topic.
    pub(crate) topic: &'t str,
    /// The handler of the route.
    pub(crate) handler: &'g BoundHandler,
}

/// A handler of a running plugin.
#[derive(Clone)]
pub(crate) struct BoundHandler {
    description: HandlerDescription,
    timer: Option<BoundTimer>,
    lanes: Lanes,
    plugin: Plugin,
}

/// The timer of a handler for the topics of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BoundTimer {
    /// The interval of the route, or else of the handler.
    pub(crate) every: Duration,
    /// The topics for which the timer runs, and its start.
    pub(crate) from: TimerFrom,
}

/// A plugin of a generation.
#[derive(Clone)]
pub(crate) struct PluginEntry {
    file: String,
    running: Arc<Running>,
}

/// A plugin with its instances. Generations share it while neither the plugin nor its routes change,
/// so that instances keep their memory. It stops with the last of these generations.
struct Running {
    hash: ContentHash,
    plugin: Plugin,
    /// The routes with which the instances were configured.
    routes: Vec<RouteConfig>,
    /// None if no route uses the plugin.
    lanes: Option<Lanes>,
}

/// The served generation; before the first one, an empty generation with the number 0. Readers never
/// block, not even during a reload.
pub(crate) struct CurrentGeneration {
    current: ArcSwap<Generation>,
}

impl Generation {
    /// The empty generation before the first one.
    fn none() -> Self {
        Self {
            number: 0,
            hash: ContentHash::default(),
            routes: RouteTable::default(),
            handlers: Vec::new(),
            plugins: Vec::new(),
            warnings: Vec::new(),
            has_timers: false,
            loading: Vec::new(),
        }
    }

    /// Counts the generations of this process, from 1.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Of the snapshot that it was prepared from.
    pub(crate) fn hash(&self) -> ContentHash {
        self.hash
    }

    /// Whether it serves all of the snapshot with this hash.
    pub(crate) fn serves(&self, hash: ContentHash) -> bool {
        self.loading.is_empty() && self.hash == hash
    }

    /// The files of plugins that are left out, as they are still being loaded.
    pub(crate) fn loading(&self) -> &[String] {
        &self.loading
    }

    /// The instances of a component, if it runs them.
    fn running(&self, file: &PluginFile) -> Option<&Arc<Running>> {
        let entries = self.plugins.iter();
        entries.map(|entry| &entry.running).find(|running| running.hash == file.hash)
    }

    /// Whether it serves the same routes with the same instances.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let pairs = || self.plugins.iter().zip(&other.plugins);
        self.routes.routes() == other.routes.routes()
            && self.plugins.len() == other.plugins.len()
            && pairs().all(|(one, other)| one.is_same_instance(other))
    }

    /// The route and the handler of a topic.
    pub(crate) fn find<'g, 't>(&'g self, topic: &'t str) -> Option<RouteMatch<'g, 't>> {
        let position = self.routes.position(topic)?;
        let route = self.routes.routes().get(position)?;
        Some(RouteMatch { route, topic, handler: self.handlers.get(position)? })
    }

    /// Every route, in matching order.
    pub(crate) fn routes(&self) -> &RouteTable {
        &self.routes
    }

    /// Every route with its handler, in matching order.
    pub(crate) fn bound(&self) -> impl Iterator<Item = (&Route, &BoundHandler)> {
        self.routes.routes().iter().zip(&self.handlers)
    }

    /// Whether any topic may have a timer.
    pub(crate) fn has_timers(&self) -> bool {
        self.has_timers
    }

    /// Every plugin, by path.
    pub(crate) fn plugins(&self) -> &[PluginEntry] {
        &self.plugins
    }

    /// The plugin of this file, by its shown path.
    pub(crate) fn plugin_in(&self, file: &str) -> Option<&PluginEntry> {
        self.plugins.iter().find(|plugin| plugin.file == file)
    }

    /// What is probably not meant, and no reason to refuse the generation.
    pub(crate) fn warnings(&self) -> &[Warning] {
        &self.warnings
    }
}

impl RouteMatch<'_, '_> {
    /// Names and values of what the channel captured, and of the route's defaults: for hooks, which
    /// most messages meet none of.
    pub(crate) fn attributes(&self) -> Vec<(&str, &str)> {
        self.route.attributes(self.topic).unwrap_or_default()
    }
}

impl BoundHandler {
    /// The name of the handler.
    pub(crate) fn name(&self) -> &str {
        &self.description.name
    }

    /// The hooks that the handler has.
    pub(crate) fn hooks(&self) -> Hooks {
        self.description.hooks
    }

    /// The timer; none if the handler has no timer hook, or if there is no interval.
    pub(crate) fn timer(&self) -> Option<BoundTimer> {
        self.timer
    }

    /// The manifest of the plugin.
    pub(crate) fn manifest(&self) -> &Manifest {
        self.plugin.manifest()
    }

    /// The lane of a topic, in which all its hooks run one after another. A topic keeps its lane while
    /// the plugin has the same number of lanes.
    pub(crate) fn lane(&self, topic: &str) -> &Lane {
        self.lanes.of(topic)
    }

    /// The number of this lane.
    pub(crate) fn lane_number(&self, topic: &str) -> usize {
        self.lanes.number_of(topic)
    }
}

impl PluginEntry {
    /// The displayed path of the component.
    pub(crate) fn file(&self) -> &str {
        &self.file
    }

    /// The manifest of the plugin.
    pub(crate) fn manifest(&self) -> &Manifest {
        self.running.plugin.manifest()
    }

    /// The number of instances that were replaced because they had grown.
    pub(crate) fn recycled(&self) -> u64 {
        self.running.plugin.recycled()
    }

    /// The state of each handler's circuit breaker.
    pub(crate) fn circuits(&self) -> impl Iterator<Item = CircuitStatus> {
        self.running.plugin.circuits()
    }

    /// The digest of the component.
    pub(crate) fn digest(&self) -> ContentHash {
        self.running.hash
    }

    /// Memory of its instances now, in bytes.
    pub(crate) fn memory_used(&self) -> usize {
        self.running.plugin.memory_used()
    }

    /// The memory limit of each instance, in bytes.
    pub(crate) fn memory_limit(&self) -> usize {
        self.running.plugin.memory_limit()
    }

    /// The number of its lanes, each with an instance.
    pub(crate) fn lanes(&self) -> usize {
        self.running.lanes.as_ref().map_or(0, Lanes::count)
    }

    /// Whether both share the same instances.
    pub(crate) fn is_same_instance(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.running, &other.running)
    }
}

impl fmt::Debug for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { number, hash, .. } = self;
        f.debug_struct("Generation")
            .field("number", number)
            .field("hash", hash)
            .finish_non_exhaustive()
    }
}

impl Default for CurrentGeneration {
    fn default() -> Self {
        Self { current: ArcSwap::from_pointee(Generation::none()) }
    }
}

impl CurrentGeneration {
    /// The generation for a message that arrives now. Hold the guard briefly: a thread has a few fast
    /// guards, and each further one costs a reference count.
    pub(crate) fn current(&self) -> Guard<Arc<Generation>> {
        self.current.load()
    }

    /// Whether there is no generation yet that could serve.
    pub(crate) fn is_none(&self) -> bool {
        self.current.load().number == 0
    }

    /// Puts `next` into service, and returns the previous generation.
    pub(crate) fn commit(&self, next: Arc<Generation>) -> Arc<Generation> {
        self.current.swap(next)
    }
}

#[cfg(test)]
mod tests;
