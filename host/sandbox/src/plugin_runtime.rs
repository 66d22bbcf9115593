//! Runtime of one plugin, shared by its lanes: it makes configured instances, recycles those that have
//! grown, and holds the CPU budget and the circuit breakers.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use jackfield_text::Untrusted;
use tokio::time::timeout;

use crate::byte_size::byte_size;
use crate::circuit_breaker::CircuitBreaker;
use crate::cpu::{Budget, MAX_WAIT, Meter, Turns};
use crate::error::SandboxError;
use crate::exports::PluginPre;
use crate::fault::{Fault, FaultKind};
use crate::handler_metrics::{HandlerMetrics, PluginMetrics};
use crate::host_state::PluginContext;
use crate::instance::Instance;
use crate::manifest::Manifest;
use crate::observer::CallObservers;
use crate::route_config::Routes;
use crate::store::durable::Durable;
use crate::ticker::Ticker;

/// Runtime of one plugin.
pub(crate) struct PluginRuntime {
    pub(crate) manifest: Manifest,
    pub(crate) pre: PluginPre,
    pub(crate) ticker: Arc<Ticker>,
    pub(crate) context: Arc<PluginContext>,
    pub(crate) observers: Arc<CallObservers>,
    /// SHA-256 of the component, in hexadecimal digits.
    pub(crate) digest: String,
    turns: Turns,
    budget: Arc<Budget>,
    /// By handler, over all lanes.
    handlers: HashMap<String, HandlerState>,
    /// Whether instances that have grown may be replaced between calls.
    may_recycle: bool,
    recycled: AtomicU64,
}

/// What a handler's calls have in common.
pub(crate) struct HandlerState {
    pub(crate) breaker: CircuitBreaker,
    pub(crate) metrics: Arc<HandlerMetrics>,
}

impl PluginRuntime {
    pub(crate) fn new(
        manifest: Manifest,
        pre: PluginPre,
        ticker: Arc<Ticker>,
        context: Arc<PluginContext>,
        turns: Turns,
        recycle: bool,
        (observers, digest, metrics): (Arc<CallObservers>, String, Arc<PluginMetrics>),
    ) -> Self {
        let may_recycle = recycle || manifest.is_stateless;
        let limits = &context.limits;
        let names = manifest.handlers.iter().map(|handler| &handler.name);
        let state = |name: &String| HandlerState {
            breaker: CircuitBreaker::new(&context.label, name, limits.breaker),
            metrics: metrics.of(name),
        };
        let handlers = names.map(|name| (name.clone(), state(name))).collect();
        let budget = Arc::new(Budget::new(limits.cpu_percent, Instant::now()));
        let recycled = AtomicU64::new(0);
        Self {
            manifest,
            pre,
            ticker,
            context,
            observers,
            digest,
            turns,
            budget,
            handlers,
            may_recycle,
            recycled,
        }
    }

    /// How many instances have been recycled.
    pub(crate) fn recycled(&self) -> u64 {
        self.recycled.load(Ordering::Relaxed)
    }

    /// Whether an instance is replaced before its next call.
    pub(crate) fn is_due(&self, instance: &Instance) -> bool {
        self.may_recycle && instance.store.data().memory.has_grown()
    }

    /// Replaces an instance that has grown by a fresh one. The old one stays if none can be made in
    /// time, so that no call is lost.
    pub(crate) async fn recycle(&self, grown: &mut Instance, routes: &Routes, meter: &Arc<Meter>) {
        let fresh = timeout(MAX_WAIT, self.instance(routes, meter)).await;
        let plugin = self.manifest.name.as_str();
        let memory = &mut grown.store.data_mut().memory;
        let size = byte_size(memory.used());
        let reason = match fresh {
            Ok(Ok(fresh)) => {
                *grown = fresh;
                let times = self.recycled.fetch_add(1, Ordering::Relaxed) + 1;
                let limit = byte_size(self.context.limits.memory);
                tracing::info!(
                    name: "plugin.recycled",
                    target: "jackfield::plugin",
                    plugin,
                    "recycled an instance that used {size} of {limit} (plugins.*.memory); {times} \
                     since this version was loaded"
                );
                return;
            }
            Ok(Err(error)) => error.to_string(),
            Err(_elapsed) => format!("a fresh one was not ready in {MAX_WAIT:?}"),
        };
        memory.postpone_recycling();
        let reason = Untrusted::new(&reason);
        tracing::warn!(
            name: "plugin.recycle_failed",
            target: "jackfield::plugin",
            plugin,
            "cannot recycle an instance that uses {size}: {reason}"
        );
    }

    /// The circuit breaker of each handler.
    pub(crate) fn breakers(&self) -> impl Iterator<Item = &CircuitBreaker> {
        self.handlers.values().map(|handler| &handler.breaker)
    }

    /// A fresh instance, configured for the routes.
    pub(crate) async fn instance(
        &self,
        routes: &Routes,
        meter: &Arc<Meter>,
    ) -> Result<Instance, SandboxError> {
        let plugin = || self.manifest.name.clone();
        let start = |fault: Fault| SandboxError::Start { plugin: plugin(), fault: Box::new(fault) };
        let mut instance =
            Instance::new(&self.pre, &self.ticker, &self.context, meter).await.map_err(start)?;
        for (id, route) in routes.iter() {
            let answer = instance.configure(&self.ticker, id, route).await.map_err(start)?;
            answer.map_err(|text| SandboxError::Refused {
                plugin: plugin(),
                route: route.name.clone(),
                handler: route.handler.clone(),
                text,
            })?;
        }
        instance.store.data_mut().memory.end_start();
        Ok(instance)
    }

    /// The CPU time of one lane.
    pub(crate) fn meter(&self) -> Arc<Meter> {
        Arc::new(Meter::new(self.turns.clone(), Arc::clone(&self.budget)))
    }

    /// Refuses calls while the store cannot be saved.
    pub(crate) fn admit(&self) -> Result<(), FaultKind> {
        self.context.space.durable.as_ref().map_or(Ok(()), Durable::admit)
    }

    /// The handler of this name, if it exists.
    pub(crate) fn handler(&self, name: &str) -> Result<&HandlerState, FaultKind> {
        self.handlers.get(name).ok_or(FaultKind::UnknownHandler)
    }
}
