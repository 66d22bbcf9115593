//! Handler registry: the plugins of a site by the names of their handlers.

use std::collections::BTreeMap;

use jackfield_routing::{Part, Route};
use jackfield_sandbox::Manifest;
use jackfield_yaml::suggest;

use super::problem::Problem;

/// The handlers of a site.
#[derive(Default)]
pub(super) struct HandlerRegistry<'a> {
    /// By the name of a handler: the plugin's position, and its file.
    handlers: BTreeMap<&'a str, (usize, &'a str)>,
    /// By the name of a plugin: its file.
    names: BTreeMap<&'a str, &'a str>,
    /// Files that failed to load, each with its handlers in the previous generation, if it had any.
    broken: Vec<(&'a str, Option<&'a Manifest>)>,
    /// Whether more plugins are being loaded.
    is_loading: bool,
}

impl<'a> HandlerRegistry<'a> {
    /// Creates an empty registry; `is_loading` if plugins are still being loaded.
    pub(super) fn new(is_loading: bool) -> Self {
        Self { is_loading, ..Self::default() }
    }

    /// Adds a plugin. A duplicate name is a problem: the handler of a route would be ambiguous, and
    /// two plugins with one name would share their store.
    pub(super) fn add(
        &mut self,
        position: usize,
        file: &'a str,
        manifest: &'a Manifest,
        problems: &mut Vec<Problem>,
    ) {
        let name = &manifest.name;
        if let Some(other) = self.names.get(name.as_str()) {
            let message = format!(
                "has the same plugin name `{name}` as {other}; remove one of them, or change one \
                 name in its manifest"
            );
            problems.push(Problem::plugin(file, message));
            return;
        }
        self.names.insert(name, file);
        for handler in &manifest.handlers {
            let name = handler.name.as_str();
            if let Some((_, other)) = self.handlers.get(name) {
                let message = format!(
                    "provides the handler `{name}`, as {other} does; remove one of them, or rename \
                     one of the handlers"
                );
                problems.push(Problem::plugin(file, message));
            } else {
                self.handlers.insert(name, (position, file));
            }
        }
    }

    /// Adds a plugin that failed to load.
    pub(super) fn add_broken(&mut self, file: &'a str, before: Option<&'a Manifest>) {
        self.broken.push((file, before));
    }

    /// Returns the position of the plugin that serves the route. `None` without a problem, if that
    /// plugin may still be loading, or if the plugin that served the route before failed to load,
    /// which has been reported already.
    pub(super) fn resolve(&self, route: &Route) -> Result<Option<usize>, Problem> {
        let callback = route.handler.callback.as_str();
        if let Some((position, _)) = self.handlers.get(callback) {
            return Ok(Some(*position));
        }
        let mut before = self.broken.iter().filter_map(|(_, manifest)| *manifest);
        if self.is_loading || before.any(|manifest| manifest.handler(callback).is_some()) {
            return Ok(None);
        }
        let message = format!("no plugin provides the handler `{callback}`");
        Err(route.diagnose(Part::Callback, message).with_help(self.advice(callback)).into())
    }

    /// Whether a plugin failed to load.
    pub(super) fn has_broken(&self) -> bool {
        !self.broken.is_empty()
    }

    fn advice(&self, callback: &str) -> String {
        let near = suggest::nearest(callback, self.handlers.keys().copied());
        let near = near.and_then(|name| Some((name, self.handlers.get(name)?.1)));
        match near {
            Some((name, file)) => format!("did you mean `{name}` of {file}?"),
            None if self.handlers.is_empty() => {
                "the site has no plugins; put the .wasm file of the plugin beside the routing file"
                    .to_owned()
            }
            None => {
                let names: Vec<String> =
                    self.handlers.keys().map(|name| format!("`{name}`")).collect();
                format!("the plugins of the site provide {}", names.join(", "))
            }
        }
    }
}
