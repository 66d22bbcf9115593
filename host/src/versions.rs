//! Versions: the components that have served a site, the ones that are pinned, and the plugins that
//! are disabled.
//!
//! Each component that serves is kept by its digest in the data folder, so that an earlier one can
//! serve again. A *pin* replaces the content of one file of the site by a kept component, until the
//! file changes. `reload` applies the pins to each snapshot and reports each new generation;
//! `rollout` sets and removes pins, which [`attempt`] tries first. [`changes`] are those of the operator,
//! [`folder`] is the storage, [`index`] its table of contents, [`pins`] applies it to a snapshot,
//! [`probation`] decides when a new version is taken back. [`saving`] writes changes. [`candidates`] has the versions that stand
//! beside the one in service.

mod attempt;
mod candidate;
mod candidates;
mod changes;
mod folder;
mod index;
mod pins;
mod probation;
mod saving;
mod target;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jackfield_text::Untrusted;
use tracing::{error, warn};

use crate::generation::{Generation, PluginEntry};
use crate::site::{Component, ContentHash, PluginFile, Snapshot};
use crate::wall_clock;

pub(crate) use candidate::{CanaryEnd, Candidate, EndedCanary, Role, SourceFile};
pub(crate) use changes::{Decisions, entry};
pub(crate) use index::{
    Disabled, EndReason, Period, Pin, PluginVersions, is_beginning, is_confirmation,
};
pub(crate) use target::{Target, TargetError, word};

use attempt::Attempt;
use candidates::Outdated;
use folder::Folder;
pub(crate) use folder::FolderError;
use index::Index;
use probation::Probation;
use saving::Unwritten;

/// The versions of a site's plugins.
pub(crate) struct Versions {
    /// The site's directory as it was given, with which displayed paths begin.
    site: String,
    /// `None` keeps the table in memory, and no components.
    folder: Option<Folder>,
    take_back: Option<Duration>,
    keep: usize,
    /// A std mutex: held over no await and no access to files.
    state: Mutex<State>,
    /// Held while the folder is written, so that the table on disk is the newest one.
    writing: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    index: Index,
    /// The change that the reload under way tries.
    attempt: Option<Attempt>,
    /// The digest of each plugin's file as it was read last, by its path below the site.
    files: BTreeMap<String, String>,
    /// The same as of the last site that began to serve, or could not.
    judged: BTreeMap<String, String>,
    /// What the site that was read last ends, once it serves.
    outdated: Vec<Outdated>,
    /// Whether a pin or a candidate has changed by itself, and the table is not written since.
    has_changed: bool,
    /// Plugins that have served since the start.
    seen: BTreeSet<String>,
    /// Plugins whose pin waits for its file. The log has them.
    waiting_pins: BTreeSet<String>,
    /// The content of each pinned component and of each candidate, by its digest.
    pinned: BTreeMap<String, Component>,
    /// New versions that may be taken back, by plugin.
    probation: BTreeMap<String, Probation>,
    /// The hash of the last signature of each component in service, by the component's.
    signatures: HashMap<ContentHash, ContentHash>,
    unwritten: Unwritten,
    /// The reason why the table on disk is not the present one.
    unsaved: Option<String>,
}

/// Versions that have begun or ended, and are not kept yet.
#[derive(Default)]
#[must_use]
pub(crate) struct NewVersions {
    are_there: bool,
    components: Vec<Component>,
}

/// The name of the folder in the data folder.
pub(crate) const PART: &str = "versions";

/// Reads a kept component of a folder, and checks its digest; it blocks.
pub(crate) fn read(folder: &Path, digest: &str) -> io::Result<Component> {
    Folder::at(folder).read(digest)
}

/// The settings of versions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct VersionSettings {
    /// The number of components of each plugin that are kept.
    pub(crate) keep: usize,
    /// The time for which a new version may be taken back; `None` never takes one back.
    pub(crate) take_back: Option<Duration>,
}

impl Versions {
    /// Opens the table in `folder`; it blocks.
    ///
    /// # Errors
    /// When there is a table that cannot be read: disabled plugins would serve.
    pub(crate) fn open(
        site: &Path,
        folder: Option<PathBuf>,
        settings: VersionSettings,
    ) -> Result<Self, FolderError> {
        let VersionSettings { keep, take_back } = settings;
        let mut state = State::default();
        let folder = match folder {
            Some(path) => {
                let (folder, index) = Folder::open(&path)?;
                state.index = index;
                Some(folder)
            }
            None => None,
        };
        for (plugin, versions) in &mut state.index.plugins {
            let (Some(pin), Some(folder)) = (&versions.pin, &folder) else { continue };
            match folder.read(&pin.serves) {
                Ok(component) => {
                    let (name, file) = (Untrusted::new(plugin), Untrusted::new(&pin.file));
                    let digest = index::short(&pin.serves);
                    warn!(name: "version.pinned", "plugin {name} is pinned to version sha256:{digest} instead of {file}");
                    state.pinned.insert(pin.serves.clone(), component);
                }
                Err(error) => {
                    let plugin = Untrusted::new(plugin);
                    error!(name: "version.lost", "the pinned version of {plugin} is lost, its file is served: {error}");
                    versions.pin = None;
                }
            }
        }
        if let Some(folder) = &folder {
            state.open_candidates(folder);
        }
        let (state, writing) = (Mutex::new(state), tokio::sync::Mutex::default());
        Ok(Self { site: site.display().to_string(), folder, take_back, keep, state, writing })
    }

    /// The names of disabled plugins.
    pub(crate) fn disabled(&self) -> BTreeSet<String> {
        let state = self.lock();
        let plugins = state.index.plugins.iter();
        plugins.filter(|(_, it)| it.disabled.is_some()).map(|(name, _)| name.clone()).collect()
    }

    /// Records the plugins of a generation that has been put into service. `cause` is the label of
    /// the reload's cause. Returns the new components, for [`Versions::keep`].
    pub(crate) fn record(
        &self,
        generation: &Generation,
        snapshot: &Snapshot,
        cause: &'static str,
        took: Duration,
    ) -> NewVersions {
        let mut new = NewVersions::default();
        let mut state = self.lock();
        if generation.loading().is_empty() {
            state.end_outdated();
        }
        for entry in generation.plugins() {
            let digest = entry.digest().hex().to_string();
            let is_current = state.is_current(entry, &digest);
            let is_first = state.seen.insert(entry.manifest().name.clone());
            if !is_current {
                let file = self.below(entry.file()).to_owned();
                state.begin(entry, file, &digest, (cause, took), self.take_back);
            } else if is_first {
                state.begin_probation(entry, self.take_back);
            }
            let mut files = snapshot.plugins().iter();
            let file = files.find(|file| file.hash == entry.digest());
            if let Some(file) = file {
                let path = self.below(&file.path).to_owned();
                state.judged.insert(path, file.own_hash.hex().to_string());
            }
            // A component in service may have been signed again.
            let is_signed = file.is_some_and(|file| state.is_newly_signed(file));
            // After a start, its component in the folder may be damaged.
            if !is_current || is_signed || is_first {
                new.components.extend(file.map(PluginFile::component));
                new.are_there = true;
            }
        }
        if generation.loading().is_empty() {
            new.are_there |= state.end_removed(generation);
            new.are_there |= state.review_pins(generation, snapshot, |path| self.below(path));
        }
        let serving: HashSet<ContentHash> =
            generation.plugins().iter().map(PluginEntry::digest).collect();
        state.signatures.retain(|component, _| serving.contains(component));
        state.index.trim();
        let State { judged, files, .. } = &mut *state;
        judged.retain(|path, _| files.contains_key(path));
        new
    }

    /// Returns the path of a file below the site: it stays the same if the server is started with
    /// another path to the site.
    fn below<'p>(&self, path: &'p str) -> &'p str {
        path.strip_prefix(&self.site).map_or(path, |path| path.trim_start_matches('/'))
    }

    /// The versions of each plugin that has served, or of one.
    pub(crate) fn history(&self, plugin: Option<&str>) -> Vec<(String, PluginVersions)> {
        let state = self.lock();
        let plugins = state.index.plugins.iter();
        let wanted = plugins.filter(|(name, _)| plugin.is_none_or(|plugin| plugin == *name));
        wanted.map(|(name, versions)| (name.clone(), versions.clone())).collect()
    }

    /// Returns whether a new version may be taken back at present.
    pub(crate) fn is_on_probation(&self) -> bool {
        let now = Instant::now();
        self.lock().probation.values().any(|it| it.is_running(now))
    }

    /// Returns the plugins whose new version keeps failing, with its digest. Each is returned again
    /// only after a while, as it may not be possible to take it back at present.
    pub(crate) fn failing(&self, generation: &Generation) -> Vec<(String, String)> {
        let now = Instant::now();
        let mut failing = Vec::new();
        self.lock().probation.retain(|plugin, probation| {
            let entry = generation.plugins().iter().find(|it| it.manifest().name == *plugin);
            if entry.is_some_and(|entry| probation.is_failing(entry, now)) {
                failing.push((plugin.clone(), probation.digest()));
            }
            probation.is_running(now)
        });
        failing
    }

    /// Ends the probation of a version of a plugin, which stays.
    pub(crate) fn end_probation(&self, plugin: &str, digest: &str) {
        self.lock().probation.retain(|name, it| name != plugin || it.digest() != digest);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Each change is a few assignments that cannot fail.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Reads the candidates. One that is lost is forgotten.
    fn open_candidates(&mut self, folder: &Folder) {
        for (plugin, versions) in &mut self.index.plugins {
            let Some(candidate) = versions.candidate.clone() else { continue };
            match folder.read(&candidate.digest) {
                Ok(component) => drop(self.pinned.insert(candidate.digest, component)),
                Err(error) => {
                    let (plugin, role) = (Untrusted::new(plugin), candidate.role.label());
                    error!(name: "version.lost", "the {role} of {plugin} is lost: {error}");
                    versions.end_candidate(&candidate.digest, CanaryEnd::Unusable);
                }
            }
        }
    }

    /// Returns whether the table has the component as the one in service.
    fn is_current(&self, entry: &PluginEntry, digest: &str) -> bool {
        let versions = self.index.plugins.get(&entry.manifest().name);
        versions.and_then(PluginVersions::current).is_some_and(|it| it.digest == digest)
    }

    /// Returns whether a component has a signature that is not kept yet.
    fn is_newly_signed(&mut self, file: &PluginFile) -> bool {
        if file.signature.content().is_none() {
            return false;
        }
        let signature = file.signature.hash();
        self.signatures.insert(file.hash, signature) != Some(signature)
    }

    /// Records that a component serves from now on.
    fn begin(
        &mut self,
        entry: &PluginEntry,
        file: String,
        digest: &str,
        (cause, took): (&'static str, Duration),
        take_back: Option<Duration>,
    ) {
        let manifest = entry.manifest();
        let pin = self.pin_of(&manifest.name).filter(|pin| pin.serves == digest);
        let reason = match pin {
            Some(pin) => pin.by,
            None if self.is_unpinned(&manifest.name) => EndReason::Unpinned,
            None => EndReason::Replaced,
        };
        let versions = self.index.plugins.entry(manifest.name.clone()).or_default();
        versions.end(reason);
        versions.versions.push_front(Period {
            digest: digest.to_owned(),
            version: manifest.version.clone(),
            contract: entry.contract(),
            schema: manifest.schema,
            file,
            since: wall_clock::now(),
            cause: cause.to_owned(),
            took,
            ended: None,
            is_kept: false,
        });
        self.begin_probation(entry, take_back);
    }

    /// Begins the probation of the version in service, or goes on with it after a restart.
    fn begin_probation(&mut self, entry: &PluginEntry, take_back: Option<Duration>) {
        let name = &entry.manifest().name;
        self.probation.remove(name);
        let versions = self.index.plugins.get(name);
        let left = take_back
            .zip(versions)
            .and_then(|(within, versions)| versions.probation_left(within, wall_clock::now()));
        if let Some(left) = left {
            self.probation.insert(name.clone(), Probation::new(entry.digest(), left));
        }
    }

    /// Records the end of plugins that the site no longer has. Returns whether there are any.
    fn end_removed(&mut self, generation: &Generation) -> bool {
        let mut has_removed = false;
        let serving: BTreeSet<&str> =
            generation.plugins().iter().map(|entry| entry.manifest().name.as_str()).collect();
        for (name, versions) in &mut self.index.plugins {
            if !serving.contains(name.as_str()) && versions.current().is_some() {
                versions.end(EndReason::Removed);
                has_removed = true;
            }
        }
        has_removed
    }
}
