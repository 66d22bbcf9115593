//! Generation: one immutable set of routes, each bound to the handler that serves it.
//!
//! A message uses one generation from start to end. [`prepare()`] builds a generation from a
//! snapshot, without serving it. `reload` commits it to [`CurrentGeneration`], from which
//! `dispatch` reads it for every message.

mod access_handlers;
mod build_context;
mod canary;
mod current_generation;
mod durable;
mod handler_registry;
mod held;
mod homes;
mod imports;
mod kept_decisions;
mod loads;
mod plugin_entry;
mod prepare;
mod problem;
mod route_access;
mod route_counts;
mod shadows;
mod share;
mod totals;
mod warnings;

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jackfield_broker::PublicationCounts;
use jackfield_config::Plugins;
use jackfield_routing::{Route, RouteTable, TimerFrom};
use jackfield_sandbox::{
    HandlerDescription, Hooks, Lane, Lanes, Manifest, Plugin, PluginPolicy, RouteConfig,
};

use crate::signatures::Signed;
use crate::site::{ContentHash, PluginFile};

pub(crate) use access_handlers::{AccessHandler, route_name as access_route_name};
use access_handlers::{AccessHandlers, BoundAuthentication};
pub(crate) use build_context::BuildContext;
use canary::BoundCanary;
pub(crate) use canary::{ActiveCanary, Canary, CanaryError, LoadedCanary};
pub(crate) use current_generation::CurrentGeneration;
pub(crate) use durable::DurableHistories;
pub(crate) use kept_decisions::{DecisionKey, KeptDecisions};
pub(crate) use loads::{Loads, load, load_apart, signed};
pub(crate) use prepare::{build, prepare, routes_alone};
pub(crate) use problem::{Problem, Warning};
pub(crate) use route_access::{AccessLists, RealmUri, RouteAccess, rule_json};
pub(crate) use route_counts::RouteCounts;
pub(crate) use share::Share;
pub(crate) use warnings::{no_uri, route_warnings};

/// An immutable set of routes and running plugins.
#[derive(Clone)]
pub(crate) struct Generation {
    number: u64,
    hash: ContentHash,
    routes: Arc<RouteTable>,
    access: Arc<RouteAccess>,
    /// The handler of each route, in the order of the routes.
    handlers: Vec<BoundHandler>,
    counts: RouteCounts,
    plugins: Vec<PluginEntry>,
    /// Those of the plugins that decide about access.
    access_handlers: AccessHandlers,
    warnings: Vec<Warning>,
    has_timers: bool,
    /// The files of plugins in the snapshot that are still being loaded.
    loading: Vec<String>,
    /// The shadows of plugins that the snapshot has.
    shadows: Vec<PluginFile>,
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
    /// The counts of the route's publications.
    pub(crate) counts: &'g Arc<PublicationCounts>,
}

/// A handler of a running plugin.
#[derive(Clone)]
pub(crate) struct BoundHandler {
    description: HandlerDescription,
    /// Whether one node of a cluster runs the hooks of the plugin for all.
    has_home: bool,
    timer: Option<BoundTimer>,
    lanes: Lanes,
    plugin: Plugin,
    is_disabled: bool,
    /// Boxed, as few have one.
    canary: Option<Box<BoundCanary>>,
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
    is_disabled: bool,
    canary: Option<Canary>,
    /// Its verified signature, if the settings need one.
    signed: Option<Signed>,
}

/// A plugin with its instances. Generations share it while neither the plugin nor its routes
/// change, so that instances keep their memory. It stops with the last of these generations.
struct Running {
    hash: ContentHash,
    plugin: Plugin,
    /// The policy of the plugin when it was loaded.
    policy: PluginPolicy,
    /// The routes with which the instances were configured.
    routes: Vec<RouteConfig>,
    /// `None` if no route uses the plugin, and it does not decide about access.
    lanes: Option<Lanes>,
    /// Its decisions about access that may be kept.
    kept: KeptDecisions,
    /// Its handlers that authenticate clients.
    authentications: HashMap<String, BoundAuthentication>,
}

impl Running {
    /// Returns whether its policy is that of the settings.
    fn has_policy_of(&self, settings: &Plugins) -> bool {
        *settings.policy(&self.plugin.manifest().name) == self.policy
    }
}

impl Generation {
    /// Returns the empty generation before the first one.
    fn none() -> Self {
        Self {
            number: 0,
            hash: ContentHash::default(),
            routes: Arc::default(),
            access: Arc::default(),
            handlers: Vec::new(),
            counts: RouteCounts::default(),
            plugins: Vec::new(),
            access_handlers: AccessHandlers::default(),
            warnings: Vec::new(),
            has_timers: false,
            loading: Vec::new(),
            shadows: Vec::new(),
        }
    }

    /// Gives it the next number.
    pub(crate) fn next(self) -> Self {
        Self { number: self.number + 1, ..self }
    }

    /// Returns the number of the generation; they are counted from 1 in each process.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Returns the hash of the snapshot from which the generation was prepared.
    pub(crate) fn hash(&self) -> ContentHash {
        self.hash
    }

    /// Returns whether it serves all of the snapshot with this hash.
    pub(crate) fn serves(&self, hash: ContentHash) -> bool {
        self.loading.is_empty() && self.hash == hash
    }

    /// Returns the files of plugins that are omitted, as they are still being loaded.
    pub(crate) fn loading(&self) -> &[String] {
        &self.loading
    }

    /// Returns the instances of a component, if it runs them.
    fn running(&self, file: &PluginFile) -> Option<&Arc<Running>> {
        self.running_hash(file.hash)
    }

    /// Returns the instances of the component with this hash, in service or as a canary.
    fn running_hash(&self, hash: ContentHash) -> Option<&Arc<Running>> {
        let entries = self.plugins.iter();
        let mut running =
            entries.flat_map(|it| std::iter::once(&it.running).chain(it.canary_running()));
        running.find(|running| running.hash == hash)
    }

    /// Returns whether it serves the same routes with the same instances and the same access.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let pairs = || self.plugins.iter().zip(&other.plugins);
        self.routes.routes() == other.routes.routes()
            && self.access == other.access
            && self.plugins.len() == other.plugins.len()
            && pairs().all(|(one, other)| {
                one.is_same_instance(other)
                    && one.is_disabled == other.is_disabled
                    && one.has_same_canary(other)
            })
    }

    /// Disables the plugins of these names: their handlers refuse every request, and no hook is
    /// called.
    pub(crate) fn without(mut self, names: &BTreeSet<String>) -> Self {
        let is_disabled = |plugin: &Plugin| names.contains(&plugin.manifest().name);
        for plugin in &mut self.plugins {
            plugin.is_disabled = is_disabled(&plugin.running.plugin);
        }
        for handler in &mut self.handlers {
            handler.set_disabled(is_disabled(&handler.plugin));
        }
        let mut handlers = self.handlers.iter();
        self.has_timers = handlers.any(|handler| handler.timer().is_some());
        self
    }

    /// Returns the route and the handler of a topic.
    pub(crate) fn find<'g, 't>(&'g self, topic: &'t str) -> Option<RouteMatch<'g, 't>> {
        let position = self.routes.position(topic)?;
        let route = self.routes.routes().get(position)?;
        let (handler, counts) = (self.handlers.get(position)?, self.counts.at(position));
        Some(RouteMatch { route, topic, handler, counts })
    }

    /// Returns the counts of publications by route.
    pub(crate) fn counts(&self) -> &RouteCounts {
        &self.counts
    }

    /// Lanes of all plugins and their canaries, and the size limits of their stores together, in
    /// bytes.
    pub(crate) fn totals(&self) -> (usize, usize) {
        let sum = |of: fn(&PluginEntry) -> usize| {
            self.plugins.iter().map(of).fold(0, usize::saturating_add)
        };
        (sum(PluginEntry::all_lanes), sum(PluginEntry::store_limit))
    }

    /// Returns every route, in matching order.
    pub(crate) fn routes(&self) -> &RouteTable {
        &self.routes
    }

    /// Returns every route with its handler, in matching order.
    pub(crate) fn bound(&self) -> impl Iterator<Item = (&Route, &BoundHandler)> {
        self.routes.routes().iter().zip(&self.handlers)
    }

    /// Returns whether any topic may have a timer.
    pub(crate) fn has_timers(&self) -> bool {
        self.has_timers
    }

    /// Returns every plugin, by path.
    pub(crate) fn plugins(&self) -> &[PluginEntry] {
        &self.plugins
    }

    /// Returns the plugin of this file, by its displayed path.
    pub(crate) fn plugin_in(&self, file: &str) -> Option<&PluginEntry> {
        self.plugins.iter().find(|plugin| plugin.file == file)
    }

    /// Returns warnings: probably unintended settings that do not prevent the generation.
    pub(crate) fn warnings(&self) -> &[Warning] {
        &self.warnings
    }
}

impl RouteMatch<'_, '_> {
    /// Returns the names and values that the channel captured, and those of the route's defaults.
    /// Needed for hooks only, which most messages do not call.
    pub(crate) fn attributes(&self) -> Vec<(&str, &str)> {
        self.route.attributes(self.topic).unwrap_or_default()
    }
}

impl BoundHandler {
    /// Returns the name of the handler.
    pub(crate) fn name(&self) -> &str {
        &self.description.name
    }

    /// Returns the hooks that the handler has.
    pub(crate) fn hooks(&self) -> Hooks {
        self.description.hooks
    }

    /// Returns the timer; `None` if the handler has no timer hook, if there is no interval, or if the
    /// plugin is disabled.
    pub(crate) fn timer(&self) -> Option<BoundTimer> {
        self.timer.filter(|_| !self.is_disabled)
    }

    /// Returns whether the operator has disabled the plugin: no hook may be called.
    pub(crate) fn is_disabled(&self) -> bool {
        self.is_disabled
    }

    /// Returns the manifest of the plugin.
    pub(crate) fn manifest(&self) -> &Manifest {
        self.plugin.manifest()
    }

    /// Returns the digest of the component, in hexadecimal.
    pub(crate) fn digest(&self) -> &str {
        self.plugin.digest()
    }

    /// Returns whether the plugin receives the answers of its effects.
    pub(crate) fn takes_answers(&self) -> bool {
        self.plugin.takes_answers()
    }

    /// Returns the lane of a topic, in which all its hooks run one after another. A topic keeps its
    /// lane while the plugin has the same number of lanes.
    pub(crate) fn lane(&self, topic: &str) -> &Lane {
        self.lanes.of(topic)
    }

    /// Returns the number of this lane.
    pub(crate) fn lane_number(&self, topic: &str) -> usize {
        self.lanes.number_of(topic)
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

#[cfg(test)]
mod tests;
