//! Saving: writes the table and its components, in the background for versions that serve already,
//! and before the answer for changes of the operator. Another attempt follows if one has failed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::{error, info, warn};

use super::folder::Folder;
use super::index::Index;
use super::{NewVersions, State, Versions};
use crate::site::Component;

/// The time until the next attempt to write what could not be written.
const RETRY_INTERVAL: Duration = Duration::from_secs(10);

/// New versions that wait for the one task that writes them.
#[derive(Default)]
pub(super) struct Unwritten {
    /// By digest; only those that will be kept.
    components: BTreeMap<String, Component>,
    is_changed: bool,
    is_writing: bool,
    /// The digests of those that could not be written. The log has them.
    reported: BTreeSet<String>,
    /// When the next attempt is due, after one that has failed.
    retry_at: Option<Instant>,
}

/// The end of an attempt to write.
struct Written {
    /// The table as it was written.
    index: Index,
    /// Components that could not be written, with the reason.
    failed: Vec<(Component, String)>,
    /// Whether the next start has all that the table promised before.
    result: Result<(), String>,
}

impl Versions {
    /// Keeps new versions and the ends of candidates, in the background: they serve already. One task
    /// writes; versions that come meanwhile wait for it, without those that more recent ones have
    /// replaced.
    pub(crate) fn keep(self: &Arc<Self>, new: NewVersions) {
        let mut state = self.lock();
        let is_changed = std::mem::take(&mut state.has_changed) || new.are_there;
        if !is_changed || self.folder.is_none() {
            return;
        }
        let is_first = state.wait(new.components, self.keep);
        drop(state);
        if is_first {
            let versions = Arc::clone(self);
            tokio::spawn(async move {
                while versions.lock().unwritten.take_up() {
                    versions.write().await;
                }
            });
        }
    }

    /// Writes the table to the folder, with the components that wait and those that the next start
    /// needs: another version may have taken their place in the folder meanwhile. Failures are logged,
    /// and are in [`Versions::unsaved`].
    async fn write(&self) {
        let Some(folder) = self.folder.clone() else { return };
        let _turn = self.writing.lock().await;
        let (index, components) = {
            let mut state = self.lock();
            let unwritten = std::mem::take(&mut state.unwritten.components).into_values();
            let components: Vec<_> = unwritten.chain(state.pinned.values().cloned()).collect();
            (state.index.clone(), components)
        };
        let keep = self.keep;
        let writing =
            tokio::task::spawn_blocking(move || write_all(&folder, index, components, keep));
        let Written { index, failed, result } = match writing.await {
            Ok(written) => written,
            Err(error) => return self.lock().unsaved = Some(error.to_string()),
        };
        let mut state = self.lock();
        state.index.take_kept(&index);
        let State { index, unwritten, unsaved, .. } = &mut *state;
        let has_failed = result.is_err() || !failed.is_empty();
        unwritten.retry_at = has_failed.then(|| Instant::now() + RETRY_INTERVAL);
        unwritten.put_back(failed, &index.wanted(keep));
        let before = unsaved.take();
        if let Err(error) = result {
            // The log has a reason only once.
            if before.as_ref() != Some(&error) {
                error!(
                    name: "version.state_not_kept",
                    "pins, candidates and disabled plugins may not survive the end of the server: {error}"
                );
            }
            *unsaved = Some(error);
        } else if before.is_some() {
            info!(
                name: "version.saved_again",
                "pins, candidates and disabled plugins survive the end of the server again"
            );
        }
    }

    /// Makes the pins and the disabled plugins survive the end of the server.
    pub(crate) async fn save(&self) {
        {
            let mut state = self.lock();
            let State { index, pinned, has_changed, .. } = &mut *state;
            *has_changed = false;
            let needed = index.needed();
            pinned.retain(|digest, _| needed.contains(digest));
        }
        self.write().await;
    }

    /// Writes again if it could not be done a while ago.
    pub(crate) async fn retry(&self) {
        let now = Instant::now();
        if self.lock().unwritten.retry_at.is_some_and(|at| at <= now) {
            self.write().await;
        }
    }

    /// The reason why the last changes do not survive the end of the server, if the table or a
    /// component that it needs could not be written.
    pub(crate) fn unsaved(&self) -> Option<String> {
        self.lock().unsaved.clone()
    }

    /// Returns whether the changes so far survive the end of the server.
    pub(crate) fn survives(&self) -> bool {
        self.are_kept() && self.unsaved().is_none()
    }

    /// Returns whether changes survive the end of the server, if they can be written.
    pub(crate) const fn are_kept(&self) -> bool {
        self.folder.is_some()
    }
}

/// Writes components and the table; it blocks.
fn write_all(
    folder: &Folder,
    mut index: Index,
    components: Vec<Component>,
    keep: usize,
) -> Written {
    let mut failed = Vec::new();
    for component in components {
        if let Err(error) = folder.write(&component) {
            failed.push((component, error.to_string()));
        }
    }
    let needed = index.needed();
    let digest = |component: &Component| component.hash.hex().to_string();
    let lost: BTreeSet<String> = failed.iter().map(|(component, _)| digest(component)).collect();
    let is_there = |digest: &str| !lost.contains(digest) && folder.has(digest);
    index.mark_kept(keep, is_there);
    index.forget_lost(is_there);
    let written = folder.write_index(&index).map_err(|error| error.to_string());
    folder.remove_others(&index);
    let mut reasons = failed.iter().filter(|(component, _)| needed.contains(&digest(component)));
    let reason = reasons.next().map_or(Ok(()), |(_, error)| Err(error.clone()));
    Written { index, failed, result: written.and(reason) }
}

impl Unwritten {
    /// Returns whether there is something to write; otherwise, the task ends.
    fn take_up(&mut self) -> bool {
        self.is_writing = std::mem::take(&mut self.is_changed);
        self.is_writing
    }

    /// Puts components back that could not be written, if they are wanted.
    fn put_back(&mut self, failed: Vec<(Component, String)>, wanted: &BTreeSet<String>) {
        let mut reported = BTreeSet::new();
        for (component, error) in failed {
            let digest = component.hash.hex().to_string();
            if !self.reported.contains(&digest) {
                warn!(name: "version.not_kept", "a version of a plugin is not kept: {error}");
            }
            if wanted.contains(&digest) {
                self.components.entry(digest.clone()).or_insert(component);
            }
            reported.insert(digest);
        }
        self.reported = reported;
    }
}

impl State {
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
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;
    use std::time::SystemTime;

    use super::*;
    use crate::site::{ContentHash, SignatureFile};
    use crate::versions::candidate::{Candidate, Role};
    use crate::versions::index::{EndReason, Period};
    use crate::versions::{CanaryEnd, Target, VersionSettings};

    const SETTINGS: VersionSettings = VersionSettings { keep: 5, take_back: None };

    /// A table with the plugin `p`, whose version `one` serves, in a folder.
    struct Table {
        versions: Arc<Versions>,
        root: tempfile::TempDir,
    }

    impl Table {
        fn new() -> Self {
            let root = tempfile::tempdir().unwrap();
            let folder = Some(root.path().join("versions"));
            let versions = Versions::open(root.path(), folder, SETTINGS).unwrap();
            let table = Self { versions: Arc::new(versions), root };
            let period = Period {
                digest: hex("one"),
                version: "1.0.0".to_owned(),
                contract: "0.2".to_owned(),
                schema: 0,
                file: "p.wasm".to_owned(),
                since: SystemTime::UNIX_EPOCH,
                cause: "change".to_owned(),
                took: Duration::ZERO,
                ended: None,
                is_kept: false,
            };
            table.plugin(|it| it.versions.push_front(period));
            table
        }

        fn plugin<T>(&self, f: impl FnOnce(&mut crate::versions::PluginVersions) -> T) -> T {
            f(self.versions.lock().index.plugins.entry("p".to_owned()).or_default())
        }

        fn path(&self, name: &str) -> PathBuf {
            self.root.path().join("versions").join(name)
        }

        /// The pin and the candidate on the disk.
        fn saved(&self) -> (Option<String>, Option<String>) {
            let (_, index) = Folder::open(&self.root.path().join("versions")).unwrap();
            let plugin = &index.plugins["p"];
            let pin = plugin.pin.as_ref().map(|it| it.serves.clone());
            (pin, plugin.candidate.as_ref().map(|it| it.digest.clone()))
        }

        async fn until_written(&self) {
            while self.versions.lock().unwritten.is_writing {
                tokio::task::yield_now().await;
            }
        }

        async fn retry(&self) {
            let now = Instant::now();
            let due = self.versions.lock().unwritten.retry_at.replace(now);
            assert!(due.is_some_and(|due| due > now), "not at once");
            self.versions.retry().await;
        }
    }

    fn component(content: &str) -> Component {
        let (hash, bytes) = (ContentHash::of(content.as_bytes()), content.as_bytes().into());
        Component { hash, bytes, signature: SignatureFile::Absent }
    }

    fn hex(content: &str) -> String {
        component(content).hash.hex().to_string()
    }

    /// A kill at any time of a promotion leaves the candidate or its pin.
    #[tokio::test]
    async fn each_saved_table_has_a_candidate_or_its_pin() {
        let table = Table::new();
        let versions = &table.versions;
        let candidate = Candidate {
            role: Role::Shadow,
            digest: hex("new"),
            version: "2.0.0".to_owned(),
            source: "new.wasm".to_owned(),
            since: SystemTime::UNIX_EPOCH,
        };
        versions.try_candidate("p", candidate, component("new"));
        versions.accept();
        versions.save().await;
        assert_eq!(table.saved(), (None, Some(hex("new"))));

        let target = Target {
            plugin: "p".to_owned(),
            file: "p.wasm".to_owned(),
            replaces: Some(hex("one")),
            from: hex("one"),
            to: hex("new"),
            version: "2.0.0".to_owned(),
        };
        versions.try_pin(&target, component("new"), EndReason::Promoted);
        // The reload serves the pin: the candidate is in service, and its place is given up.
        versions.end_candidate("p", &hex("new"), CanaryEnd::Promoted);
        versions.save().await;
        assert_eq!(table.saved(), (None, Some(hex("new"))), "the reload may still fail");
        versions.accept();
        versions.save().await;
        assert_eq!(table.saved().0, Some(hex("new")));
        versions.end_candidate("p", &hex("new"), CanaryEnd::Promoted);
        versions.save().await;
        assert_eq!(table.saved(), (Some(hex("new")), None));
    }

    #[tokio::test]
    async fn writes_again_a_table_that_could_not_be_written() {
        let table = Table::new();
        let obstacle = table.path("index.tmp");
        fs::create_dir(&obstacle).unwrap();
        table.versions.save().await;
        assert!(table.versions.unsaved().is_some_and(|it| it.contains("failed to write")));
        table.retry().await;
        assert!(table.versions.unsaved().is_some() && !table.versions.survives());
        fs::remove_dir(&obstacle).unwrap();
        table.retry().await;
        assert!(table.versions.survives());
        assert!(table.versions.lock().unwritten.retry_at.is_none(), "once");
        assert_eq!(table.saved(), (None, None));
    }

    #[tokio::test]
    async fn writes_again_a_component_that_could_not_be_written() {
        let table = Table::new();
        let obstacle = table.path(&hex("one")).with_extension("tmp");
        fs::create_dir(&obstacle).unwrap();
        let new = NewVersions { are_there: true, components: vec![component("one")] };
        table.versions.keep(new);
        table.until_written().await;
        let is_kept = || table.plugin(|it| it.versions[0].is_kept);
        assert!(!is_kept() && table.versions.survives(), "the next start does not need it");
        fs::remove_dir(&obstacle).unwrap();
        table.retry().await;
        assert!(is_kept() && table.path(&hex("one")).with_extension("wasm").is_file());
    }

    #[tokio::test]
    async fn a_damaged_component_that_cannot_be_replaced_is_lost() {
        let table = Table::new();
        let kept = || NewVersions { are_there: true, components: vec![component("one")] };
        table.versions.keep(kept());
        table.until_written().await;
        let file = table.path(&hex("one")).with_extension("wasm");
        fs::write(&file, "ones").unwrap();
        let obstacle = table.path(&hex("one")).with_extension("tmp");
        fs::create_dir(&obstacle).unwrap();
        table.versions.keep(kept());
        table.until_written().await;
        let is_kept = || table.plugin(|it| it.versions[0].is_kept);
        assert!(!is_kept());
        fs::remove_dir(&obstacle).unwrap();
        table.retry().await;
        assert_eq!((is_kept(), &*fs::read(&file).unwrap()), (true, &b"one"[..]));
    }
}
