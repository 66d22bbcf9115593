//! Changes of candidates: a canary beside the version in service, its end, and promotion.

use std::time::SystemTime;

use jackfield_sandbox::Plugin;
use jackfield_text::Untrusted;
use tracing::{error, warn};

use super::{Rollout, RolloutError};
use crate::generation::{ActiveCanary, Canary, Problem, Share};
use crate::log::DIAGNOSIS;
use crate::reload::{ReloadCause, ReloadResult};
use crate::site::Component;
use crate::versions::{CanaryEnd, Candidate, EndReason, Role, SourceFile, Target, Versions, entry};

/// The reason why a candidate was not placed, promoted or stopped.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CandidateError {
    #[error("failed to read {file}: {source}")]
    Unreadable {
        /// The file of the request.
        file: SourceFile,
        /// The system's reason.
        source: std::io::Error,
    },
    #[error("the component cannot be loaded\n{0}")]
    Broken(Problem),
    #[error("{file} is a version of the plugin `{found}`, not of `{plugin}`")]
    OtherPlugin {
        /// The file of the request.
        file: SourceFile,
        /// The name in its manifest.
        found: String,
        /// The plugin of the request.
        plugin: String,
    },
    #[error("{file} is the version of the plugin `{plugin}` that is in service already")]
    InService {
        /// The file of the request.
        file: SourceFile,
        /// The plugin of the request.
        plugin: String,
    },
    #[error(
        "the plugin `{plugin}` has the store layout {current} (`schema`), and {file} has {new}: both \
         versions would write to one store\n  = help: try it as a shadow, which writes nothing, and \
         deploy a version that reads both layouts"
    )]
    OtherSchema {
        /// The file of the request.
        file: SourceFile,
        /// The plugin of the request.
        plugin: String,
        /// The number of the layout in service.
        current: u32,
        /// The number of the file's layout.
        new: u32,
    },
    #[error(
        "the plugin `{plugin}` has a {role} already\n  = help: `jackfield promote {plugin}` makes it \
         serve, `jackfield {role} {plugin} --stop` ends it"
    )]
    Occupied {
        /// The plugin of the request.
        plugin: String,
        /// The role of its candidate.
        role: &'static str,
    },
    #[error("the plugin `{plugin}` has no {role}")]
    Missing {
        /// The plugin of the request.
        plugin: String,
        /// The role that the request is about.
        role: &'static str,
    },
    #[error("{file} cannot serve the routes of the plugin `{plugin}`: {reason}")]
    Refused {
        /// The file of the request.
        file: SourceFile,
        /// The plugin of the request.
        plugin: String,
        /// The reason of the sandbox or of the plugin.
        reason: String,
    },
    #[error("{file} cannot be a shadow: {reason}")]
    NotStarted {
        /// The file of the request.
        file: SourceFile,
        /// The reason.
        reason: String,
    },
    #[error("the canary of the plugin `{0}` does not serve yet; the log has the reason")]
    NotServing(String),
    #[error("the plugin `{0}` is disabled: enable it first")]
    Disabled(String),
}

impl Rollout {
    /// Places a canary beside a plugin.
    ///
    /// # Errors
    /// [`RolloutError`]; the version in service has all topics, as before.
    pub(crate) async fn start_canary(
        &self,
        name: &str,
        file: SourceFile,
        share: Share,
    ) -> Result<Candidate, RolloutError> {
        let _turn = self.turn.lock().await;
        let versions = self.reloader.versions();
        let generations = self.reloader.generations();
        if entry(&generations.current(), name)?.is_disabled() {
            return Err(CandidateError::Disabled(name.to_owned()).into());
        }
        self.check_vacant(name)?;
        let component = self.read_candidate(name, &file).await?;
        let loaded = self.reloader.load(&file.to_string(), &component).await;
        let plugin = of_plugin(name, &file, loaded)?;
        let candidate = {
            let generation = generations.current();
            let entry = entry(&generation, name)?;
            let (current, new) = (entry.manifest().schema, plugin.manifest().schema);
            if current != new {
                let plugin = name.to_owned();
                return Err(CandidateError::OtherSchema { file, plugin, current, new }.into());
            }
            let target = versions.promotion(&generation, name, "", "")?;
            let role = Role::Canary { share, file: target.file, beside: None };
            candidate(role, &component, &plugin, &file)
        };
        self.reloader.add_canary(component.hash, plugin);
        versions.set_candidate(name, Some(candidate.clone()), Some(component));
        let record = self.reload(ReloadCause::Control).await?;
        if record.result == ReloadResult::Failed {
            versions.set_candidate(name, None, None);
            drop(self.reload(ReloadCause::Control).await);
            return Err(RolloutError::Failed(record));
        }
        versions.save().await;
        let current = generations.current();
        let serves = entry(&current, name)?.canary();
        if serves.is_none_or(|it| it.digest().hex().to_string() != candidate.digest) {
            let (plugin, reason) = (name.to_owned(), "the log has the reason".to_owned());
            return Err(CandidateError::Refused { file, plugin, reason }.into());
        }
        Ok(candidate)
    }

    /// Sets the share of the canary that a plugin has.
    ///
    /// # Errors
    /// [`RolloutError`].
    pub(crate) async fn set_share(
        &self,
        name: &str,
        share: Share,
    ) -> Result<Candidate, RolloutError> {
        let _turn = self.turn.lock().await;
        let versions = self.reloader.versions();
        let candidate = versions.set_share(name, share);
        let candidate = candidate.ok_or_else(|| self.missing(name, "canary"))?;
        // It takes effect even if the site has problems.
        self.reload(ReloadCause::Control).await?;
        versions.save().await;
        let generations = self.reloader.generations();
        let current = generations.current();
        let is_it = |it: &&Canary| it.digest().hex().to_string() == candidate.digest;
        let serving = entry(&current, name)?.canary().filter(is_it);
        if serving.is_none_or(|it| it.share() != share) {
            return Err(CandidateError::NotServing(name.to_owned()).into());
        }
        Ok(candidate)
    }

    /// Ends the canary of a plugin, even if the site has problems.
    ///
    /// # Errors
    /// [`RolloutError`].
    pub(crate) async fn stop_canary(&self, name: &str) -> Result<Candidate, RolloutError> {
        let _turn = self.turn.lock().await;
        let candidate = self.reloader.versions().candidate(name);
        let candidate = candidate.filter(|it| it.share().is_some());
        let candidate = candidate.ok_or_else(|| self.missing(name, "canary"))?;
        self.end_canary(name, &candidate.digest, CanaryEnd::Stopped, ReloadCause::Control).await?;
        Ok(candidate)
    }

    async fn end_canary(
        &self,
        name: &str,
        digest: &str,
        reason: CanaryEnd,
        cause: ReloadCause,
    ) -> Result<(), RolloutError> {
        let versions = self.reloader.versions();
        versions.end_canary(name, digest, reason);
        self.reload(cause).await?;
        versions.save().await;
        Ok(())
    }

    /// Makes the candidate of a plugin serve: it is pinned over the plugin's file.
    ///
    /// # Errors
    /// [`RolloutError`]; the version in service stays.
    pub(crate) async fn promote(&self, name: &str) -> Result<Target, RolloutError> {
        let _turn = self.turn.lock().await;
        let versions = self.reloader.versions();
        let generations = self.reloader.generations();
        let target = versions.promotion(&generations.current(), name, "", "")?;
        let (digest, version, component) = self.to_promote(name)?;
        let target = Target { to: digest.clone(), version, ..target };
        let before = versions.pin_component(&target, component, EndReason::Promoted);
        let record = self.reload(ReloadCause::Control).await?;
        if record.result == ReloadResult::Failed {
            versions.set_pin(name, before);
            drop(self.reload(ReloadCause::Control).await);
            return Err(RolloutError::Failed(record));
        }
        versions.end_canary(name, &digest, CanaryEnd::Promoted);
        let others = versions.candidate(name).filter(|it| it.digest != digest);
        versions.set_candidate(name, others, None);
        versions.save().await;
        self.shadows.notify();
        self.check_serves(name, &digest)?;
        Ok(target)
    }

    /// Reads the component of a candidate. The version in service is refused.
    pub(super) async fn read_candidate(
        &self,
        name: &str,
        file: &SourceFile,
    ) -> Result<Component, RolloutError> {
        let path = file.path().to_owned();
        let reading = tokio::task::spawn_blocking(move || Versions::read_file(&path)).await;
        let unreadable = |source| CandidateError::Unreadable { file: file.clone(), source };
        let component = reading.map_err(std::io::Error::other).flatten().map_err(unreadable)?;
        let generations = self.reloader.generations();
        if entry(&generations.current(), name)?.digest() == component.hash {
            let plugin = name.to_owned();
            return Err(CandidateError::InService { file: file.clone(), plugin }.into());
        }
        Ok(component)
    }

    /// Refuses a second candidate of a plugin.
    pub(super) fn check_vacant(&self, name: &str) -> Result<(), RolloutError> {
        match self.reloader.versions().candidate(name) {
            None => Ok(()),
            Some(it) => {
                let (plugin, role) = (name.to_owned(), it.role.label());
                Err(CandidateError::Occupied { plugin, role }.into())
            }
        }
    }

    /// The error for a plugin without a candidate, or for a name that is no plugin.
    pub(super) fn missing(&self, name: &str, role: &'static str) -> RolloutError {
        match entry(&self.reloader.generations().current(), name) {
            Err(error) => error.into(),
            Ok(_) => CandidateError::Missing { plugin: name.to_owned(), role }.into(),
        }
    }

    /// Loads the canaries that served when the server ended. Until then the versions in service have
    /// all topics.
    pub(crate) async fn resume_canaries(&self) {
        let versions = self.reloader.versions();
        let mut are_loaded = false;
        for ActiveCanary { plugin: name, digest, .. } in versions.canaries() {
            let Some(component) = versions.component(&digest) else { continue };
            let source = versions.candidate(&name).map(|it| it.source).unwrap_or_default();
            match self.reloader.load(&source, &component).await {
                Ok(plugin) => {
                    self.reloader.add_canary(component.hash, plugin);
                    are_loaded = true;
                }
                Err(problem) => {
                    versions.end_canary(&name, &digest, CanaryEnd::Unusable);
                    let plugin = Untrusted::new(&name);
                    error!(
                        target: DIAGNOSIS,
                        "the canary of the plugin {plugin} has ended: it cannot be loaded\n{problem}"
                    );
                }
            }
        }
        if are_loaded {
            // The result is in the history of reloads.
            drop(self.reload(ReloadCause::Control).await);
        }
    }

    /// The plugins and digests of the canaries that fail for several clients.
    fn failing_canaries(&self) -> Vec<(String, String)> {
        let generations = self.reloader.generations();
        let generation = generations.current();
        let entries = generation.plugins().iter();
        let canaries = entries.filter_map(|it| Some((it.manifest().name.clone(), it.canary()?)));
        let failing = canaries.filter(|(_, it)| it.circuits().any(|it| it.opened_for_all > 0));
        failing.map(|(name, it)| (name, it.digest().hex().to_string())).collect()
    }

    /// Takes back canaries that keep failing for several clients.
    pub(super) async fn take_back_canaries(&self) {
        for (name, digest) in self.failing_canaries() {
            let _turn = self.turn.lock().await;
            // It may have ended, or been replaced, while another change had the turn.
            if !self.failing_canaries().contains(&(name.clone(), digest.clone())) {
                continue;
            }
            let cause = ReloadCause::TakeBack;
            let ended = self.end_canary(&name, &digest, CanaryEnd::TakenBack, cause).await;
            let plugin = Untrusted::new(&name);
            match ended {
                Ok(()) => warn!(
                    target: DIAGNOSIS,
                    "the canary of the plugin {plugin} (sha256:{digest}) was taken back: it kept \
                     failing for several clients. The version in service has all topics again\n  = \
                     help: `jackfield canary {plugin}` has its last state"
                ),
                Err(error) => error!(
                    target: DIAGNOSIS,
                    "the canary of the plugin {plugin} keeps failing for several clients, and cannot \
                     be taken back: {error}"
                ),
            }
        }
    }
}

/// The loaded component, if it is a version of the plugin.
pub(super) fn of_plugin(
    name: &str,
    file: &SourceFile,
    loaded: Result<Plugin, Problem>,
) -> Result<Plugin, CandidateError> {
    let plugin = loaded.map_err(CandidateError::Broken)?;
    let found = &plugin.manifest().name;
    if found == name {
        return Ok(plugin);
    }
    let (file, found, plugin) = (file.clone(), found.clone(), name.to_owned());
    Err(CandidateError::OtherPlugin { file, found, plugin })
}

pub(super) fn candidate(
    role: Role,
    component: &Component,
    plugin: &Plugin,
    file: &SourceFile,
) -> Candidate {
    Candidate {
        role,
        digest: component.hash.hex().to_string(),
        version: plugin.manifest().version.clone(),
        source: file.to_string(),
        since: SystemTime::now(),
    }
}
