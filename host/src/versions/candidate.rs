//! Candidates: new versions that the operator has placed beside the version in service.
//!
//! A *shadow* sees the calls of the version in service, and its answers are thrown away. A *canary*
//! serves a share of the topics. A plugin has one candidate at most. Candidates are kept in the
//! folder by digest, as pinned components are, and survive the end of the server.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::index::Index;
use super::share::Share;
use super::{Versions, folder};
use crate::site::{Component, ContentHash, Snapshot};

/// A component beside the one in service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Candidate {
    pub(crate) role: Role,
    /// SHA-256 of the component, in hexadecimal.
    pub(crate) digest: String,
    /// The text of the plugin's author.
    pub(crate) version: String,
    /// The file from which it was read.
    pub(crate) source: String,
    pub(crate) since: SystemTime,
}

/// The role of a candidate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Role {
    /// It sees calls.
    Shadow,
    /// It serves topics.
    Canary {
        share: Share,
        /// The path below the site of the plugin's file.
        file: String,
        /// The digest of that file's content; `None` until the site is read. Another content ends
        /// the canary.
        beside: Option<String>,
    },
}

/// A canary that has ended.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct EndedCanary {
    pub(crate) digest: String,
    pub(crate) version: String,
    pub(crate) share: Share,
    pub(crate) at: SystemTime,
    pub(crate) reason: CanaryEnd,
}

/// The reason for the end of a canary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum CanaryEnd {
    /// The operator has ended it.
    Stopped,
    /// It serves all topics.
    Promoted,
    /// It kept failing for several clients.
    TakenBack,
    /// The plugin's file has changed.
    Replaced,
    /// It cannot serve the routes of the plugin any more, or its component is lost.
    Unusable,
}

/// A canary that is to serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ActiveCanary {
    pub(crate) plugin: String,
    pub(crate) digest: String,
    pub(crate) share: Share,
}

impl Role {
    /// A short name.
    pub(crate) const fn label(&self) -> &'static str {
        match self {
            Self::Shadow => "shadow",
            Self::Canary { .. } => "canary",
        }
    }
}

impl CanaryEnd {
    /// A short name.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::Promoted => "promoted",
            Self::TakenBack => "taken_back",
            Self::Replaced => "replaced",
            Self::Unusable => "unusable",
        }
    }
}

impl Candidate {
    /// The share of a canary.
    pub(crate) const fn share(&self) -> Option<Share> {
        match self.role {
            Role::Shadow => None,
            Role::Canary { share, .. } => Some(share),
        }
    }

    /// This canary, ended now; `None` for a shadow.
    fn ended(&self, reason: CanaryEnd) -> Option<EndedCanary> {
        let (digest, version) = (self.digest.clone(), self.version.clone());
        let at = SystemTime::now();
        self.share().map(|share| EndedCanary { digest, version, share, at, reason })
    }
}

impl Versions {
    /// Reads a component that an operator names; it blocks.
    ///
    /// # Errors
    /// It cannot be read, or is no regular file, or too large.
    pub(crate) fn read_file(path: &Path) -> std::io::Result<Component> {
        let bytes = folder::read(path)?;
        Ok(Component { hash: ContentHash::of(&bytes), bytes: bytes.into() })
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

    /// Ends the canary of a plugin, unless it has another one meanwhile.
    pub(crate) fn end_canary(&self, plugin: &str, digest: &str, reason: CanaryEnd) {
        if let Some(versions) = self.lock().index.plugins.get_mut(plugin) {
            versions.end_canary(digest, reason);
        }
    }
}

impl super::PluginVersions {
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

/// A file that an operator names on the control channel, as an absolute path.
#[derive(Clone, Debug)]
pub(crate) struct SourceFile(PathBuf);

impl SourceFile {
    /// Returns `None` if the path is not absolute, or has a zero byte.
    pub(crate) fn new(path: &str) -> Option<Self> {
        let is_usable = !path.contains('\0') && Path::new(path).is_absolute();
        is_usable.then(|| Self(PathBuf::from(path)))
    }

    /// The path.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl fmt::Display for SourceFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.display().fmt(f)
    }
}
