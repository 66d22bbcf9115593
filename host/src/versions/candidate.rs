//! Candidates: new versions that the operator has placed beside the version in service.
//!
//! A *shadow* sees the calls of the version in service, and its answers are thrown away. A *canary*
//! serves a share of the topics. A plugin has one candidate at most. Candidates are kept in the
//! folder by digest, as pinned components are, and survive the end of the server.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::generation::Share;
use crate::wall_clock;

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
    pub(super) fn ended(&self, reason: CanaryEnd) -> Option<EndedCanary> {
        let (digest, version) = (self.digest.clone(), self.version.clone());
        let at = wall_clock::now();
        self.share().map(|share| EndedCanary { digest, version, share, at, reason })
    }
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
