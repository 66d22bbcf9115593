//! Who offers which handler: the plugins of a site by the names that routes use.

use std::collections::BTreeMap;

use jackfield_routing::{Part, Route};
use jackfield_sandbox::Manifest;
use jackfield_yaml::suggest;

use super::problem::Problem;

/// The handlers of a site.
#[derive(Default)]
pub(super) struct Offers<'a> {
    /// By handler: the plugin's position, and its file.
    handlers: BTreeMap<&'a str, (usize, &'a str)>,
    /// By plugin: its file.
    names: BTreeMap<&'a str, &'a str>,
    /// Files that did not load, each with what it offered in the previous generation, if it was
    /// there.
    broken: Vec<(&'a str, Option<&'a Manifest>)>,
    /// Whether more plugins are to come.
    is_loading: bool,
}

impl<'a> Offers<'a> {
    /// Of no plugin yet; `is_loading` says that some are not loaded by now.
    pub(super) fn new(is_loading: bool) -> Self {
        Self { is_loading, ..Self::default() }
    }

    /// Adds a plugin. A name that is taken already is a problem, since a route would not know
    /// which of the two it means, and two plugins of one name would share their state.
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
                "is the plugin `{name}`, and so is {other}; remove one of them, or give one \
                 another name in its manifest"
            );
            problems.push(Problem::plugin(file, message));
            return;
        }
        self.names.insert(name, file);
        for handler in &manifest.handlers {
            let name = handler.name.as_str();
            if let Some((_, other)) = self.handlers.get(name) {
                let message = format!(
                    "offers the handler `{name}`, and so does {other}; remove one of them, or \
                     give one of the handlers another name"
                );
                problems.push(Problem::plugin(file, message));
            } else {
                self.handlers.insert(name, (position, file));
            }
        }
    }

    /// Remembers a plugin that did not load.
    pub(super) fn add_broken(&mut self, file: &'a str, before: Option<&'a Manifest>) {
        self.broken.push((file, before));
    }

    /// The position of the plugin that serves the route. No position and no problem if that may be
    /// one that is to come, or if the plugin that served it so far did not load, which has been told
    /// already.
    pub(super) fn resolve(&self, route: &Route) -> Result<Option<usize>, Problem> {
        let callback = route.handler.callback.as_str();
        if let Some((position, _)) = self.handlers.get(callback) {
            return Ok(Some(*position));
        }
        let mut before = self.broken.iter().filter_map(|(_, manifest)| *manifest);
        if self.is_loading || before.any(|manifest| manifest.handler(callback).is_some()) {
            return Ok(None);
        }
        let message = format!("no plugin of the site offers `{callback}`");
        Err(route.diagnose(Part::Callback, message).with_help(self.advice(callback)).into())
    }

    fn advice(&self, callback: &str) -> String {
        if !self.broken.is_empty() {
            let files: Vec<&str> = self.broken.iter().map(|(file, _)| *file).collect();
            return format!("{} did not load; it may be what is missing", files.join(", "));
        }
        let near = suggest::nearest(callback, self.handlers.keys().copied());
        let near = near.and_then(|name| Some((name, self.handlers.get(name)?.1)));
        match near {
            Some((name, file)) => format!("did you mean `{name}` of {file}?"),
            None if self.handlers.is_empty() => {
                "the site has no plugins; put the .wasm that offers it beside the routing file"
                    .to_owned()
            }
            None => {
                let names: Vec<String> =
                    self.handlers.keys().map(|name| format!("`{name}`")).collect();
                format!("the site's plugins offer {}", names.join(", "))
            }
        }
    }
}
