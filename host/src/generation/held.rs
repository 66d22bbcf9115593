//! Held plugins: those of the previous generation that stay in service with their routes and
//! instances while their successor is loading.
//!
//! A file succeeds a plugin if it has the same name, or if a route names a handler that only the
//! old plugin has.

use std::collections::{HashMap, HashSet};

use jackfield_routing::Route;

use super::{BoundHandler, Generation, PluginEntry};

/// Plugins of the previous generation, and their routes.
#[derive(Default)]
pub(super) struct Held<'g> {
    plugins: Vec<&'g PluginEntry>,
    /// All routes of that generation in order, each with its handler if the plugin is held.
    routes: Vec<(&'g Route, Option<&'g BoundHandler>)>,
}

/// The plugin that serves a route.
pub(super) enum Provider {
    /// The plugin at this position among those that are loaded.
    Loaded(usize),
    Held(Box<BoundHandler>),
}

impl<'g> Held<'g> {
    /// Selects the held plugins. `loading` are files that are being loaded, `waiting` the routes
    /// without a loaded plugin, and `loaded` the names of the loaded plugins.
    pub(super) fn new(
        previous: &'g Generation,
        loading: &[&str],
        waiting: &[&Route],
        loaded: &HashSet<&str>,
    ) -> Self {
        let is_held = |plugin: &&PluginEntry| {
            let manifest = plugin.manifest();
            // Two plugins with the same name would share their store.
            !loaded.contains(manifest.name.as_str())
                && (loading.contains(&plugin.file())
                    || waiting.iter().any(|it| manifest.handler(&it.handler.callback).is_some()))
        };
        let plugins: Vec<&PluginEntry> = previous.plugins().iter().filter(is_held).collect();
        let names: HashSet<&str> =
            plugins.iter().map(|plugin| plugin.manifest().name.as_str()).collect();
        let routes = previous.bound().map(|(route, handler)| {
            (route, names.contains(handler.manifest().name.as_str()).then_some(handler))
        });
        Self { routes: routes.collect(), plugins }
    }

    /// Returns the held plugins.
    pub(super) fn plugins(&self) -> impl Iterator<Item = &'g PluginEntry> {
        self.plugins.iter().copied()
    }

    /// Returns all routes in matching order. A route without a loaded plugin is kept only if it is
    /// held. A held route that the site no longer has keeps its position.
    pub(super) fn merge(&self, routes: Vec<(Route, Option<usize>)>) -> Vec<(Route, Provider)> {
        let names: HashSet<String> = routes.iter().map(|(route, _)| route.name.clone()).collect();
        let mut held: HashMap<&str, (&Route, &BoundHandler)> = HashMap::new();
        // Held routes that the site no longer has: before all of its routes, or behind one of them.
        let mut first: Vec<(&Route, &BoundHandler)> = Vec::new();
        let mut behind: HashMap<&str, Vec<(&Route, &BoundHandler)>> = HashMap::new();
        let mut nearest = None;
        for (route, handler) in &self.routes {
            let name = route.name.as_str();
            let is_known = names.contains(name);
            if is_known {
                nearest = Some(name);
            }
            match handler {
                Some(handler) if is_known => drop(held.insert(name, (*route, *handler))),
                Some(handler) => {
                    let place = nearest.map(|name| behind.entry(name).or_default());
                    place.unwrap_or(&mut first).push((*route, *handler));
                }
                None => {}
            }
        }
        let copy = |(route, handler): (&Route, &BoundHandler)| {
            (route.clone(), Provider::Held(Box::new(handler.clone())))
        };
        let mut merged: Vec<(Route, Provider)> = first.into_iter().map(copy).collect();
        for (route, position) in routes {
            let followers = behind.remove(route.name.as_str());
            match (position, held.get(route.name.as_str())) {
                (Some(position), _) => merged.push((route, Provider::Loaded(position))),
                (None, Some(held)) => merged.push(copy(*held)),
                (None, None) => {}
            }
            merged.extend(followers.into_iter().flatten().map(copy));
        }
        merged
    }
}
