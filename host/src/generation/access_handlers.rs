//! Handlers that decide about access, by their names. The settings name them; no route does, so each is
//! configured with a route of its own.

use std::collections::HashMap;
use std::sync::Arc;

use jackfield_auth::{Principals, ProofMethod};
use jackfield_sandbox::{Authentication, Hook, Lanes, Manifest, RouteConfig};

use super::{Generation, KeptDecisions, PluginEntry};

/// The least number of lanes of a plugin that decides about access: a slow decision is not to delay all
/// others.
const LANES: usize = 4;

/// The positions of their plugins.
#[derive(Clone, Debug, Default)]
pub(super) struct AccessHandlers(HashMap<String, usize>);

/// A handler that decides about access.
#[derive(Clone, Copy)]
pub(crate) struct AccessHandler<'g> {
    pub(crate) lanes: &'g Lanes,
    /// Its decisions that may be kept.
    pub(crate) kept: &'g KeptDecisions,
    /// Whether the operator has disabled the plugin.
    pub(crate) is_disabled: bool,
    /// The plugin's name.
    pub(crate) plugin: &'g str,
    /// How it authenticates clients, if it does.
    pub(crate) authentication: Option<&'g BoundAuthentication>,
}

/// How a handler authenticates clients.
#[derive(Debug)]
pub(crate) struct BoundAuthentication {
    verifies_tickets: bool,
    /// The entries of its models.
    pub(crate) models: Vec<String>,
    /// The models, as principals.
    pub(crate) principals: Arc<Principals>,
}

impl AccessHandler<'_> {
    /// Returns whether it authenticates clients by this method.
    pub(crate) fn authenticates(&self, method: ProofMethod) -> bool {
        self.authentication.is_some_and(|it| match method {
            ProofMethod::Ticket => it.verifies_tickets,
            method => it.principals.use_method(method),
        })
    }
}

/// Reads the models of the handlers that authenticate.
///
/// # Errors
/// The first error.
pub(super) fn authentications(
    manifest: &Manifest,
) -> Result<HashMap<String, BoundAuthentication>, String> {
    let bind = |(name, it): (&String, &Authentication)| {
        let Authentication { verifies_tickets, models } = it.clone();
        let principals = Principals::of_models(models.iter().map(String::as_str));
        let wrong = |error| format!("the models of `{name}` have a wrong principal: {error}");
        let principals = Arc::new(principals.map_err(wrong)?);
        Ok((name.clone(), BoundAuthentication { verifies_tickets, models, principals }))
    };
    manifest.authenticators.iter().map(bind).collect()
}

impl AccessHandlers {
    pub(super) fn of(plugins: &[PluginEntry]) -> Self {
        let of_plugin = |(position, plugin): (usize, &PluginEntry)| {
            let names = plugin.manifest().access_handlers().map(|it| it.name.clone());
            names.map(|name| (name, position)).collect::<Vec<_>>()
        };
        Self(plugins.iter().enumerate().flat_map(of_plugin).collect())
    }
}

impl Generation {
    /// Returns the handler of this name, if a plugin has it with this hook.
    pub(crate) fn access_handler(&self, name: &str, hook: Hook) -> Option<AccessHandler<'_>> {
        let entry = self.plugins.get(*self.access_handlers.0.get(name)?)?;
        entry.manifest().handler(name).filter(|it| it.hooks.contains(hook))?;
        Some(AccessHandler {
            lanes: entry.running.lanes.as_ref()?,
            kept: &entry.running.kept,
            is_disabled: entry.is_disabled,
            plugin: &entry.manifest().name,
            authentication: entry.running.authentications.get(name),
        })
    }
}

/// Returns the routes with which the handlers of a plugin are configured.
pub(super) fn routes(manifest: &Manifest) -> impl Iterator<Item = RouteConfig> {
    manifest.access_handlers().map(|handler| RouteConfig {
        handler: handler.name.clone(),
        name: route_name(&handler.name),
        channel: String::new(),
        args: "null".to_owned(),
    })
}

/// Returns the number of lanes that a plugin needs for them, if it has any.
pub(super) fn lanes(manifest: &Manifest) -> Option<usize> {
    manifest.access_handlers().next().map(|_| LANES)
}

/// Returns the name of the route of a handler that decides about access.
pub(crate) fn route_name(handler: &str) -> String {
    format!("access by {handler}")
}
