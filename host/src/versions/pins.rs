//! Pins: kept components that serve instead of the content of files of the site.

use std::collections::BTreeSet;

use jackfield_text::Untrusted;
use tracing::{error, info, warn};

use super::attempt::{Attempt, Change};
use super::candidate::{CanaryEnd, Candidate, Role};
use super::candidates::{self, Outdated, OutdatedPart};
use super::changes::entry;
use super::index::{self, Pin};
use super::{State, Versions};
use crate::generation::Generation;
use crate::site::Snapshot;

impl Versions {
    /// Replaces the content of pinned files. A pin holds for the content that its file has at the
    /// first reading, also under another name. It ends when the file has changed, and the site with
    /// that file serves: a site that cannot be served changes nothing.
    pub(crate) fn apply(&self, mut snapshot: Snapshot) -> Snapshot {
        let mut state = self.lock();
        let files = snapshot.plugins().iter();
        let file = |path: &str| self.below(path).to_owned();
        state.files = files.map(|it| (file(&it.path), it.own_hash.hex().to_string())).collect();
        state.end_outdated_attempt(&snapshot, |path| self.below(path));
        let State { index, pinned, attempt, outdated, has_changed, .. } = &mut *state;
        *outdated = candidates::outdated(index, &snapshot, |path| self.below(path));
        for (plugin, versions) in &mut index.plugins {
            let Some(pin) = &mut versions.pin else { continue };
            if attempt.as_ref().is_some_and(|it| it.unpins(plugin)) {
                continue;
            }
            let replaces = pin.replaces.as_deref();
            let file = candidates::find(&snapshot, &pin.file, replaces, |path| self.below(path));
            let Some(file) = file else { continue };
            let (path, digest) = (file.path.clone(), file.own_hash.hex().to_string());
            let below = self.below(&path).to_owned();
            if below != pin.file {
                let (plugin, path) = (plugin.clone(), path.clone());
                outdated.push(Outdated { plugin, path, what: OutdatedPart::PinMoved(below) });
            }
            if digest != *pin.replaces.get_or_insert_with(|| digest.clone()) {
                outdated.push(Outdated { plugin: plugin.clone(), path, what: OutdatedPart::Pin });
            } else if let Some(component) = pinned.get(&pin.serves) {
                snapshot.replace(&path, component);
            } else {
                let (plugin, digest) = (Untrusted::new(plugin), index::short(&pin.serves));
                error!(
                    name: "version.lost",
                    "the pin of plugin {plugin} has ended: its version sha256:{digest} is lost"
                );
                versions.pin = None;
                *has_changed = true;
            }
        }
        if let Some(Attempt { change: Change::Pin(pin, component), .. }) = attempt {
            let mut files = snapshot.plugins().iter();
            let file = files.find(|file| self.below(&file.path) == pin.file);
            if let Some(path) = file.map(|file| file.path.clone()) {
                snapshot.replace(&path, component);
            }
        }
        drop(state);
        snapshot
    }

    /// The pin of a plugin.
    pub(crate) fn pin(&self, plugin: &str) -> Option<Pin> {
        self.lock().index.plugins.get(plugin)?.pin.clone()
    }

    /// The site that was read last serves: pins and canaries end whose files have changed.
    pub(crate) fn end_outdated(&self) {
        self.lock().end_outdated();
    }

    /// The digests of the components that serve instead of files of the site.
    pub(crate) fn pinned(&self) -> BTreeSet<String> {
        let state = self.lock();
        let plugins = state.index.plugins.keys();
        plugins.filter_map(|plugin| Some(state.pin_of(plugin)?.serves.clone())).collect()
    }

    /// A note for each pin of a file of the site, for a site that cannot be served with its pins.
    pub(crate) fn pin_notes(&self) -> Vec<String> {
        let state = self.lock();
        let plugins = state.index.plugins.iter();
        let pins = plugins.filter_map(|(plugin, it)| Some((plugin, it.pin.as_ref()?)));
        let pins = pins.filter(|(_, pin)| state.files.contains_key(&pin.file));
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
}

impl State {
    pub(super) fn end_outdated(&mut self) {
        for Outdated { plugin, path, what } in std::mem::take(&mut self.outdated) {
            let Some(versions) = self.index.plugins.get_mut(&plugin) else { continue };
            let (plugin, path) = (Untrusted::new(plugin), Untrusted::new(path));
            match what {
                OutdatedPart::Pin => {
                    versions.pin = None;
                    info!(name: "version.pin_ended", "the pin of plugin {plugin} has ended: {path} has changed");
                }
                OutdatedPart::Canary(digest) => {
                    versions.end_candidate(&digest, CanaryEnd::Replaced);
                    info!(name: "canary.ended", "the canary of plugin {plugin} has ended: {path} has changed, or is gone");
                }
                OutdatedPart::PinMoved(file) => {
                    if let Some(pin) = &mut versions.pin {
                        pin.file = file;
                    }
                    info!(name: "version.pin_moved", "the pin of plugin {plugin} has followed its file, which is {path} now");
                }
                OutdatedPart::CanaryMoved(moved) => {
                    if let Some(Candidate { role: Role::Canary { file, .. }, .. }) =
                        &mut versions.candidate
                    {
                        *file = moved;
                    }
                }
            }
            self.has_changed = true;
        }
    }

    /// Ends each pin whose file is gone while another file serves the plugin: a release may have
    /// another name. A pin of a plugin that the site does not have waits for its file. Returns whether
    /// a pin has ended.
    pub(super) fn review_pins(
        &mut self,
        generation: &Generation,
        snapshot: &Snapshot,
        below: impl for<'p> Fn(&'p str) -> &'p str,
    ) -> bool {
        let Self { index, waiting_pins, .. } = self;
        let mut has_ended = false;
        for (name, versions) in &mut index.plugins {
            let gone = versions.pin.as_ref().filter(|pin| {
                let mut files = snapshot.plugins().iter();
                files.all(|file| below(&file.path) != pin.file)
            });
            let Some(pin) = gone else {
                waiting_pins.remove(name);
                continue;
            };
            let (plugin, file) = (Untrusted::new(name), Untrusted::new(&pin.file));
            if let Ok(entry) = entry(generation, name) {
                let other = Untrusted::new(entry.file());
                info!(name: "version.pin_ended", "the pin of plugin {plugin} has ended: {file} is gone, and {other} serves");
                versions.pin = None;
                has_ended = true;
            } else if waiting_pins.insert(name.clone()) {
                warn!(
                    name: "version.pin_waits",
                    "the pin of plugin {plugin} waits: {file} is gone, and no other file of the site has the plugin"
                );
            }
        }
        has_ended
    }
}
