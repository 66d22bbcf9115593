//! Canaries of a reload: loaded components that serve beside their plugins from the next generation
//! on. [`crate::rollout`] decides which.

use std::sync::{Arc, Mutex, PoisonError};

use jackfield_sandbox::{CallObservers, Plugin};
use jackfield_text::Untrusted;
use tracing::error;

use super::Reloader;
use crate::generation::{CanaryError, Generation, LoadedCanary, Problem, load, load_apart};
use crate::log::DIAGNOSIS;
use crate::site::{Component, ContentHash, PluginFile};
use crate::versions::CanaryEnd;

/// The loaded components of canaries.
#[derive(Default)]
pub(super) struct Canaries {
    /// A std mutex, held over no await.
    loaded: Mutex<Vec<(ContentHash, Plugin)>>,
}

impl Reloader {
    /// Loads a component that is no file of the site. `path` is its name in messages.
    ///
    /// # Errors
    /// The problem of the component.
    pub(crate) async fn load(&self, path: &str, component: &Component) -> Result<Plugin, Problem> {
        load(&PluginFile::chosen(path.to_owned(), component), &self.context).await
    }

    /// Loads a component that is to serve nothing. `path` is its name in messages.
    ///
    /// # Errors
    /// The problem of the component.
    pub(crate) async fn load_apart(
        &self,
        path: &str,
        component: &Component,
    ) -> Result<Plugin, Problem> {
        let file = PluginFile::chosen(path.to_owned(), component);
        load_apart(&file, &self.context).await
    }

    /// The observers of the calls of all plugins.
    pub(crate) fn observers(&self) -> Arc<CallObservers> {
        self.context.sandbox.observers()
    }

    /// Keeps a loaded component for the canary that has it.
    pub(crate) fn add_canary(&self, hash: ContentHash, plugin: Plugin) {
        let mut loaded = self.canaries.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        loaded.retain(|(other, _)| *other != hash);
        loaded.push((hash, plugin));
    }

    /// The canaries that are to serve and are loaded. The components of others are dropped.
    fn loaded_canaries(&self) -> Vec<LoadedCanary> {
        let wanted = self.versions.canaries();
        let of = |hash: ContentHash, plugin: &Plugin| {
            let (digest, name) = (hash.hex().to_string(), &plugin.manifest().name);
            let wanted = wanted.iter().find(|it| it.digest == digest && it.plugin == *name)?;
            Some(LoadedCanary { hash, plugin: plugin.clone(), share: wanted.share })
        };
        let mut loaded = self.canaries.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        let canaries = loaded.iter().filter_map(|(hash, plugin)| of(*hash, plugin)).collect();
        loaded.retain(|(hash, plugin)| of(*hash, plugin).is_some());
        canaries
    }

    /// Starts the canaries of the next generation. One that cannot serve is ended: it does not
    /// prevent the reload.
    pub(super) async fn with_canaries(&self, next: Generation, current: &Generation) -> Generation {
        let canaries = self.loaded_canaries();
        let (next, failed) = next.with_canaries(&canaries, current).await;
        for (LoadedCanary { hash, plugin, .. }, reason) in failed {
            let name = &plugin.manifest().name;
            let end = match reason {
                CanaryError::InService => CanaryEnd::Promoted,
                CanaryError::OtherSchema { .. } | CanaryError::Refused(_) => CanaryEnd::Unusable,
            };
            self.versions.end_canary(name, &hash.hex().to_string(), end);
            let plugin = Untrusted::new(name);
            error!(target: DIAGNOSIS, "the canary of the plugin {plugin} has ended: {reason}");
        }
        next
    }
}
