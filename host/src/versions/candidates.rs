//! Changes of candidates: placing one, and its end. `rollout` makes them, and reloads the site.

use std::path::Path;

use super::candidate::{CanaryEnd, Candidate, EndedCanary, Role};
use super::index::{Index, PluginVersions};
use super::{Versions, folder};
use crate::generation::{ActiveCanary, Share};
use crate::site::{Component, Snapshot};

impl Versions {
    /// Reads a component that an operator names, and the signature beside it; it blocks.
    ///
    /// # Errors
    /// It cannot be read, or is no regular file, or too large.
    pub(crate) fn read_file(path: &Path) -> std::io::Result<Component> {
        folder::read_component(path)
    }

    /// The candidates of all plugins, by name.
    pub(crate) fn candidates(&self) -> Vec<(String, Candidate)> {
        let state = self.lock();
        let plugins = state.index.plugins.iter();
        let candidates = plugins.filter_map(|(name, it)| Some((name, it.candidate.as_ref()?)));
        candidates.map(|(name, candidate)| (name.clone(), candidate.clone())).collect()
    }

    /// The candidate of a plugin.
    pub(crate) fn candidate(&self, plugin: &str) -> Option<Candidate> {
        self.lock().index.plugins.get(plugin)?.candidate.clone()
    }

    /// The canary of a plugin that ended last.
    pub(crate) fn ended_canary(&self, plugin: &str) -> Option<EndedCanary> {
        self.lock().index.plugins.get(plugin)?.ended_canary.clone()
    }

    /// The canaries that are to serve.
    pub(crate) fn canaries(&self) -> Vec<ActiveCanary> {
        let canary = |(plugin, it): (String, Candidate)| {
            it.share().map(|share| ActiveCanary { plugin, share, digest: it.digest })
        };
        self.candidates().into_iter().filter_map(canary).collect()
    }

    /// The content of a candidate or of a pinned version.
    pub(crate) fn component(&self, digest: &str) -> Option<Component> {
        self.lock().pinned.get(digest).cloned()
    }

    /// Places a candidate beside a plugin, and returns the one before. [`Versions::save`] makes it
    /// survive the end of the server.
    pub(crate) fn set_candidate(
        &self,
        plugin: &str,
        candidate: Option<Candidate>,
        component: Option<Component>,
    ) -> Option<Candidate> {
        let mut state = self.lock();
        if let (Some(candidate), Some(component)) = (&candidate, component) {
            state.pinned.insert(candidate.digest.clone(), component);
        }
        let versions = state.index.plugins.entry(plugin.to_owned()).or_default();
        std::mem::replace(&mut versions.candidate, candidate)
    }

    /// Sets the share of the canary that a plugin has.
    pub(crate) fn set_share(&self, plugin: &str, share: Share) -> Option<Candidate> {
        let mut state = self.lock();
        let candidate = state.index.plugins.get_mut(plugin)?.candidate.as_mut()?;
        let Role::Canary { share: present, .. } = &mut candidate.role else { return None };
        *present = share;
        Some(candidate.clone())
    }

    /// The digest of the shadow's file beside the plugin's that the operator has stopped.
    pub(crate) fn stopped_shadow(&self, plugin: &str) -> Option<String> {
        self.lock().index.plugins.get(plugin)?.stopped_shadow.clone()
    }

    /// Stops the shadow's file beside the plugin's, until that file changes.
    pub(crate) fn stop_shadow(&self, plugin: &str, digest: &str) {
        let mut state = self.lock();
        let versions = state.index.plugins.entry(plugin.to_owned()).or_default();
        versions.stopped_shadow = Some(digest.to_owned());
    }

    /// Ends the canary of a plugin, unless it has another one meanwhile.
    pub(crate) fn end_canary(&self, plugin: &str, digest: &str, reason: CanaryEnd) {
        if let Some(versions) = self.lock().index.plugins.get_mut(plugin) {
            versions.end_canary(digest, reason);
        }
    }
}

impl PluginVersions {
    pub(super) fn end_canary(&mut self, digest: &str, reason: CanaryEnd) {
        let is_it = |it: &&Candidate| it.share().is_some() && it.digest == digest;
        if let Some(candidate) = self.candidate.as_ref().filter(is_it) {
            self.ended_canary = candidate.ended(reason);
            self.candidate = None;
        }
    }
}

/// Ends the canaries whose plugin's file has changed. `below` returns paths below the site.
pub(super) fn end_replaced(
    index: &mut Index,
    snapshot: &Snapshot,
    below: impl for<'p> Fn(&'p str) -> &'p str,
) -> Vec<(String, String)> {
    let mut ended = Vec::new();
    for (plugin, versions) in &mut index.plugins {
        let Some(candidate) = &mut versions.candidate else { continue };
        let Role::Canary { file, beside, .. } = &mut candidate.role else { continue };
        let mut files = snapshot.plugins().iter();
        let Some(found) = files.find(|found| below(&found.path) == file) else { continue };
        let digest = found.hash.hex().to_string();
        if *beside.get_or_insert_with(|| digest.clone()) != digest {
            ended.push((plugin.clone(), found.path.clone()));
            let canary = candidate.digest.clone();
            versions.end_canary(&canary, CanaryEnd::Replaced);
        }
    }
    ended
}
