//! Changes of versions: pins, and disabled plugins. `rollout` makes them, and reloads the site.

use std::collections::BTreeSet;
use std::time::SystemTime;

use super::index::{self, Disabled, EndReason, Pin, PluginVersions};
use super::target::{Target, TargetError};
use super::{State, Versions};
use crate::generation::{Generation, PluginEntry};
use crate::site::Component;

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
            from,
            to: version.digest.clone(),
            version: version.version.clone(),
        })
    }

    /// Pins the target. It serves after the next reload; [`Versions::save`] makes it survive the end
    /// of the server. Returns the pin before, for [`Versions::set_pin`].
    ///
    /// # Errors
    /// When the kept component cannot be read.
    pub(crate) async fn pin(
        &self,
        target: &Target,
        by: EndReason,
    ) -> Result<Option<Pin>, std::io::Error> {
        let Some(folder) = self.folder.clone() else {
            return Err(std::io::Error::other("there is no data folder"));
        };
        let digest = target.to.clone();
        let read = tokio::task::spawn_blocking(move || folder.read(&digest)).await;
        let component = read.map_err(std::io::Error::other)??;
        Ok(self.pin_component(target, component, by))
    }

    /// As [`Versions::pin`], for a component that is at hand.
    pub(crate) fn pin_component(
        &self,
        target: &Target,
        component: Component,
        by: EndReason,
    ) -> Option<Pin> {
        let mut state = self.lock();
        state.pinned.insert(target.to.clone(), component);
        let versions = state.index.plugins.entry(target.plugin.clone()).or_default();
        versions.pin.replace(Pin {
            file: target.file.clone(),
            replaces: None,
            serves: target.to.clone(),
            since: SystemTime::now(),
            by,
        })
    }

    /// The version of a candidate as the target of a promotion.
    ///
    /// # Errors
    /// [`TargetError::UnknownPlugin`].
    pub(crate) fn promotion(
        &self,
        generation: &Generation,
        plugin: &str,
        digest: &str,
        version: &str,
    ) -> Result<Target, TargetError> {
        let entry = entry(generation, plugin)?;
        Ok(Target {
            plugin: plugin.to_owned(),
            file: self.below(entry.file()).to_owned(),
            from: entry.digest().hex().to_string(),
            to: digest.to_owned(),
            version: version.to_owned(),
        })
    }

    /// Sets the pin of a plugin again, as it was before a failed change.
    pub(crate) fn set_pin(&self, plugin: &str, pin: Option<Pin>) {
        if let Some(versions) = self.lock().index.plugins.get_mut(plugin) {
            versions.pin = pin;
        }
    }

    /// Makes the pins and the disabled plugins survive the end of the server.
    pub(crate) async fn save(&self) {
        let pinned = {
            let mut state = self.lock();
            let State { index, pinned, .. } = &mut *state;
            let digests = |it: &PluginVersions| {
                let pin = it.pin.as_ref().map(|pin| pin.serves.clone());
                [pin, it.candidate.as_ref().map(|candidate| candidate.digest.clone())]
            };
            let used: BTreeSet<String> =
                index.plugins.values().flat_map(digests).flatten().collect();
            pinned.retain(|digest, _| used.contains(digest));
            // Another version may have taken its place in the folder meanwhile.
            pinned.values().cloned().collect()
        };
        self.write(pinned).await;
    }

    /// Returns whether changes survive the end of the server.
    pub(crate) const fn are_kept(&self) -> bool {
        self.folder.is_some()
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
