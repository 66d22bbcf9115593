//! Build of a generation from a snapshot: parse, load, resolve, configure.
//!
//! The served generation is not affected. Problems are collected, so that an operator sees all
//! problems of all files at once. Called by `reload` and by the commands that inspect a site.

use std::path::Path;
use std::sync::Arc;

use jackfield_config::Plugins;
use jackfield_routing::{Part, Route, RouteTable, SourceFile};
use jackfield_sandbox::{HandlerDescription, Hook, Manifest, Plugin, RouteConfig, SandboxError};

use crate::site::{PluginFile, Snapshot};

use super::build_context::BuildContext;
use super::handler_registry::HandlerRegistry;
use super::held::{Held, Provider};
use super::loads::{Checked, Loaded, Loads};
use super::problem::Problem;
use super::route_counts::RouteCounts;
use super::totals::Totals;
use super::{
    AccessHandlers, BoundHandler, BoundTimer, Generation, KeptDecisions, PluginEntry, Running,
};
use super::{access_handlers, homes, warnings};

/// Returns the routes of a snapshot, without loading plugins.
///
/// # Errors
/// Every problem of every routing file.
pub(crate) fn routes_alone(snapshot: &Snapshot) -> Result<RouteTable, Vec<Problem>> {
    let (routes, mut problems) = parse(snapshot);
    let is_plugin = |path: &str| Path::new(path).extension().is_some_and(|it| it == "wasm");
    let own = snapshot.problems().iter().filter(|problem| !is_plugin(&problem.path));
    problems.extend(own.cloned().map(Problem::Site));
    finish(problems)?;
    // Unreachable: there are no routes only if there are problems.
    routes.ok_or_else(Vec::new)
}

/// Builds the generation after `previous`, and waits until all plugins have been loaded.
///
/// # Errors
/// Every problem of every file. The previous generation is not affected.
pub(crate) async fn prepare(
    snapshot: &Snapshot,
    previous: Option<&Generation>,
    context: &Arc<BuildContext>,
) -> Result<Generation, Vec<Problem>> {
    let mut loads = Loads::new(Arc::clone(context));
    loads.follow(snapshot, previous);
    while loads.is_loading() {
        loads.next().await;
    }
    build(snapshot, previous, &loads).await
}

/// The plugins of a snapshot.
struct Found<'s> {
    loaded: Vec<(&'s PluginFile, Checked)>,
    /// The paths of those that cannot be loaded.
    broken: Vec<&'s str>,
    /// The paths of those that are loading.
    loading: Vec<&'s str>,
}

/// Builds the generation after `previous` with the plugins that are loaded by now. Other plugins
/// are omitted with the routes that need them; a plugin that one of them replaces stays with its
/// routes.
///
/// A plugin with an unchanged component, policy and routes keeps its instances. If only its routes
/// have changed, it keeps its compiled code and gets new instances.
///
/// # Errors
/// Every problem of every file. The previous generation is not affected.
pub(crate) async fn build(
    snapshot: &Snapshot,
    previous: Option<&Generation>,
    loads: &Loads,
) -> Result<Generation, Vec<Problem>> {
    let (routes, mut problems) = parse(snapshot);
    problems.extend(snapshot.problems().iter().cloned().map(Problem::Site));
    problems.extend(routes.as_ref().and_then(|routes| loads.durable().problem(routes)));

    let Found { loaded, broken, loading } = find(snapshot, previous, loads, &mut problems);
    let mut registry = HandlerRegistry::new(!loading.is_empty());
    for (position, (file, checked)) in loaded.iter().enumerate() {
        registry.add(position, &file.path, checked.plugin.manifest(), &mut problems);
    }
    for file in broken {
        let before = previous.and_then(|previous| previous.plugin_in(file));
        registry.add_broken(file, before.map(PluginEntry::manifest));
    }

    let Some(routes) = routes else {
        finish(problems)?;
        return Err(Vec::new());
    };
    let mut serves = Vec::with_capacity(routes.routes().len());
    let mut unserved = Vec::new();
    for route in routes.routes() {
        match registry.resolve(route) {
            Ok(position) => serves.push(position),
            // Probably the consequence of a plugin that failed to load.
            Err(_) if registry.has_broken() => unserved.push(route),
            Err(problem) => problems.push(problem),
        }
    }
    problems.extend(Problem::unserved(&unserved));
    // Configuring plugins after an error would only report its consequences.
    finish(problems)?;

    let mut held = Held::default();
    let (routes, providers) = if loading.is_empty() {
        // A route without a position has a problem already.
        (routes, serves.into_iter().flatten().map(Provider::Loaded).collect())
    } else {
        let bound = routes.routes().iter().zip(&serves);
        let waiting: Vec<&Route> =
            bound.filter(|(_, position)| position.is_none()).map(|(route, _)| route).collect();
        let names =
            loaded.iter().map(|(_, checked)| checked.plugin.manifest().name.as_str()).collect();
        if let Some(previous) = previous {
            held = Held::new(previous, &loading, &waiting, &names);
        }
        let merged = held.merge(routes.into_routes().into_iter().zip(serves).collect());
        let (routes, providers): (Vec<Route>, Vec<Provider>) = merged.into_iter().unzip();
        (RouteTable::from_iter(routes), providers)
    };

    let mut problems = Vec::new();
    let mut plugins = Vec::with_capacity(loaded.len());
    let settings = loads.settings();
    let mut totals = Totals::new(&settings, held.plugins());
    for (position, (file, Checked { plugin, signed })) in loaded.into_iter().enumerate() {
        let bound = routes.routes().iter().zip(&providers);
        let own: Vec<&Route> = bound
            .filter(|(_, provider)| matches!(provider, Provider::Loaded(at) if *at == position))
            .map(|(route, _)| route)
            .collect();
        let lanes = lane_count(&own, plugin.manifest()).unwrap_or_default();
        if let Err(problem) = totals.add(&file.path, &plugin, lanes) {
            problems.push(problem);
            continue;
        }
        match start(file, plugin, &settings, &own, previous).await {
            Ok(running) => {
                let file = file.path.clone();
                plugins.push(PluginEntry {
                    file,
                    running,
                    is_disabled: false,
                    canary: None,
                    signed,
                });
            }
            Err(error) => problems.push(rehearsal_problem(file, &routes, &error)),
        }
    }
    finish(problems)?;
    let handlers = bind_all(&routes, providers, &plugins)?;
    plugins.extend(held.plugins().cloned());
    plugins.sort_by(|a, b| a.file.cmp(&b.file));
    let mut warnings = warnings::route_warnings(&routes);
    for (route, bound) in routes.routes().iter().zip(&handlers) {
        warnings.extend(warnings::of_handler(route, bound));
    }
    if loading.is_empty() {
        warnings.extend(warnings::of_settings(&settings, &loads.access(), &plugins));
    }
    let counts = RouteCounts::of(&routes, previous.map(Generation::counts));
    Ok(Generation {
        number: previous.map_or(0, Generation::number) + 1,
        hash: snapshot.hash(),
        routes: Arc::new(routes),
        access: loads.access(),
        has_timers: handlers.iter().any(|handler| handler.timer.is_some()),
        handlers,
        counts,
        access_handlers: AccessHandlers::of(&plugins),
        plugins,
        warnings,
        loading: loading.into_iter().map(str::to_owned).collect(),
        shadows: snapshot.shadows().to_vec(),
    })
}

/// Sorts the plugins of a snapshot by how far they are loaded.
fn find<'s>(
    snapshot: &'s Snapshot,
    previous: Option<&Generation>,
    loads: &Loads,
    problems: &mut Vec<Problem>,
) -> Found<'s> {
    let mut found = Found { loaded: Vec::new(), broken: Vec::new(), loading: Vec::new() };
    for file in snapshot.plugins() {
        match loads.of(file, previous) {
            Loaded::Plugin(checked) => found.loaded.push((file, checked)),
            Loaded::NotYet => found.loading.push(file.path.as_str()),
            Loaded::Broken(problem) => {
                problems.push(problem);
                found.broken.push(file.path.as_str());
            }
        }
    }
    found
}

/// Returns the handler of each route; positions refer to `plugins`.
fn bind_all(
    routes: &RouteTable,
    providers: Vec<Provider>,
    plugins: &[PluginEntry],
) -> Result<Vec<BoundHandler>, Vec<Problem>> {
    let bind_one = |(route, provider): (&Route, Provider)| {
        let bound = match provider {
            Provider::Held(handler) => Some(*handler),
            Provider::Loaded(position) => {
                plugins.get(position).and_then(|plugin| bind(route, &plugin.running))
            }
        };
        bound.ok_or_else(|| {
            // `resolve` has found the handler and `start` has started it.
            let message = "internal error: the handler is missing after it was resolved; please \
                           report this bug";
            vec![route.diagnose(Part::Callback, message).into()]
        })
    };
    routes.routes().iter().zip(providers).map(bind_one).collect()
}

fn parse(snapshot: &Snapshot) -> (Option<RouteTable>, Vec<Problem>) {
    let files: Vec<SourceFile> = snapshot
        .routing()
        .iter()
        .map(|file| SourceFile { path: file.path.clone(), text: file.text.to_string() })
        .collect();
    match jackfield_routing::load(&files, snapshot) {
        Ok(routes) => (Some(routes), Vec::new()),
        Err(mut diagnoses) => {
            for diagnosis in &mut diagnoses {
                // Such as a schema that is a link to a file with secrets.
                if snapshot.is_outside(&diagnosis.path) {
                    diagnosis.snippet = None;
                }
            }
            (None, diagnoses.into_iter().map(Problem::from).collect())
        }
    }
}

/// Starts the instances for the routes, or returns those of the previous generation if nothing has
/// changed.
async fn start(
    file: &PluginFile,
    plugin: Plugin,
    settings: &Plugins,
    own: &[&Route],
    previous: Option<&Generation>,
) -> Result<Arc<Running>, SandboxError> {
    let routes = own.iter().map(|route| route_config(route));
    let routes: Vec<RouteConfig> =
        routes.chain(access_handlers::routes(plugin.manifest())).collect();
    let count = lane_count(own, plugin.manifest());
    if let Some(running) = previous.and_then(|it| it.running(file))
        && running.has_policy_of(settings)
        && running.routes == routes
        && running.lanes.as_ref().map(jackfield_sandbox::Lanes::count) == count
    {
        return Ok(Arc::clone(running));
    }
    let lanes = match count {
        Some(count) => Some(plugin.start(count, &routes).await?),
        None => None,
    };
    let policy = settings.policy(&plugin.manifest().name).clone();
    let authentications = access_handlers::authentications(plugin.manifest());
    let authentications =
        authentications.map_err(|text| SandboxError::Manifest { file: file.path.clone(), text })?;
    let kept = KeptDecisions::default();
    let hash = file.hash;
    Ok(Arc::new(Running { hash, plugin, policy, routes, lanes, kept, authentications }))
}

/// Returns the number of a plugin's lanes; none without a route and without decisions about access. All
/// routes of a plugin share its lanes: the highest number counts.
fn lane_count(own: &[&Route], manifest: &Manifest) -> Option<usize> {
    let of_routes = own.iter().map(|route| route.lanes.get().into());
    of_routes.chain(access_handlers::lanes(manifest)).max()
}

fn route_config(route: &Route) -> RouteConfig {
    RouteConfig {
        handler: route.handler.callback.clone(),
        name: route.name.clone(),
        channel: route.channel.clone(),
        args: route.handler.args.to_string(),
    }
}

pub(super) fn bind(route: &Route, running: &Running) -> Option<BoundHandler> {
    let description = running.plugin.manifest().handler(&route.handler.callback)?.clone();
    Some(BoundHandler {
        has_home: homes::has_home(&running.plugin),
        timer: timer(route, &description),
        description,
        lanes: running.lanes.clone()?,
        plugin: running.plugin.clone(),
        is_disabled: false,
        canary: None,
    })
}

fn timer(route: &Route, description: &HandlerDescription) -> Option<BoundTimer> {
    if !description.hooks.contains(Hook::Timer) {
        return None;
    }
    let timer = route.timer.unwrap_or_default();
    Some(BoundTimer { every: timer.every.or(description.timer)?, from: timer.from })
}

/// Returns the problem of a failed configuration, at the route that the plugin refused, if any.
fn rehearsal_problem(file: &PluginFile, routes: &RouteTable, error: &SandboxError) -> Problem {
    if let SandboxError::Refused { plugin, route, text, .. } = error
        && let Some(route) = routes.get(route)
    {
        let message = format!("the plugin `{plugin}` ({}) refuses the route: {text}", file.path);
        return route.diagnose(Part::Args, message).into();
    }
    Problem::sandbox(&file.path, error)
}

fn finish(mut problems: Vec<Problem>) -> Result<(), Vec<Problem>> {
    if problems.is_empty() {
        return Ok(());
    }
    Problem::sort(&mut problems);
    Err(problems)
}
