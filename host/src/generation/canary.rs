//! Canaries of a generation: new versions that serve a share of the topics of their plugin's routes.
//!
//! A canary has its own lanes, in the same number as the version in service, and the plugin's store.
//! It is asked about events and subscribers; calls and timers stay with the version in service.

use std::collections::HashMap;
use std::sync::Arc;

use jackfield_sandbox::{CircuitStatus, Lanes, Plugin, SandboxError};

use super::prepare::bind;
use super::share::Share;
use super::{BoundHandler, Generation, KeptDecisions, PluginEntry, RouteMatch, Running, totals};
use crate::site::ContentHash;

/// The canary of a plugin.
#[derive(Clone)]
pub(crate) struct Canary {
    running: Arc<Running>,
    share: Share,
}

/// The canary's handler of a route.
#[derive(Clone)]
pub(super) struct BoundCanary {
    share: Share,
    handler: BoundHandler,
}

/// A canary that is to serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ActiveCanary {
    /// The plugin's name.
    pub(crate) plugin: String,
    /// SHA-256 of the component, in hexadecimal.
    pub(crate) digest: String,
    pub(crate) share: Share,
}

/// A loaded component that is to be the canary of its plugin.
#[derive(Clone, Debug)]
pub(crate) struct LoadedCanary {
    pub(crate) hash: ContentHash,
    pub(crate) plugin: Plugin,
    pub(crate) share: Share,
}

/// The reason why a component is no canary of the version in service.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CanaryError {
    #[error("it serves all topics now")]
    InService,
    #[error(
        "its store layout (`schema`) is {new}, and that of the version in service is {current}"
    )]
    OtherSchema {
        /// The number of the layout in service.
        current: u32,
        /// The number of the canary's layout.
        new: u32,
    },
    /// There is no room for its lanes.
    #[error("it {0}")]
    Lanes(String),
    #[error("{0}")]
    Refused(#[from] SandboxError),
}

impl Canary {
    /// The digest of the component.
    pub(crate) fn digest(&self) -> ContentHash {
        self.running.hash
    }

    /// The share of topics that it serves.
    pub(crate) const fn share(&self) -> Share {
        self.share
    }

    /// Returns the state of each handler's circuit breaker.
    pub(crate) fn circuits(&self) -> impl Iterator<Item = CircuitStatus> {
        self.running.plugin.circuits()
    }

    /// Memory of its instances now, in bytes.
    pub(crate) fn memory_used(&self) -> usize {
        self.running.plugin.memory_used()
    }

    fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.running, &other.running) && self.share == other.share
    }
}

impl PluginEntry {
    /// The canary, if the plugin has one that serves.
    pub(crate) fn canary(&self) -> Option<&Canary> {
        self.canary.as_ref()
    }

    pub(super) fn has_same_canary(&self, other: &Self) -> bool {
        match (&self.canary, &other.canary) {
            (Some(one), Some(other)) => one.is_same(other),
            (one, other) => one.is_none() && other.is_none(),
        }
    }

    /// Returns the number of its lanes and of those of its canary.
    pub(super) fn all_lanes(&self) -> usize {
        let lanes = |running: &Arc<Running>| running.lanes.as_ref().map_or(0, Lanes::count);
        lanes(&self.running) + self.canary_running().map_or(0, lanes)
    }

    pub(super) fn canary_running(&self) -> Option<&Arc<Running>> {
        self.canary.as_ref().map(|canary| &canary.running)
    }

    /// The instances of a canary beside this plugin: those of `previous` if they fit, or new ones.
    async fn run_canary(
        &self,
        canary: &LoadedCanary,
        previous: Option<&Arc<Running>>,
    ) -> Result<Arc<Running>, CanaryError> {
        let (current, new) = (self.manifest().schema, canary.plugin.manifest().schema);
        if canary.hash == self.digest() {
            return Err(CanaryError::InService);
        }
        if current != new {
            return Err(CanaryError::OtherSchema { current, new });
        }
        let Running { routes, lanes, .. } = &*self.running;
        let count = lanes.as_ref().map(Lanes::count);
        let fits = |running: &&Arc<Running>| {
            running.routes == *routes && running.lanes.as_ref().map(Lanes::count) == count
        };
        if let Some(running) = previous.filter(fits) {
            return Ok(Arc::clone(running));
        }
        let lanes = match count {
            Some(count) => Some(canary.plugin.start(count, routes).await?),
            None => None,
        };
        let (hash, plugin) = (canary.hash, canary.plugin.clone());
        let (policy, routes) = (self.running.policy.clone(), routes.clone());
        // Decisions about access stay with the version in service.
        let (kept, authentications) = (KeptDecisions::default(), HashMap::new());
        Ok(Arc::new(Running { hash, plugin, policy, routes, lanes, kept, authentications }))
    }
}

impl BoundHandler {
    /// The handler of the version that serves the topic.
    fn for_topic(&self, topic: &str) -> &Self {
        let canary = self.canary.as_ref();
        let canary = canary.filter(|it| it.share.has(&self.manifest().name, topic));
        canary.map_or(self, |it| &it.handler)
    }

    pub(super) fn set_disabled(&mut self, is_disabled: bool) {
        self.is_disabled = is_disabled;
        if let Some(canary) = &mut self.canary {
            canary.handler.is_disabled = is_disabled;
        }
    }
}

impl RouteMatch<'_, '_> {
    /// The version that decides about the topic's events and subscribers: a canary, if the topic is
    /// among its share.
    pub(crate) fn for_events(self) -> Self {
        Self { handler: self.handler.for_topic(self.topic), ..self }
    }
}

impl Generation {
    /// Starts canaries beside their plugins, or takes those of the previous generation. Returns the
    /// plugins whose canary cannot serve, such as for lack of lanes: all may have `max_lanes`.
    pub(crate) async fn with_canaries(
        mut self,
        canaries: &[LoadedCanary],
        previous: &Self,
        max_lanes: usize,
    ) -> (Self, Vec<(LoadedCanary, CanaryError)>) {
        let mut failed = Vec::new();
        for entry in &mut self.plugins {
            entry.canary = None;
        }
        let mut used = self.totals().0;
        for entry in &mut self.plugins {
            let name = &entry.manifest().name;
            let mut named = canaries.iter();
            let Some(canary) = named.find(|it| it.plugin.manifest().name == *name) else {
                continue;
            };
            let own = entry.lanes();
            let running = match totals::lanes(own, used, max_lanes) {
                Ok(()) => entry.run_canary(canary, previous.running_hash(canary.hash)).await,
                Err(text) => Err(CanaryError::Lanes(text)),
            };
            match running {
                Ok(running) => {
                    used += own;
                    entry.canary = Some(Canary { running, share: canary.share });
                }
                Err(error) => failed.push((canary.clone(), error)),
            }
        }
        self.bind_canaries();
        (self, failed)
    }

    /// Drops all canaries but these, and sets their shares. Starts none.
    pub(crate) fn retain_canaries(mut self, wanted: &[ActiveCanary]) -> Self {
        for entry in &mut self.plugins {
            let Some(canary) = &mut entry.canary else { continue };
            let (name, digest) = (&entry.running.plugin.manifest().name, canary.digest());
            let digest = digest.hex().to_string();
            let mut named = wanted.iter();
            match named.find(|it| it.plugin == *name && it.digest == digest) {
                Some(it) => canary.share = it.share,
                None => entry.canary = None,
            }
        }
        self.bind_canaries();
        self
    }

    fn bind_canaries(&mut self) {
        for (route, bound) in self.routes.routes().iter().zip(&mut self.handlers) {
            let mut entries = self.plugins.iter();
            let entry = entries.find(|it| it.manifest().name == bound.manifest().name);
            bound.canary = entry.and_then(|entry| entry.canary.as_ref()).and_then(|canary| {
                let handler = bind(route, &canary.running)?;
                // The timer stays with the version in service.
                let (timer, is_disabled) = (bound.timer, bound.is_disabled);
                let handler = BoundHandler { timer, is_disabled, ..handler };
                Some(Box::new(BoundCanary { share: canary.share, handler }))
            });
        }
    }
}
