//! Versions: the components that have served a site, the ones that are pinned, and the plugins that
//! are disabled.
//!
//! Each component that serves is kept by its digest in the data folder, so that an earlier one can
//! serve again. A *pin* replaces the content of one file of the site by a kept component, until the
//! file changes. `reload` applies the pins to each snapshot and reports each new generation;
//! `rollout` sets and removes pins. [`changes`] are those of the operator, [`folder`] is the storage, [`index`] its table of contents,
//! [`probation`] decides when a new version is taken back. [`candidates`] has the versions that stand
//! beside the one in service.

mod candidate;
mod candidates;
mod changes;
mod folder;
mod index;
mod probation;
mod target;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use jackfield_text::Untrusted;
use tracing::{error, info, warn};

use crate::generation::{Generation, PluginEntry};
use crate::site::{Component, ContentHash, PluginFile, Snapshot};

pub(crate) use candidate::{CanaryEnd, Candidate, EndedCanary, Role, SourceFile};
pub(crate) use changes::entry;
pub(crate) use index::{Disabled, EndReason, Period, Pin, PluginVersions};
pub(crate) use target::{Target, TargetError};

use folder::Folder;
pub(crate) use folder::FolderError;
use index::Index;
use probation::Probation;

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

/// New versions that wait for the one task that writes them.
#[derive(Default)]
struct Unwritten {
    /// By digest; only those that will be kept.
    components: BTreeMap<String, Component>,
    is_changed: bool,
    is_writing: bool,
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
                    warn!("plugin {name} is pinned to version sha256:{digest} instead of {file}");
                    state.pinned.insert(pin.serves.clone(), component);
                }
                Err(error) => {
                    let plugin = Untrusted::new(plugin);
                    error!("the pinned version of {plugin} is lost, its file is served: {error}");
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

    /// Replaces the content of pinned files. A pin holds for the content that its file has at the
    /// first reading, and ends when the file has changed.
    pub(crate) fn apply(&self, mut snapshot: Snapshot) -> Snapshot {
        let mut state = self.lock();
        let State { index, pinned, .. } = &mut *state;
        for (plugin, path) in candidates::end_replaced(index, &snapshot, |path| self.below(path)) {
            let (plugin, path) = (Untrusted::new(plugin), Untrusted::new(path));
            info!("the canary of plugin {plugin} has ended: {path} has changed");
        }
        for (plugin, versions) in &mut index.plugins {
            let Some(pin) = &mut versions.pin else { continue };
            let mut files = snapshot.plugins().iter();
            let Some(file) = files.find(|file| self.below(&file.path) == pin.file) else {
                continue;
            };
            let (path, digest) = (file.path.clone(), file.hash.hex().to_string());
            if digest == *pin.replaces.get_or_insert_with(|| digest.clone())
                && let Some(component) = pinned.get(&pin.serves)
            {
                snapshot.replace(&path, component);
            } else {
                let (plugin, path) = (Untrusted::new(plugin), Untrusted::new(path));
                info!("the pin of plugin {plugin} has ended: {path} has changed");
                versions.pin = None;
            }
        }
        drop(state);
        snapshot
    }

    /// The digests of the components that serve instead of files of the site.
    pub(crate) fn pinned(&self) -> BTreeSet<String> {
        let state = self.lock();
        let plugins = state.index.plugins.values();
        plugins.filter_map(|it| Some(it.pin.as_ref()?.serves.clone())).collect()
    }

    /// A note for each pin, for a site that cannot be served with its pins.
    pub(crate) fn pin_notes(&self) -> Vec<String> {
        let state = self.lock();
        let plugins = state.index.plugins.iter();
        let pins = plugins.filter_map(|(plugin, it)| Some((plugin, it.pin.as_ref()?)));
        let note = |(plugin, pin): (&String, &Pin)| {
            let (plugin, file) = (Untrusted::new(plugin), Untrusted::new(&pin.file));
            let digest = index::short(&pin.serves);
            format!(
                "note: the plugin {plugin} is pinned to version sha256:{digest} instead of {file}\n  \
                 = help: replace {file}, which ends the pin"
            )
        };
        pins.map(note).collect()
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
        for entry in generation.plugins() {
            let digest = entry.digest().hex().to_string();
            let is_current = state.is_current(entry, &digest);
            if !is_current {
                let file = self.below(entry.file()).to_owned();
                state.begin(entry, file, &digest, (cause, took), self.take_back);
            }
            let mut files = snapshot.plugins().iter();
            let file = files.find(|file| file.hash == entry.digest());
            // A component in service may have been signed again.
            let is_signed = file.is_some_and(|file| state.is_newly_signed(file));
            if !is_current || is_signed {
                new.components.extend(file.map(PluginFile::component));
                new.are_there = true;
            }
        }
        if generation.loading().is_empty() {
            new.are_there |= state.end_removed(generation);
        }
        let serving: HashSet<ContentHash> =
            generation.plugins().iter().map(PluginEntry::digest).collect();
        state.signatures.retain(|component, _| serving.contains(component));
        state.index.trim();
        new
    }

    /// Keeps new versions, in the background: they serve already. One task writes; versions that
    /// come meanwhile wait for it, without those that more recent ones have replaced.
    pub(crate) fn keep(self: &Arc<Self>, new: NewVersions) {
        if !new.are_there || self.folder.is_none() {
            return;
        }
        if self.lock().wait(new.components, self.keep) {
            let versions = Arc::clone(self);
            tokio::spawn(async move {
                while versions.lock().unwritten.take_up() {
                    versions.write(Vec::new()).await;
                }
            });
        }
    }

    /// Returns the path of a file below the site: it stays the same if the server is started with
    /// another path to the site.
    fn below<'p>(&self, path: &'p str) -> &'p str {
        path.strip_prefix(&self.site).map_or(path, |path| path.trim_start_matches('/'))
    }

    /// Writes components and the table to the folder, with those that wait. Failures are logged, and
    /// are in [`Versions::unsaved`].
    async fn write(&self, mut components: Vec<Component>) {
        let Some(folder) = self.folder.clone() else { return };
        let _turn = self.writing.lock().await;
        let mut index = {
            let mut state = self.lock();
            components.extend(std::mem::take(&mut state.unwritten.components).into_values());
            state.index.clone()
        };
        let keep = self.keep;
        let writing = tokio::task::spawn_blocking(move || {
            for component in components {
                if let Err(error) = folder.write(&component) {
                    warn!("a version of a plugin is not kept: {error}");
                }
            }
            index.mark_kept(keep, |digest| folder.has(digest));
            let written = folder.write_index(&index);
            folder.remove_others(&index);
            (index, written)
        });
        let (written, result) = match writing.await {
            Ok(done) => done,
            Err(error) => return self.lock().unsaved = Some(error.to_string()),
        };
        let mut state = self.lock();
        state.index.take_kept(&written);
        state.unsaved = result.err().map(|error| {
            let error = error.to_string();
            error!("pins and disabled plugins do not survive the end of the server: {error}");
            error
        });
    }

    /// The reason why the last changes do not survive the end of the server, if the table could not
    /// be written.
    pub(crate) fn unsaved(&self) -> Option<String> {
        self.lock().unsaved.clone()
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

    /// Returns the plugins whose new version keeps failing. Each is returned again only after a
    /// while, as it may not be possible to take it back at present.
    pub(crate) fn failing(&self, generation: &Generation) -> Vec<String> {
        let now = Instant::now();
        let mut failing = Vec::new();
        self.lock().probation.retain(|plugin, probation| {
            let entry = generation.plugins().iter().find(|it| it.manifest().name == *plugin);
            if entry.is_some_and(|entry| probation.is_failing(entry, now)) {
                failing.push(plugin.clone());
            }
            probation.is_running(now)
        });
        failing
    }

    /// Ends the probation of a plugin: its version stays.
    pub(crate) fn end_probation(&self, plugin: &str) {
        self.lock().probation.remove(plugin);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Each change is a few assignments that cannot fail.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Unwritten {
    /// Returns whether there is something to write; otherwise, the task ends.
    fn take_up(&mut self) -> bool {
        self.is_writing = std::mem::take(&mut self.is_changed);
        self.is_writing
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
                    error!("the {role} of {plugin} is lost: {error}");
                    versions.end_canary(&candidate.digest, CanaryEnd::Unusable);
                    versions.candidate = None;
                }
            }
        }
    }

    /// Adds components to those that wait, and leaves out those that are not kept. Returns whether a
    /// task has to be started.
    fn wait(&mut self, components: Vec<Component>, keep: usize) -> bool {
        let Self { index, unwritten, .. } = self;
        let by_digest = |it: Component| (it.hash.hex().to_string(), it);
        unwritten.components.extend(components.into_iter().map(by_digest));
        let wanted = index.wanted(keep);
        unwritten.components.retain(|digest, _| wanted.contains(digest));
        unwritten.is_changed = true;
        !std::mem::replace(&mut unwritten.is_writing, true)
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
        let versions = self.index.plugins.entry(manifest.name.clone()).or_default();
        let pin = versions.pin.as_ref().filter(|pin| pin.serves == digest);
        let reason = pin.map_or(EndReason::Replaced, |pin| pin.by);
        // The operator has chosen it: it is not taken back. A promoted version is a new one.
        let is_pinned = pin.is_some_and(|pin| pin.by != EndReason::Promoted);
        let replaces_one = versions.current().is_some();
        versions.end(reason);
        versions.versions.push_front(Period {
            digest: digest.to_owned(),
            version: manifest.version.clone(),
            contract: entry.contract(),
            schema: manifest.schema,
            file,
            since: SystemTime::now(),
            cause: cause.to_owned(),
            took,
            ended: None,
            is_kept: false,
        });
        self.probation.remove(&manifest.name);
        if let Some(within) = take_back.filter(|_| replaces_one && !is_pinned) {
            let probation = Probation::new(entry.digest(), within);
            self.probation.insert(manifest.name.clone(), probation);
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
