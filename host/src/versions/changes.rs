//! Changes of versions: pins, and disabled plugins. `rollout` makes them, and reloads the site.

use super::index::{self, Disabled, PluginVersions};
use super::target::{Target, TargetError};
use super::{Candidate, Versions};
use crate::generation::{Generation, PluginEntry};
use crate::site::Component;

/// The decisions of the operator about a plugin, and the version that serves.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Decisions {
    /// Its digest.
    serves: Option<String>,
    /// The digest of the pinned version.
    pin: Option<String>,
    candidate: Option<Candidate>,
    is_disabled: bool,
    /// The digest of the shadow's file that the operator has stopped.
    stopped_shadow: Option<String>,
}

impl Versions {
    /// Finds the version that a plugin can return to: the one whose digest begins with `digest`, or
    /// the last one before the present one.
    ///
    /// # Errors
    /// [`TargetError`].
    pub(crate) fn target(
        &self,
        generation: &Generation,
        plugin: &str,
        digest: Option<&str>,
    ) -> Result<Target, TargetError> {
        let entry = entry(generation, plugin)?;
        if self.folder.is_none() {
            return Err(TargetError::NothingKept);
        }
        let replaces = self.judged(entry);
        let state = self.lock();
        let from = entry.digest().hex().to_string();
        let none = PluginVersions::default();
        let versions = state.index.plugins.get(plugin).unwrap_or(&none);
        let version = match digest {
            Some(digest) if index::is_beginning(digest, &from) => {
                return Err(TargetError::Current(
                    plugin.to_owned(),
                    index::short(&from).to_owned(),
                ));
            }
            Some(digest) => versions.by_digest(plugin, digest)?,
            None => {
                versions.earlier(&from).ok_or_else(|| TargetError::NoEarlier(plugin.to_owned()))?
            }
        };
        let schema = entry.manifest().schema;
        if version.schema != schema {
            return Err(TargetError::OtherSchema {
                plugin: plugin.to_owned(),
                current: schema,
                digest: index::short(&version.digest).to_owned(),
                other: version.schema,
            });
        }
        Ok(Target {
            plugin: plugin.to_owned(),
            file: self.below(entry.file()).to_owned(),
            replaces,
            from,
            to: version.digest.clone(),
            version: version.version.clone(),
        })
    }

    /// Reads a kept component.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(crate) async fn read_kept(&self, digest: &str) -> Result<Component, std::io::Error> {
        let Some(folder) = self.folder.clone() else {
            return Err(std::io::Error::other("there is no data folder"));
        };
        let digest = digest.to_owned();
        let read = tokio::task::spawn_blocking(move || folder.read(&digest)).await;
        read.map_err(std::io::Error::other)?
    }

    /// The version of a candidate as the target of a promotion.
    ///
    /// # Errors
    /// [`TargetError::UnknownPlugin`].
    pub(crate) fn promotion(
        &self,
        generation: &Generation,
        plugin: &str,
        digest: String,
        version: String,
    ) -> Result<Target, TargetError> {
        let entry = entry(generation, plugin)?;
        Ok(Target {
            plugin: plugin.to_owned(),
            file: self.file_of(entry),
            replaces: self.judged(entry),
            from: entry.digest().hex().to_string(),
            to: digest,
            version,
        })
    }

    /// The path of a plugin's file below the site.
    pub(crate) fn file_of(&self, entry: &PluginEntry) -> String {
        self.below(entry.file()).to_owned()
    }

    /// The decisions about a plugin.
    pub(crate) fn decisions(&self, plugin: &str) -> Option<Decisions> {
        let state = self.lock();
        let versions = state.index.plugins.get(plugin)?;
        Some(Decisions {
            serves: versions.current().map(|it| it.digest.clone()),
            pin: versions.pin.as_ref().map(|it| it.serves.clone()),
            candidate: versions.candidate.clone(),
            is_disabled: versions.disabled.is_some(),
            stopped_shadow: versions.stopped_shadow.clone(),
        })
    }

    /// Disables or enables a plugin, from the next reload on. Returns whether this is a change.
    ///
    /// # Errors
    /// [`TargetError::UnknownPlugin`]: no such plugin serves.
    pub(crate) fn set_disabled(
        &self,
        generation: &Generation,
        plugin: &str,
        disabled: Option<Disabled>,
    ) -> Result<bool, TargetError> {
        entry(generation, plugin)?;
        {
            let mut state = self.lock();
            let versions = state.index.plugins.entry(plugin.to_owned()).or_default();
            if versions.disabled.is_some() == disabled.is_some() {
                return Ok(false);
            }
            versions.disabled = disabled;
        }
        Ok(true)
    }
}

/// The plugin of this name that serves.
///
/// # Errors
/// [`TargetError::UnknownPlugin`].
pub(crate) fn entry<'g>(
    generation: &'g Generation,
    plugin: &str,
) -> Result<&'g PluginEntry, TargetError> {
    let entries = generation.plugins();
    let name = |entry: &'g PluginEntry| entry.manifest().name.as_str();
    entries.iter().find(|entry| name(entry) == plugin).ok_or_else(|| {
        let near = jackfield_yaml::suggest::nearest(plugin, entries.iter().map(name));
        let hint = near.map(|name| format!("; did you mean `{name}`?")).unwrap_or_default();
        TargetError::UnknownPlugin { name: plugin.to_owned(), hint }
    })
}
