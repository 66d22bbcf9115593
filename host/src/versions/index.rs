//! Index of versions: for each plugin the versions that have served, newest first, its pin, and
//! whether it is disabled. Stored as one JSON file.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::candidate::{Candidate, EndedCanary};
use super::target::TargetError;
use crate::wall_clock;

/// The maximum number of plugins in the table; plugins that no longer serve leave first.
const MAX_PLUGINS: usize = 2_000;
/// The maximum number of versions of a plugin in the table; more than are kept.
const MAX_VERSIONS: usize = 50;
/// The number of characters that name a digest in texts.
const SHORT_DIGEST: usize = 12;
/// The beginning of a digest in texts, which may be left out.
const ALGORITHM: &str = "sha256:";

/// The table of all plugins, by name.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Index {
    pub(super) plugins: BTreeMap<String, PluginVersions>,
}

/// The versions of one plugin.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct PluginVersions {
    /// The newest first. The first one serves unless it has ended.
    pub(crate) versions: VecDeque<Period>,
    #[serde(default)]
    pub(crate) pin: Option<Pin>,
    #[serde(default)]
    pub(crate) disabled: Option<Disabled>,
    #[serde(default)]
    pub(crate) candidate: Option<Candidate>,
    #[serde(default)]
    pub(crate) ended_canary: Option<EndedCanary>,
    /// The digest of the shadow's file beside the plugin's that the operator has stopped.
    #[serde(default)]
    pub(crate) stopped_shadow: Option<String>,
}

/// A period in which a component served.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Period {
    /// SHA-256 of the component, in hexadecimal.
    pub(crate) digest: String,
    /// The text of the plugin's author.
    pub(crate) version: String,
    pub(crate) contract: String,
    /// The number of the store's layout.
    pub(crate) schema: u32,
    /// The path of the file below the site.
    pub(crate) file: String,
    pub(crate) since: SystemTime,
    /// The cause of the reload.
    pub(crate) cause: String,
    /// The time that the reload took.
    pub(crate) took: Duration,
    #[serde(default)]
    pub(crate) ended: Option<PeriodEnd>,
    /// Whether the component is in the folder.
    #[serde(default)]
    pub(crate) is_kept: bool,
}

/// The end of a period.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct PeriodEnd {
    pub(crate) at: SystemTime,
    pub(crate) reason: EndReason,
}

/// The reason for the end of a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum EndReason {
    /// The file of the site has changed.
    Replaced,
    /// The operator has returned to another version.
    RolledBack,
    /// The operator has promoted a shadow or a canary.
    Promoted,
    /// It kept failing, and the server has returned to the version before.
    TakenBack,
    /// The operator has ended the pin, and the file serves again.
    Unpinned,
    /// The site no longer has the plugin.
    Removed,
}

/// A kept component that serves instead of a file's content.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Pin {
    /// The path of the file below the site.
    pub(crate) file: String,
    /// The digest of the file's content; `None` until the site is read. Another content ends the
    /// pin.
    pub(crate) replaces: Option<String>,
    /// The digest of the component that serves.
    pub(crate) serves: String,
    pub(crate) since: SystemTime,
    /// [`EndReason::RolledBack`], [`EndReason::TakenBack`] or [`EndReason::Promoted`].
    pub(crate) by: EndReason,
}

/// A plugin whose handlers refuse all requests.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Disabled {
    pub(crate) since: SystemTime,
}

/// Returns whether a text that an operator has written is the beginning of a digest, with or without
/// `sha256:`.
pub(crate) fn is_beginning(text: &str, digest: &str) -> bool {
    let wanted = digits(text).to_ascii_lowercase();
    !wanted.is_empty() && digest.starts_with(&wanted)
}

/// Returns whether a text is enough of a digest for a reader to know the version: at least as much as
/// texts show.
pub(crate) fn is_confirmation(text: &str) -> bool {
    digits(text).len() >= SHORT_DIGEST
}

/// The digits of a digest that an operator has written.
fn digits(text: &str) -> &str {
    match text.split_at_checked(ALGORITHM.len()) {
        Some((algorithm, digits)) if algorithm.eq_ignore_ascii_case(ALGORITHM) => digits,
        _ => text,
    }
}

/// The first characters of a digest.
pub(super) fn short(digest: &str) -> &str {
    digest.get(..SHORT_DIGEST).unwrap_or(digest)
}

impl EndReason {
    /// A short name.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Replaced => "replaced",
            Self::RolledBack => "rolled_back",
            Self::Promoted => "promoted",
            Self::TakenBack => "taken_back",
            Self::Unpinned => "unpinned",
            Self::Removed => "removed",
        }
    }

    /// Whether the version after it may be taken back. One that the operator has returned to is not; a
    /// promoted one is new. The first one has nothing to return to.
    const fn begins_probation(self) -> bool {
        matches!(self, Self::Replaced | Self::Promoted)
    }
}

impl PluginVersions {
    /// The version in service.
    pub(crate) fn current(&self) -> Option<&Period> {
        self.versions.front().filter(|version| version.ended.is_none())
    }

    /// The rest of the time `within` which the version in service may be taken back, if it may.
    pub(super) fn probation_left(&self, within: Duration, now: SystemTime) -> Option<Duration> {
        let current = self.current()?;
        let before = self.versions.get(1)?.ended?;
        // A clock that was set back makes it begin again.
        let passed = now.duration_since(current.since).unwrap_or_default();
        let left = within.saturating_sub(passed);
        (before.reason.begins_probation() && !left.is_zero()).then_some(left)
    }

    /// Records the end of the version in service.
    pub(super) fn end(&mut self, reason: EndReason) {
        if let Some(version) = self.versions.front_mut().filter(|version| version.ended.is_none()) {
            version.ended = Some(PeriodEnd { at: wall_clock::now(), reason });
        }
    }

    /// The versions whose component is kept, the newest first.
    pub(super) fn kept(&self) -> impl Iterator<Item = &Period> {
        self.versions.iter().filter(|version| version.is_kept)
    }

    /// The digests of the last `count` different components, and of the pinned one.
    fn wanted(&self, count: usize) -> BTreeSet<String> {
        let mut wanted = BTreeSet::new();
        for version in &self.versions {
            if wanted.len() == count {
                break;
            }
            wanted.insert(version.digest.clone());
        }
        wanted.extend(self.pin.as_ref().map(|pin| pin.serves.clone()));
        wanted
    }

    /// The digests of the components of its pin and its candidate.
    fn needed(&self) -> impl Iterator<Item = &str> {
        let pin = self.pin.as_ref().map(|pin| pin.serves.as_str());
        pin.into_iter().chain(self.candidate.as_ref().map(|candidate| candidate.digest.as_str()))
    }

    /// The last kept version with another digest, without versions that were rolled or taken back
    /// when they served last.
    pub(super) fn earlier(&self, digest: &str) -> Option<&Period> {
        let mut seen = BTreeSet::new();
        let mut last_periods = self.versions.iter().filter(|it| seen.insert(it.digest.as_str()));
        last_periods.find(|version| {
            let reason = version.ended.map(|it| it.reason);
            let is_bad = matches!(reason, Some(EndReason::RolledBack | EndReason::TakenBack));
            version.is_kept && version.digest != digest && !is_bad
        })
    }

    /// The kept version whose digest begins with `digest`, with or without `sha256:`.
    pub(super) fn by_digest(&self, plugin: &str, digest: &str) -> Result<&Period, TargetError> {
        let is_it = |version: &&Period| is_beginning(digest, &version.digest);
        let mut found = self.kept().filter(is_it);
        let Some(first) = found.next() else {
            let kept: BTreeSet<&str> = self.kept().map(|version| short(&version.digest)).collect();
            let kept: Vec<&str> = kept.into_iter().collect();
            let kept = match kept.as_slice() {
                [] => "; none is kept".to_owned(),
                kept => format!("; kept are {}", kept.join(", ")),
            };
            let (plugin, digest) = (plugin.to_owned(), digest.to_owned());
            return Err(TargetError::UnknownDigest { plugin, digest, kept });
        };
        if found.any(|version| version.digest != first.digest) {
            return Err(TargetError::Ambiguous(plugin.to_owned(), digest.to_owned()));
        }
        Ok(first)
    }
}

impl Index {
    /// Forgets the oldest versions of each plugin, and plugins that no longer serve if there are too
    /// many. One about which the operator has decided stays: the decision holds if the site has it
    /// again.
    pub(super) fn trim(&mut self) {
        for versions in self.plugins.values_mut() {
            versions.versions.truncate(MAX_VERSIONS);
        }
        let surplus = self.plugins.len().saturating_sub(MAX_PLUGINS);
        let is_decided = |it: &PluginVersions| {
            it.disabled.is_some()
                || it.pin.is_some()
                || it.candidate.is_some()
                || it.stopped_shadow.is_some()
        };
        let gone = self.plugins.iter();
        let gone = gone.filter(|(_, it)| it.current().is_none() && !is_decided(it));
        let mut gone: Vec<(Option<SystemTime>, String)> = gone
            .map(|(name, it)| (it.versions.front().map(|last| last.since), name.clone()))
            .collect();
        gone.sort();
        for (_, name) in gone.into_iter().take(surplus) {
            self.plugins.remove(&name);
        }
    }

    /// The digests of the components to keep.
    pub(super) fn wanted(&self, count: usize) -> BTreeSet<String> {
        self.plugins.values().flat_map(|versions| versions.wanted(count)).collect()
    }

    /// Decides which components are kept: those that are wanted and there.
    pub(super) fn mark_kept(&mut self, count: usize, is_there: impl Fn(&str) -> bool) {
        for versions in self.plugins.values_mut() {
            let wanted = versions.wanted(count);
            for version in &mut versions.versions {
                let digest = &version.digest;
                version.is_kept = wanted.contains(digest) && is_there(digest);
            }
        }
    }

    /// The digests of the components of pins and candidates, which serve after the next start.
    pub(super) fn needed(&self) -> BTreeSet<String> {
        self.plugins.values().flat_map(PluginVersions::needed).map(str::to_owned).collect()
    }

    /// Forgets pins and candidates whose component is not there: a table must not promise what the
    /// next start cannot serve.
    pub(super) fn forget_lost(&mut self, is_there: impl Fn(&str) -> bool) {
        for versions in self.plugins.values_mut() {
            versions.pin.take_if(|pin| !is_there(&pin.serves));
            versions.candidate.take_if(|candidate| !is_there(&candidate.digest));
        }
    }

    /// Takes over which components are kept.
    pub(super) fn take_kept(&mut self, written: &Self) {
        let kept = written.kept();
        for version in self.plugins.values_mut().flat_map(|it| it.versions.iter_mut()) {
            version.is_kept = kept.contains(version.digest.as_str());
        }
    }

    /// The digests of all kept components.
    pub(super) fn kept(&self) -> BTreeSet<&str> {
        let versions = self.plugins.values().flat_map(PluginVersions::kept);
        // A pin may be older than the versions in the table.
        let needed = self.plugins.values().flat_map(PluginVersions::needed);
        versions.map(|version| version.digest.as_str()).chain(needed).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::versions::candidate::Role;

    fn period(digest: &str) -> Period {
        Period {
            digest: digest.to_owned(),
            version: "1.0.0".to_owned(),
            contract: "0.2".to_owned(),
            schema: 0,
            file: "a.wasm".to_owned(),
            since: SystemTime::UNIX_EPOCH,
            cause: "change".to_owned(),
            took: Duration::ZERO,
            ended: None,
            is_kept: false,
        }
    }

    fn index(digests: &[&str]) -> Index {
        let versions = digests.iter().map(|digest| period(digest)).collect();
        let plugin = PluginVersions { versions, ..PluginVersions::default() };
        Index { plugins: BTreeMap::from([("a".to_owned(), plugin)]) }
    }

    fn pin(serves: &str) -> Pin {
        Pin {
            file: "a.wasm".to_owned(),
            replaces: None,
            serves: serves.to_owned(),
            since: SystemTime::UNIX_EPOCH,
            by: EndReason::RolledBack,
        }
    }

    fn shadow(digest: &str) -> Candidate {
        Candidate {
            role: Role::Shadow,
            digest: digest.to_owned(),
            version: "2.0.0".to_owned(),
            source: "b.wasm".to_owned(),
            since: SystemTime::UNIX_EPOCH,
        }
    }

    fn kept(index: &Index) -> String {
        index.kept().into_iter().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn keeps_the_last_different_components_and_pinned_ones() {
        let mut index = index(&["c", "a", "c", "b", "d"]);
        index.mark_kept(2, |_| true);
        assert_eq!(kept(&index), "a c");
        index.plugins.get_mut("a").unwrap().pin = Some(pin("d"));
        index.mark_kept(2, |digest| digest != "a");
        assert_eq!(kept(&index), "c d");
    }

    #[test]
    fn keeps_the_components_of_pins_and_candidates_that_are_in_no_period() {
        let mut index = index(&["a"]);
        let plugin = index.plugins.get_mut("a").unwrap();
        (plugin.pin, plugin.candidate) = (Some(pin("old")), Some(shadow("new")));
        index.mark_kept(2, |_| true);
        assert_eq!(kept(&index), "a new old");
    }

    #[test]
    fn a_version_is_on_probation_for_the_rest_of_the_time_after_a_restart() {
        let left = |reason, since: u64, now: u64| {
            let mut index = index(&["b", "a"]);
            let plugin = index.plugins.get_mut("a").unwrap();
            let at = SystemTime::UNIX_EPOCH;
            plugin.versions[0].since = at + Duration::from_secs(since);
            plugin.versions[1].ended = Some(PeriodEnd { at, reason });
            let left =
                plugin.probation_left(Duration::from_mins(10), at + Duration::from_secs(now));
            left.map(|it| it.as_secs())
        };
        assert_eq!(left(EndReason::Replaced, 1_000, 1_000), Some(600));
        assert_eq!(left(EndReason::Promoted, 1_000, 1_300), Some(300));
        assert_eq!(left(EndReason::Replaced, 1_000, 1_600), None);
        assert_eq!(left(EndReason::Replaced, 1_000, 10), Some(600), "the clock was set back");
        for chosen in [EndReason::RolledBack, EndReason::TakenBack, EndReason::Unpinned] {
            assert_eq!(left(chosen, 1_000, 1_000), None, "the operator has chosen it");
        }
        assert_eq!(left(EndReason::Removed, 1_000, 1_000), None, "it has replaced none");
        let first = index(&["a"]).plugins["a"].probation_left(Duration::MAX, SystemTime::now());
        assert_eq!(first, None);
    }

    #[test]
    fn confirms_a_version_by_as_much_of_its_digest_as_is_shown() {
        let check = |text: &str, expected: bool| assert_eq!(is_confirmation(text), expected);
        check("0123456789ab", true);
        check("SHA256:0123456789ab", true);
        check("0123456789a", false);
        check("sha256:0123456789a", false);
        check("", false);
    }

    #[test]
    fn forgets_pins_whose_component_is_not_there() {
        let mut index = index(&["a"]);
        index.plugins.get_mut("a").unwrap().pin = Some(pin("d"));
        assert_eq!(index.needed(), BTreeSet::from(["d".to_owned()]));
        index.forget_lost(|digest| digest == "d");
        assert!(index.plugins["a"].pin.is_some());
        index.forget_lost(|_| false);
        assert!(index.plugins["a"].pin.is_none() && index.needed().is_empty());
    }

    #[test]
    fn finds_a_kept_version_by_the_beginning_of_its_digest() {
        let mut index = index(&["abc", "abd", "e", "abc"]);
        index.mark_kept(9, |digest| digest != "e");
        let plugin = &index.plugins["a"];
        let find = |digest: &str| {
            let found = plugin.by_digest("a", digest);
            found.map(|it| it.digest.clone()).map_err(|error| error.to_string())
        };
        assert_eq!(find("abc"), Ok("abc".to_owned()));
        assert_eq!(find("sha256:ABD"), Ok("abd".to_owned()));
        assert_eq!(find("SHA256:abd"), Ok("abd".to_owned()));
        assert!(find("ab").unwrap_err().contains("write more of it"));
        assert!(find("e").unwrap_err().ends_with("begins with `e`; kept are abc, abd"));
        assert!(find("").is_err());
    }

    #[test]
    fn returns_past_versions_that_were_rolled_back() {
        let mut index = index(&["b", "c", "b", "a"]);
        index.mark_kept(9, |_| true);
        let plugin = index.plugins.get_mut("a").unwrap();
        let end = |reason| Some(PeriodEnd { at: SystemTime::UNIX_EPOCH, reason });
        plugin.versions[1].ended = end(EndReason::RolledBack);
        plugin.versions[2].ended = end(EndReason::Replaced);
        plugin.versions[3].ended = end(EndReason::Replaced);
        assert_eq!(plugin.earlier("b").unwrap().digest, "a");
        plugin.versions[3].ended = end(EndReason::TakenBack);
        assert!(plugin.earlier("b").is_none());
    }

    #[test]
    fn forgets_plugins_that_no_longer_serve_first() {
        let mut index = Index::default();
        for number in 0..=MAX_PLUGINS {
            let mut plugin = PluginVersions::default();
            plugin.versions.extend((0..MAX_VERSIONS + 5).map(|_| period("a")));
            if number < 5 {
                plugin.end(EndReason::Removed);
            }
            match number {
                0 => plugin.disabled = Some(Disabled { since: SystemTime::UNIX_EPOCH }),
                1 => plugin.stopped_shadow = Some("a".to_owned()),
                2 => plugin.candidate = Some(shadow("b")),
                3 => plugin.pin = Some(pin("c")),
                _ => {}
            }
            index.plugins.insert(format!("{number:05}"), plugin);
        }
        index.trim();
        assert_eq!(index.plugins.len(), MAX_PLUGINS);
        let kept = [0, 1, 2, 3, 4].map(|it| index.plugins.contains_key(&format!("{it:05}")));
        assert_eq!(kept, [true, true, true, true, false], "decisions stay");
        assert_eq!(index.plugins["00100"].versions.len(), MAX_VERSIONS);
    }
}
