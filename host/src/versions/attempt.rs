//! Attempt: a pin, its end, or a candidate that one reload tries.
//!
//! It is no part of the table until it has succeeded: other changes, which save the table meanwhile,
//! do not save it, and a failure leaves nothing behind. `rollout` makes one at a time. An attempt is
//! made for the content that a file had when the operator decided, and ends when that has changed.

use jackfield_text::Untrusted;
use tracing::info;

use super::candidate::{Candidate, Role};
use super::index::{EndReason, Pin};
use super::target::Target;
use super::{State, Versions};
use crate::generation::PluginEntry;
use crate::site::{Component, Snapshot};
use crate::wall_clock;

/// A change that is not in the table yet.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) plugin: String,
    pub(super) change: Change,
}

/// A change, with the content of the version that is to serve, or to stand beside the one in service.
#[derive(Debug)]
pub(super) enum Change {
    Pin(Pin, Component),
    /// The end of the pin.
    Unpin,
    Candidate(Candidate, Component),
}

impl Versions {
    /// Pins the target from the next reload on. [`Versions::accept`] puts the pin into the table.
    pub(crate) fn try_pin(&self, target: &Target, component: Component, by: EndReason) {
        let pin = Pin {
            file: target.file.clone(),
            replaces: target.replaces.clone(),
            serves: target.to.clone(),
            since: wall_clock::now(),
            by,
        };
        self.attempt(&target.plugin, Change::Pin(pin, component));
    }

    /// Ends the pin of a plugin from the next reload on. [`Versions::accept`] removes it from the
    /// table.
    pub(crate) fn try_unpin(&self, plugin: &str) {
        self.attempt(plugin, Change::Unpin);
    }

    /// Places a candidate beside a plugin from the next reload on. [`Versions::accept`] puts it into
    /// the table.
    pub(crate) fn try_candidate(&self, plugin: &str, candidate: Candidate, component: Component) {
        self.attempt(plugin, Change::Candidate(candidate, component));
    }

    fn attempt(&self, plugin: &str, change: Change) {
        self.lock().attempt = Some(Attempt { plugin: plugin.to_owned(), change });
    }

    /// Puts the attempt into the table, unless it has ended. [`Versions::save`] makes it survive the
    /// end of the server.
    pub(crate) fn accept(&self) {
        let mut state = self.lock();
        let Some(Attempt { plugin, change }) = state.attempt.take() else { return };
        let versions = state.index.plugins.entry(plugin).or_default();
        let (digest, component) = match change {
            Change::Pin(pin, component) => (versions.pin.insert(pin).serves.clone(), component),
            Change::Unpin => return versions.pin = None,
            Change::Candidate(candidate, component) => {
                (versions.candidate.insert(candidate).digest.clone(), component)
            }
        };
        state.pinned.insert(digest, component);
    }

    /// Forgets the attempt, which has failed.
    pub(crate) fn withdraw(&self) {
        self.lock().attempt = None;
    }

    /// The digest of the content that the plugin's file has, as far as the server has judged it: the
    /// one of the generation in service, or a newer one that cannot be served. `None` before the
    /// first reading.
    pub(crate) fn judged(&self, entry: &PluginEntry) -> Option<String> {
        self.lock().judged.get(self.below(entry.file())).cloned()
    }

    /// The site that was read last cannot be served.
    pub(crate) fn refuse_files(&self) {
        let mut state = self.lock();
        state.judged = state.files.clone();
    }
}

impl Attempt {
    /// The pin of a plugin that is tried.
    fn pin_of(&self, plugin: &str) -> Option<&Pin> {
        match &self.change {
            Change::Pin(pin, _) if self.plugin == plugin => Some(pin),
            Change::Pin(..) | Change::Unpin | Change::Candidate(..) => None,
        }
    }

    /// Whether it is the end of the pin of a plugin.
    pub(super) fn unpins(&self, plugin: &str) -> bool {
        matches!(self.change, Change::Unpin) && self.plugin == plugin
    }

    /// Whether this is a pin of the plugin to a version.
    pub(super) fn pins(&self, plugin: &str, digest: &str) -> bool {
        self.pin_of(plugin).is_some_and(|pin| pin.serves == digest)
    }

    /// The candidate of a plugin that is tried.
    pub(super) fn candidate_of(&self, plugin: &str) -> Option<&Candidate> {
        match &self.change {
            Change::Candidate(candidate, _) if self.plugin == plugin => Some(candidate),
            Change::Candidate(..) | Change::Unpin | Change::Pin(..) => None,
        }
    }

    /// The component of this digest, if it is the one that is tried.
    pub(super) fn component(&self, digest: &str) -> Option<&Component> {
        match &self.change {
            Change::Pin(pin, component) => Some(component).filter(|_| pin.serves == digest),
            Change::Candidate(candidate, component) => {
                Some(component).filter(|_| candidate.digest == digest)
            }
            Change::Unpin => None,
        }
    }

    /// The path below the site of the file that it depends on, and the digest of that file's content.
    fn file(&mut self) -> Option<(&str, &mut Option<String>)> {
        match &mut self.change {
            Change::Pin(pin, _) => Some((pin.file.as_str(), &mut pin.replaces)),
            // The file serves, whatever its content is.
            Change::Unpin => None,
            Change::Candidate(candidate, _) => match &mut candidate.role {
                Role::Shadow => None,
                Role::Canary { file, beside, .. } => Some((file.as_str(), beside)),
            },
        }
    }
}

impl State {
    /// The pin that decides about a plugin: the one that is tried, or else that of the table.
    pub(super) fn pin_of(&self, plugin: &str) -> Option<&Pin> {
        let tried = self.attempt.as_ref().and_then(|it| it.pin_of(plugin));
        let kept = || self.index.plugins.get(plugin)?.pin.as_ref();
        tried.or_else(|| kept().filter(|_| !self.is_unpinned(plugin)))
    }

    /// Whether the end of the plugin's pin is tried.
    pub(super) fn is_unpinned(&self, plugin: &str) -> bool {
        self.attempt.as_ref().is_some_and(|it| it.unpins(plugin))
    }

    /// Ends the attempt if its file has changed since the decision, or is gone.
    pub(super) fn end_outdated_attempt(
        &mut self,
        snapshot: &Snapshot,
        below: impl for<'p> Fn(&'p str) -> &'p str,
    ) {
        let Some(attempt) = &mut self.attempt else { return };
        let Some((path, expected)) = attempt.file() else { return };
        let mut files = snapshot.plugins().iter();
        let found = files.find(|found| below(&found.path) == path);
        let found = found.map(|found| found.own_hash.hex().to_string());
        if let Some(found) = &found
            && *found == *expected.get_or_insert_with(|| found.clone())
        {
            return;
        }
        let path = Untrusted::new(path).to_string();
        let plugin = Untrusted::new(&attempt.plugin);
        info!(
            name: "version.overtaken",
            "the change of plugin {plugin} is given up: {path} has changed meanwhile"
        );
        self.attempt = None;
    }
}
