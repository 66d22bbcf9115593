//! Canaries of a reload: loaded components that serve beside their plugins from the next generation
//! on. [`crate::rollout`] decides which.

use std::sync::{Arc, Mutex, PoisonError};

use jackfield_sandbox::{CallObservers, Plugin};
use jackfield_text::Untrusted;
use tracing::{error, info};

use super::Reloader;
use crate::generation::{
    CanaryError, Generation, LoadedCanary, PluginEntry, Problem, load, load_apart, signed,
};
use crate::log::DIAGNOSIS;
use crate::signatures::OlderRelease;
use crate::site::{Component, ContentHash, PluginFile};
use crate::versions::{CanaryEnd, entry};

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

    /// Loads a component of the site that is to serve nothing. In contrast to one that the operator
    /// has named, it must not be older than one that has served (`plugins.refuse_downgrades`).
    ///
    /// # Errors
    /// The problem of the component.
    pub(crate) async fn load_of_site(
        &self,
        path: &str,
        component: &Component,
    ) -> Result<Plugin, Problem> {
        load_apart(&PluginFile::of_site(path.to_owned(), component), &self.context).await
    }

    /// Compares the number of a component with those of the releases that have served. `path` is its
    /// name in messages. `None` also without a verified signature.
    pub(crate) async fn older_release(
        &self,
        plugin: &str,
        path: &str,
        component: &Component,
    ) -> Option<OlderRelease> {
        let file = PluginFile::chosen(path.to_owned(), component);
        let signed = signed(&file, &self.context).await.ok().flatten()?;
        let recorded = self.context.highest.as_ref().and_then(|it| it.of(plugin));
        let generation = self.generations.current();
        let serving = entry(&generation, plugin).ok().and_then(PluginEntry::signed);
        OlderRelease::find(&signed, recorded.max(serving.and_then(|it| it.statement.number)))
    }

    /// Whether the settings refuse releases that are older than one that has served.
    pub(crate) fn refuses_downgrades(&self) -> bool {
        self.context.highest.is_some()
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
        let max_lanes = self.context.plugins.load().lanes;
        let (next, failed) = next.with_canaries(&canaries, current, max_lanes).await;
        for (LoadedCanary { hash, plugin, .. }, reason) in failed {
            let name = &plugin.manifest().name;
            let (plugin, digest) = (Untrusted::new(name), hash.hex().to_string());
            match reason {
                CanaryError::InService => {
                    info!(name: "canary.ended", "the canary of the plugin {plugin} has ended: {reason}");
                    self.versions.end_candidate(name, &digest, CanaryEnd::Promoted);
                }
                CanaryError::OtherSchema { .. }
                | CanaryError::Lanes(_)
                | CanaryError::Refused(_) => {
                    error!(name: "canary.ended", target: DIAGNOSIS, "the canary of the plugin {plugin} has ended: {reason}");
                    self.versions.end_candidate(name, &digest, CanaryEnd::Unusable);
                }
            }
        }
        next
    }
}
