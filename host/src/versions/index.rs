//! Index of versions: for each plugin the versions that have served, newest first, its pin, and
//! whether it is disabled. Stored as one JSON file.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::candidate::{Candidate, EndedCanary};
use super::target::TargetError;

/// The maximum number of plugins in the table; plugins that no longer serve leave first.
const MAX_PLUGINS: usize = 2_000;
/// The maximum number of versions of a plugin in the table; more than are kept.
const MAX_VERSIONS: usize = 50;
/// The number of characters that name a digest in texts.
const SHORT_DIGEST: usize = 12;

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
    pub(crate) ended: Option<Ended>,
    /// Whether the component is in the folder.
    #[serde(default)]
    pub(crate) is_kept: bool,
}

/// The end of a period.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Ended {
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
pub(super) fn is_beginning(text: &str, digest: &str) -> bool {
    let wanted = text.strip_prefix("sha256:").unwrap_or(text).to_ascii_lowercase();
    !wanted.is_empty() && digest.starts_with(&wanted)
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
            Self::Removed => "removed",
        }
    }
}

impl PluginVersions {
    /// The version in service.
    pub(crate) fn current(&self) -> Option<&Period> {
        self.versions.front().filter(|version| version.ended.is_none())
    }

    /// Records the end of the version in service.
    pub(super) fn end(&mut self, reason: EndReason) {
        if let Some(version) = self.versions.front_mut().filter(|version| version.ended.is_none()) {
            version.ended = Some(Ended { at: SystemTime::now(), reason });
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
    /// many.
    pub(super) fn trim(&mut self) {
        for versions in self.plugins.values_mut() {
            versions.versions.truncate(MAX_VERSIONS);
        }
        let surplus = self.plugins.len().saturating_sub(MAX_PLUGINS);
        let gone = self.plugins.iter().filter(|(_, it)| it.current().is_none());
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
        let candidates = self.plugins.values().filter_map(|it| it.candidate.as_ref());
        let candidates = candidates.map(|candidate| candidate.digest.as_str());
        versions.map(|version| version.digest.as_str()).chain(candidates).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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

    fn kept(index: &Index) -> String {
        index.kept().into_iter().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn keeps_the_last_different_components_and_pinned_ones() {
        let mut index = index(&["c", "a", "c", "b", "d"]);
        index.mark_kept(2, |_| true);
        assert_eq!(kept(&index), "a c");
        let pin = Pin {
            file: "a.wasm".to_owned(),
            replaces: None,
            serves: "d".to_owned(),
            since: SystemTime::UNIX_EPOCH,
            by: EndReason::RolledBack,
        };
        index.plugins.get_mut("a").unwrap().pin = Some(pin);
        index.mark_kept(2, |digest| digest != "a");
        assert_eq!(kept(&index), "c d");
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
        assert!(find("ab").unwrap_err().contains("write more of it"));
        assert!(find("e").unwrap_err().ends_with("begins with `e`; kept are abc, abd"));
        assert!(find("").is_err());
    }

    #[test]
    fn returns_past_versions_that_were_rolled_back() {
        let mut index = index(&["b", "c", "b", "a"]);
        index.mark_kept(9, |_| true);
        let plugin = index.plugins.get_mut("a").unwrap();
        let end = |reason| Some(Ended { at: SystemTime::UNIX_EPOCH, reason });
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
        for number in 0..MAX_PLUGINS + 2 {
            let mut plugin = PluginVersions::default();
            plugin.versions.extend((0..MAX_VERSIONS + 5).map(|_| period("a")));
            if number < 3 {
                plugin.end(EndReason::Removed);
            }
            index.plugins.insert(format!("{number:05}"), plugin);
        }
        index.trim();
        assert_eq!(index.plugins.len(), MAX_PLUGINS);
        assert!(index.plugins.contains_key("00002") && !index.plugins.contains_key("00001"));
        assert_eq!(index.plugins["00100"].versions.len(), MAX_VERSIONS);
    }
}
