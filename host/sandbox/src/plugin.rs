//! A compiled plugin, and how its instances are started.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use crate::circuit_breaker::{CircuitBreaker, CircuitStatus};
use crate::contract::PluginPre;
use crate::cpu::{Budget, Meter, Turns};
use crate::error::Error;
use crate::fault::{Fault, FaultKind};
use crate::host_state::{HostState, PluginContext};
use crate::instance::Instance;
use crate::lane::{Lane, Lanes};
use crate::manifest::Manifest;
use crate::ticker::Ticker;

/// A plugin that is compiled, linked and described. Cheap to clone; it runs nothing until it is
/// started.
#[derive(Clone)]
pub struct Plugin {
    inner: Arc<Inner>,
}

/// A route that names one of a plugin's handlers.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RouteConfig {
    /// The handler that the route names.
    pub handler: String,
    /// The route's name.
    pub name: String,
    /// Its channel pattern.
    pub channel: String,
    /// `handler.args`: the text of a JSON value, `null` when absent.
    pub args: String,
}

/// What the lanes of a plugin share.
pub(crate) struct Inner {
    pub(crate) manifest: Manifest,
    pub(crate) pre: PluginPre<HostState>,
    pub(crate) ticker: Arc<Ticker>,
    pub(crate) context: Arc<PluginContext>,
    turns: Turns,
    budget: Arc<Budget>,
    /// By handler, over all lanes.
    breakers: HashMap<String, CircuitBreaker>,
}

impl Plugin {
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
        let inner = Inner { manifest, pre, ticker, context, turns, budget, breakers };
        Self { inner: Arc::new(inner) }
    }

    /// What the plugin said of itself.
    pub fn manifest(&self) -> &Manifest {
        &self.inner.manifest
    }

    /// The state of each handler's circuit breaker.
    pub fn circuits(&self) -> impl Iterator<Item = CircuitStatus> {
        let now = Instant::now();
        self.inner.breakers.values().map(move |breaker| breaker.status(now))
    }

    /// Rehearses: makes one instance for each of `lanes` lanes (at least one) and configures each
    /// of them for all the routes. An error names the plugin, the route, and what the plugin says.
    ///
    /// # Errors
    /// [`Error::UnknownHandler`], [`Error::Refused`] or [`Error::Start`].
    pub async fn start(&self, lanes: usize, routes: &[RouteConfig]) -> Result<Lanes, Error> {
        let manifest = &self.inner.manifest;
        if let Some(route) = routes.iter().find(|r| manifest.handler(&r.handler).is_none()) {
            return Err(Error::UnknownHandler {
                plugin: manifest.name.clone(),
                route: route.name.clone(),
                handler: route.handler.clone(),
                offered: offered(manifest),
            });
        }
        let routes: Arc<[RouteConfig]> = routes.into();
        let mut started = Vec::with_capacity(lanes.max(1));
        for _ in 0..lanes.max(1) {
            let meter = self.inner.meter();
            let instance = self.inner.instance(&routes, &meter).await?;
            started.push(Lane::new(Arc::clone(&self.inner), Arc::clone(&routes), instance));
        }
        Ok(Lanes::new(started))
    }
}

impl fmt::Debug for Plugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plugin").field("manifest", &self.inner.manifest).finish_non_exhaustive()
    }
}

impl Inner {
    /// A fresh instance, configured for the routes.
    pub(crate) async fn instance(
        &self,
        routes: &[RouteConfig],
        meter: &Arc<Meter>,
    ) -> Result<Instance, Error> {
        let plugin = || self.manifest.name.clone();
        let start = |fault: Fault| Error::Start { plugin: plugin(), fault: Box::new(fault) };
        let mut instance =
            Instance::new(&self.pre, &self.ticker, &self.context, meter).await.map_err(start)?;
        for route in routes {
            let answer = instance.configure(&self.ticker, route).await.map_err(start)?;
            answer.map_err(|text| Error::Refused {
                plugin: plugin(),
                route: route.name.clone(),
                handler: route.handler.clone(),
                text,
            })?;
        }
        Ok(instance)
    }

    /// The CPU time of one lane.
    fn meter(&self) -> Arc<Meter> {
        Arc::new(Meter::new(self.turns.clone(), Arc::clone(&self.budget)))
    }

    /// The handler's circuit breaker, if the handler exists.
    pub(crate) fn breaker(&self, handler: &str) -> Result<&CircuitBreaker, FaultKind> {
        self.breakers.get(handler).ok_or(FaultKind::UnknownHandler)
    }
}

fn offered(manifest: &Manifest) -> String {
    let names: Vec<_> = manifest.handlers.iter().map(|h| format!("`{}`", h.name)).collect();
    names.join(", ")
}
