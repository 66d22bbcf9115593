//! Changes of candidates: placing one, and its end. `rollout` makes them, and reloads the site.

use std::collections::BTreeSet;
use std::path::Path;

use super::candidate::{CanaryEnd, Candidate, EndedCanary, Role};
use super::index::{Index, PluginVersions};
use super::{State, Versions, folder};
use crate::generation::{ActiveCanary, Share};
use crate::site::{Component, PluginFile, Snapshot};

/// A pin or a canary whose file has changed or moved, in the site that was read last.
pub(super) struct Outdated {
    pub(super) plugin: String,
    /// Of the file, as it is shown.
    pub(super) path: String,
    pub(super) what: OutdatedPart,
}

#[derive(PartialEq)]
pub(super) enum OutdatedPart {
    Pin,
    /// With its digest.
    Canary(String),
    /// The file has another path below the site now.
    PinMoved(String),
    CanaryMoved(String),
}

impl Versions {
    /// Reads a component that an operator names, and the signature beside it; it blocks.
    ///
    /// # Errors
    /// It cannot be read, or is no regular file, or too large.
    pub(crate) fn read_file(path: &Path) -> std::io::Result<Component> {
        folder::read_component(path)
    }

    /// The candidates of all plugins by name, also one that is tried.
    pub(crate) fn candidates(&self) -> Vec<(String, Candidate)> {
        let state = self.lock();
        let names: BTreeSet<&String> =
            state.index.plugins.keys().chain(state.attempt.as_ref().map(|it| &it.plugin)).collect();
        let candidate = |name: &&String| Some(((*name).clone(), state.candidate_of(name)?.clone()));
        names.iter().filter_map(candidate).collect()
    }

    /// The candidate of a plugin, also one that is tried.
    pub(crate) fn candidate(&self, plugin: &str) -> Option<Candidate> {
        self.lock().candidate_of(plugin).cloned()
    }

    /// The canary of a plugin that ended last.
    pub(crate) fn ended_canary(&self, plugin: &str) -> Option<EndedCanary> {
        self.lock().index.plugins.get(plugin)?.ended_canary.clone()
    }

    /// The canaries that are to serve.
    pub(crate) fn canaries(&self) -> Vec<ActiveCanary> {
        let candidates = self.candidates();
        let state = self.lock();
        let canary = |(plugin, it): (String, Candidate)| {
            let what = OutdatedPart::Canary(it.digest.clone());
            let is_outdated =
                state.outdated.iter().any(|it| it.plugin == plugin && it.what == what);
            let share = it.share().filter(|_| !is_outdated)?;
            Some(ActiveCanary { plugin, share, digest: it.digest })
        };
        candidates.into_iter().filter_map(canary).collect()
    }

    /// The content of a candidate or of a pinned version.
    pub(crate) fn component(&self, digest: &str) -> Option<Component> {
        let state = self.lock();
        let tried = state.attempt.as_ref().and_then(|it| it.component(digest));
        tried.or_else(|| state.pinned.get(digest)).cloned()
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

    /// Ends the candidate of a plugin, unless it has another one meanwhile. A canary is remembered
    /// with the reason. One that is being promoted stays: it ends when its pin is in the table, so
    /// that the table on disk always has one of them.
    pub(crate) fn end_candidate(&self, plugin: &str, digest: &str, reason: CanaryEnd) {
        let mut state = self.lock();
        if state.attempt.as_ref().is_some_and(|it| it.pins(plugin, digest)) {
            return;
        }
        let tried = state.attempt.as_ref().and_then(|it| it.candidate_of(plugin));
        let tried = tried.filter(|it| it.digest == digest).cloned();
        let versions = state.index.plugins.entry(plugin.to_owned()).or_default();
        if let Some(tried) = tried {
            versions.remember(&tried, reason);
            state.attempt = None;
        } else {
            versions.end_candidate(digest, reason);
        }
        state.has_changed = true;
    }
}

impl State {
    /// The candidate that decides about a plugin: the one that is tried, or else that of the table.
    fn candidate_of(&self, plugin: &str) -> Option<&Candidate> {
        let tried = self.attempt.as_ref().and_then(|it| it.candidate_of(plugin));
        tried.or_else(|| self.index.plugins.get(plugin)?.candidate.as_ref())
    }
}

impl PluginVersions {
    pub(super) fn end_candidate(&mut self, digest: &str, reason: CanaryEnd) {
        if let Some(candidate) = self.candidate.take_if(|it| it.digest == digest) {
            self.remember(&candidate, reason);
        }
    }

    /// Remembers a canary that has ended.
    fn remember(&mut self, candidate: &Candidate, reason: CanaryEnd) {
        self.ended_canary = candidate.ended(reason).or_else(|| self.ended_canary.take());
    }
}

/// The canaries whose plugin's file has changed, moved, or is gone. `below` returns paths below the site.
pub(super) fn outdated(
    index: &mut Index,
    snapshot: &Snapshot,
    below: impl for<'p> Fn(&'p str) -> &'p str,
) -> Vec<Outdated> {
    let mut outdated = Vec::new();
    for (plugin, versions) in &mut index.plugins {
        let Some(candidate) = &mut versions.candidate else { continue };
        let Role::Canary { file, beside, .. } = &mut candidate.role else { continue };
        let mut add = |path: &str, what| {
            outdated.push(Outdated { plugin: plugin.clone(), path: path.to_owned(), what });
        };
        let Some(found) = find(snapshot, file, beside.as_deref(), &below) else {
            add(file, OutdatedPart::Canary(candidate.digest.clone()));
            continue;
        };
        let digest = found.own_hash.hex().to_string();
        let path = below(&found.path);
        if *beside.get_or_insert_with(|| digest.clone()) != digest {
            add(&found.path, OutdatedPart::Canary(candidate.digest.clone()));
        } else if path != file {
            add(&found.path, OutdatedPart::CanaryMoved(path.to_owned()));
        }
    }
    outdated
}

/// The file of this path below the site; if there is none, one with the same content, to which it may
/// have moved.
pub(super) fn find<'s>(
    snapshot: &'s Snapshot,
    path: &str,
    content: Option<&str>,
    below: impl for<'p> Fn(&'p str) -> &'p str,
) -> Option<&'s PluginFile> {
    let mut files = snapshot.plugins().iter();
    let has_content =
        |file: &&PluginFile| content.is_some_and(|it| file.own_hash.hex().to_string() == it);
    let moved = || snapshot.plugins().iter().find(has_content);
    files.find(|file| below(&file.path) == path).or_else(moved)
}
