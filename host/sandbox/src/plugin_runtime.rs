//! Runtime of one plugin, shared by its lanes: it makes configured instances, and holds the CPU
//! budget and the circuit breakers.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use crate::circuit_breaker::CircuitBreaker;
use crate::contract::PluginPre;
use crate::cpu::{Budget, Meter, Turns};
use crate::error::SandboxError;
use crate::fault::{Fault, FaultKind};
use crate::host_state::{HostState, PluginContext};
use crate::instance::Instance;
use crate::manifest::Manifest;
use crate::route_config::RouteConfig;
use crate::ticker::Ticker;

/// Runtime of one plugin.
pub(crate) struct PluginRuntime {
    pub(crate) manifest: Manifest,
    pub(crate) pre: PluginPre<HostState>,
    pub(crate) ticker: Arc<Ticker>,
    pub(crate) context: Arc<PluginContext>,
    turns: Turns,
    budget: Arc<Budget>,
    /// By handler, over all lanes.
    breakers: HashMap<String, CircuitBreaker>,
}

impl PluginRuntime {
    pub(crate) fn new(
        manifest: Manifest,
        pre: PluginPre<HostState>,
        ticker: Arc<Ticker>,
        context: Arc<PluginContext>,
        turns: Turns,
    ) -> Self {
        let limits = &context.limits;
        let names = manifest.handlers.iter().map(|handler| &handler.name);
        let breaker = |name: &String| CircuitBreaker::new(&manifest.name, name, limits.breaker);
        let breakers = names.map(|name| (name.clone(), breaker(name))).collect();
        let budget = Arc::new(Budget::new(limits.cpu_percent, Instant::now()));
        Self { manifest, pre, ticker, context, turns, budget, breakers }
    }

    /// The circuit breaker of each handler.
    pub(crate) fn breakers(&self) -> impl Iterator<Item = &CircuitBreaker> {
        self.breakers.values()
    }

    /// A fresh instance, configured for the routes.
    pub(crate) async fn instance(
        &self,
        routes: &[RouteConfig],
        meter: &Arc<Meter>,
    ) -> Result<Instance, SandboxError> {
        let plugin = || self.manifest.name.clone();
        let start = |fault: Fault| SandboxError::Start { plugin: plugin(), fault: Box::new(fault) };
        let mut instance =
            Instance::new(&self.pre, &self.ticker, &self.context, meter).await.map_err(start)?;
        for route in routes {
            let answer = instance.configure(&self.ticker, route).await.map_err(start)?;
            answer.map_err(|text| SandboxError::Refused {
                plugin: plugin(),
                route: route.name.clone(),
                handler: route.handler.clone(),
                text,
            })?;
        }
        Ok(instance)
    }

    /// The CPU time of one lane.
    pub(crate) fn meter(&self) -> Arc<Meter> {
        Arc::new(Meter::new(self.turns.clone(), Arc::clone(&self.budget)))
    }

    /// The handler's circuit breaker, if the handler exists.
    pub(crate) fn breaker(&self, handler: &str) -> Result<&CircuitBreaker, FaultKind> {
        self.breakers.get(handler).ok_or(FaultKind::UnknownHandler)
    }
}
