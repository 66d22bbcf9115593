//! A loaded plugin, and the start of its lanes.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use crate::call_record::PluginVersion;
use crate::circuit_breaker::CircuitStatus;
use crate::error::SandboxError;
use crate::lane::{Lane, Lanes};
use crate::manifest::Manifest;
use crate::outgoing::tally::{OutgoingCount, OutgoingKind};
use crate::plugin_runtime::PluginRuntime;
use crate::policy::StateMode;
use crate::route_config::{RouteConfig, Routes};
use crate::store::durable::Durable;
use crate::store::plugin_store::PluginStore;

/// A compiled, linked and described plugin. Cheap to clone; nothing runs before [`Plugin::start`].
#[derive(Clone)]
pub struct Plugin {
    runtime: Arc<PluginRuntime>,
}

impl Plugin {
    pub(crate) fn new(runtime: PluginRuntime) -> Self {
        Self { runtime: Arc::new(runtime) }
    }

    /// The plugin's manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.runtime.manifest
    }

    /// The state of each handler's circuit breaker.
    pub fn circuits(&self) -> impl Iterator<Item = CircuitStatus> {
        let now = Instant::now();
        self.runtime.breakers().map(move |breaker| breaker.status(now))
    }

    /// Memory of its instances now, in bytes.
    pub fn memory_used(&self) -> usize {
        self.runtime.context.memory.used_by_plugin()
    }

    /// The memory limit of each instance, in bytes.
    pub fn memory_limit(&self) -> usize {
        self.runtime.context.limits.memory
    }

    /// The version of the contract that the plugin was built for, such as `0.2`.
    pub fn contract(&self) -> String {
        self.runtime.pre.version().to_string()
    }

    /// Why the plugin's store cannot be saved, if it cannot: its handlers are on hold.
    pub fn store_failure(&self) -> Option<String> {
        let durable = self.runtime.context.space.durable.as_ref();
        durable.and_then(Durable::hold).map(|reason| reason.to_string())
    }

    /// The plugin's store.
    pub fn store(&self) -> PluginStore {
        PluginStore::new(Arc::clone(&self.runtime.context.space), self.runtime.manifest.schema)
    }

    /// How the plugin's store is kept.
    pub fn state_mode(&self) -> StateMode {
        self.store().state_mode()
    }

    /// The numbers of its effects with an answer, over all its versions.
    pub fn outgoing(&self, kind: OutgoingKind) -> OutgoingCount {
        self.runtime.context.outgoing.tally.count(kind)
    }

    /// SHA-256 of its component, in hexadecimal.
    pub fn digest(&self) -> &str {
        &self.runtime.digest
    }

    /// Whether it receives the answers of its effects.
    pub fn takes_answers(&self) -> bool {
        self.runtime.pre.takes_answers()
    }

    /// Whether it imports the store.
    pub fn uses_store(&self) -> bool {
        self.runtime.pre.uses_store()
    }

    /// Size limit of its store, in bytes.
    pub fn store_limit(&self) -> usize {
        self.runtime.context.limits.store
    }

    /// The number of instances that were replaced because they had grown.
    pub fn recycled(&self) -> u64 {
        self.runtime.recycled()
    }

    /// Makes `lanes` lanes (at least one), each with an instance configured for all the routes. An
    /// error names the plugin, the route and the plugin's reason.
    pub async fn start(&self, lanes: usize, routes: &[RouteConfig]) -> Result<Lanes, SandboxError> {
        let manifest = &self.runtime.manifest;
        if let Some(route) = routes.iter().find(|r| manifest.handler(&r.handler).is_none()) {
            return Err(SandboxError::UnknownHandler {
                plugin: manifest.name.clone(),
                route: route.name.clone(),
                handler: route.handler.clone(),
                offered: offered(manifest),
            });
        }
        let version = Arc::new(PluginVersion {
            plugin: manifest.name.clone(),
            digest: self.runtime.digest.clone(),
            version: manifest.version.clone(),
            lanes: lanes.max(1),
            routes: routes.to_vec(),
        });
        let routes = Arc::new(Routes::new(routes));
        let mut started = Vec::with_capacity(lanes.max(1));
        for _ in 0..lanes.max(1) {
            let meter = self.runtime.meter();
            let instance = self.runtime.instance(&routes, &meter).await?;
            let (runtime, version) = (Arc::clone(&self.runtime), Arc::clone(&version));
            started.push(Lane::new(runtime, version, Arc::clone(&routes), instance));
        }
        Ok(Lanes::new(started))
    }
}

impl fmt::Debug for Plugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plugin").field("manifest", &self.runtime.manifest).finish_non_exhaustive()
    }
}

fn offered(manifest: &Manifest) -> String {
    let names: Vec<_> = manifest.handlers.iter().map(|h| format!("`{}`", h.name)).collect();
    names.join(", ")
}
