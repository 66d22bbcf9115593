//! Route table: the routes of a site, and the lookup of the one that takes a topic.
//!
//! The first match in file order wins. A topic that is the exact text of a channel without
//! variables is one lookup in a map: the route that takes it is decided when the table is built.
//! Any other topic is matched against the candidates of `index`. A table is immutable; the host
//! shares it behind an `Arc`.

use std::collections::HashMap;

use jackfield_yaml::Diagnosis;
use jackfield_yaml::diagnosis::in_order;
use rustc_hash::FxBuildHasher;

use crate::explain::{Outcome, explain};
use crate::index::Index;
use crate::matcher::Shape;
use crate::reach::unreachable;
use crate::route::Route;

/// Compiled, immutable set of routes.
#[derive(Debug)]
pub struct RouteTable {
    routes: Vec<Route>,
    by_name: HashMap<String, usize>,
    /// The route that takes the text of each channel without variables.
    literals: HashMap<String, usize, FxBuildHasher>,
    index: Index,
    files: Vec<String>,
    warnings: Vec<Diagnosis>,
    has_durable: bool,
}

/// Creates a table without routes.
impl Default for RouteTable {
    fn default() -> Self {
        Self::from_iter([])
    }
}

/// Creates a table from routes of other tables, in matching order; their names are unique.
impl FromIterator<Route> for RouteTable {
    fn from_iter<T: IntoIterator<Item = Route>>(routes: T) -> Self {
        Self::new(routes.into_iter().collect(), Vec::new(), Vec::new())
    }
}

/// Route that takes a topic, and the values of its variables.
#[derive(Debug, Clone)]
pub struct Match<'a> {
    /// The route.
    pub route: &'a Route,
    /// Its position in [`RouteTable::routes`].
    pub index: usize,
    /// Names and values: those with a default in the order of the defaults, then the others in the
    /// order of the channel.
    pub attributes: Vec<(&'a str, &'a str)>,
}

impl RouteTable {
    /// Creates a table. `warnings` are those of loading; warnings about unreachable routes are
    /// added.
    pub(crate) fn new(routes: Vec<Route>, files: Vec<String>, warnings: Vec<Diagnosis>) -> Self {
        let mut by_name = HashMap::with_capacity(routes.len());
        let mut literals = HashMap::default();
        let mut index = Index::new();
        for (number, route) in routes.iter().enumerate() {
            by_name.insert(route.name.clone(), number);
            match &route.matcher.shape {
                Shape::Literal(text) => {
                    literals.entry(text.clone()).or_insert(number);
                }
                Shape::Segments { .. } | Shape::Regex(_) => {
                    index.add(number, &route.pattern, &route.matcher.requirements);
                }
            }
        }
        // An earlier route with variables takes the text, unless it only matches by tolerating a
        // slash. If any does, the earliest match takes it by the ordinary rules.
        for (text, number) in &mut literals {
            let takes_strictly = |earlier: usize| {
                let route = routes.get(earlier);
                route.is_some_and(|route| route.matcher.matches_strictly(&route.pattern, text))
            };
            let takes =
                |earlier: usize| routes.get(earlier).is_some_and(|route| route.matches(text));
            if index.earliest(text, *number, &takes_strictly).is_some() {
                *number = index.earliest(text, *number, &takes).unwrap_or(*number);
            }
        }
        let has_durable = routes.iter().any(|it| it.history.is_some_and(|it| it.durable));
        let mut table = Self { routes, by_name, literals, index, files, warnings, has_durable };
        let unreachable = unreachable(&table.routes, |topic| table.position(topic));
        table.warnings.extend(unreachable);
        in_order(&mut table.warnings, &table.files);
        table
    }

    /// Returns the warnings, in the order of the files.
    pub fn warnings(&self) -> &[Diagnosis] {
        &self.warnings
    }

    /// Returns whether the events of a route survive a crash of the server.
    pub fn has_durable(&self) -> bool {
        self.has_durable
    }

    /// Returns all routes, in matching order.
    pub fn routes(&self) -> &[Route] {
        &self.routes
    }

    /// Returns all routes, in matching order.
    pub fn into_routes(self) -> Vec<Route> {
        self.routes
    }

    /// Returns the route of this name.
    pub fn get(&self, name: &str) -> Option<&Route> {
        self.routes.get(*self.by_name.get(name)?)
    }

    /// Returns all files that were read, imports included, in reading order.
    pub fn files(&self) -> &[String] {
        &self.files
    }

    /// Returns the route that takes this topic.
    pub fn find<'a>(&'a self, topic: &'a str) -> Option<Match<'a>> {
        let index = self.position(topic)?;
        let route = self.routes.get(index)?;
        Some(Match { route, index, attributes: route.attributes(topic)? })
    }

    /// Explains the result of each route for this topic, in matching order.
    pub fn explain<'a>(&'a self, topic: &'a str) -> Vec<(&'a Route, Outcome<'a>)> {
        explain(&self.routes, self.position(topic), topic)
    }

    /// Returns the position in [`RouteTable::routes`] of the route that takes this topic. Unlike
    /// [`RouteTable::find`], it allocates nothing.
    pub fn position(&self, topic: &str) -> Option<usize> {
        if let Some(index) = self.literals.get(topic) {
            return Some(*index);
        }
        let takes =
            |number: usize| self.routes.get(number).is_some_and(|route| route.matches(topic));
        self.index.earliest(topic, usize::MAX, &takes)
    }
}

impl Route {
    /// Returns the attributes of a topic: the defaults, overridden by values of the topic, then the
    /// other values. `None` if the topic does not match this route.
    pub fn attributes<'a>(&'a self, topic: &'a str) -> Option<Vec<(&'a str, &'a str)>> {
        let captures = self.matcher.captures(topic)?;
        let mut attributes: Vec<(&str, &str)> = Vec::with_capacity(captures.len());
        if !self.defaults.is_empty() {
            for (name, default) in &self.defaults {
                let held = self.variables().zip(&captures).find(|(variable, _)| variable == name);
                let held = held.and_then(|(_, value)| *value);
                if let Some(value) = held.or(default.as_deref()) {
                    attributes.push((name, value));
                }
            }
        }
        for (name, value) in self.variables().zip(captures) {
            if let Some(value) = value
                && !self.defaults.iter().any(|(default, _)| default == name)
            {
                attributes.push((name, value));
            }
        }
        Some(attributes)
    }
}
