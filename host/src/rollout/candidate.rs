//! Changes of candidates: a canary beside the version in service, and its end.

use jackfield_sandbox::Plugin;
use jackfield_text::Untrusted;
use tracing::{error, warn};

use super::{Rollout, RolloutError};
use crate::generation::{ActiveCanary, Canary, Problem, Share};
use crate::log::DIAGNOSIS;
use crate::reload::ReloadCause;
use crate::signatures::OlderRelease;
use crate::site::Component;
use crate::versions::{
    CanaryEnd, Candidate, Role, SourceFile, Versions, entry, is_beginning, word,
};
use crate::wall_clock;

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
        "the plugin `{plugin}` has a {role} already\n  = help: `jackfield promote {}` makes it serve, \
         `jackfield {role} {} --stop` ends it",
        word(.plugin),
        word(.plugin)
    )]
    Occupied {
        /// The plugin of the request.
        plugin: String,
        /// The role of its candidate.
        role: &'static str,
    },
    #[error(
        "the {role} of the plugin `{plugin}` is sha256:{found} now, not {shown}\n  = help: \
         `jackfield {role} {}` shows the present one",
        word(.plugin)
    )]
    OtherDigest {
        /// The plugin of the request.
        plugin: String,
        /// The role of its candidate.
        role: &'static str,
        /// The digest of its candidate.
        found: String,
        /// The digest of the request.
        shown: String,
    },
    #[error(
        "the shadow of the plugin `{0}` is a file of the site, which can change at any time\n  = \
         help: name the version that you have seen: `jackfield promote {name} DIGEST`; \
         `jackfield shadow {name}` shows the digest",
        name = word(.0)
    )]
    DigestNeeded(String),
    #[error(
        "`{shown}` is not enough of a digest to name the version that you have seen: the shadow of \
         the plugin `{plugin}` is a file of the site, which can change at any time\n  = help: write at \
         least 12 digits; `jackfield shadow {}` shows them",
        word(.plugin)
    )]
    DigestTooShort {
        /// The plugin of the request.
        plugin: String,
        /// The text of the request.
        shown: String,
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
    #[error(
        "the {role} of the plugin `{plugin}` is refused as a downgrade: {older} \
         (plugins.refuse_downgrades)\n  = help: sign it again, or promote it in spite of its number: \
         `jackfield promote {} DIGEST --force`",
        word(.plugin)
    )]
    Downgrade {
        /// The plugin of the request.
        plugin: String,
        /// The role of its candidate.
        role: &'static str,
        /// Its number, and the highest one.
        older: OlderRelease,
    },
}

impl Rollout {
    /// Places a canary beside a plugin. Returns it, and whether it is older than a release that has
    /// served.
    ///
    /// # Errors
    /// [`RolloutError`]; the version in service has all topics, as before.
    pub(crate) async fn start_canary(
        &self,
        name: &str,
        file: SourceFile,
        share: Share,
    ) -> Result<(Candidate, Option<OlderRelease>), RolloutError> {
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
            let (path, beside) = (versions.file_of(entry), versions.judged(entry));
            let role = Role::Canary { share, file: path, beside };
            candidate(role, &component, &plugin, &file)
        };
        let older = self.reloader.older_release(name, &candidate.source, &component).await;
        self.reloader.add_canary(component.hash, plugin);
        versions.try_candidate(name, candidate.clone(), component);
        self.finish(ReloadCause::Control).await?;
        versions.save().await;
        let current = generations.current();
        let serves = entry(&current, name)?.canary();
        if serves.is_none_or(|it| it.digest().hex().to_string() != candidate.digest) {
            let ended = versions.ended_canary(name).filter(|it| it.digest == candidate.digest);
            if ended.is_none_or(|it| it.at < candidate.since) {
                return Err(RolloutError::Overtaken);
            }
            let (plugin, reason) = (name.to_owned(), "the log has the reason".to_owned());
            return Err(CandidateError::Refused { file, plugin, reason }.into());
        }
        if let Some(older) = &older {
            older.warn(name, candidate.role.label());
        }
        Ok((candidate, older))
    }

    /// Sets the share of the canary that a plugin has. `shown` is the digest that the operator has seen,
    /// or its beginning: another canary is refused.
    ///
    /// # Errors
    /// [`RolloutError`].
    pub(crate) async fn set_share(
        &self,
        name: &str,
        share: Share,
        shown: Option<&str>,
    ) -> Result<Candidate, RolloutError> {
        let _turn = self.turn.lock().await;
        let versions = self.reloader.versions();
        self.shown_canary(name, shown)?;
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

    /// Ends the canary of a plugin, even if the site has problems. `shown` is the digest that the
    /// operator has seen, or its beginning: another canary is refused.
    ///
    /// # Errors
    /// [`RolloutError`].
    pub(crate) async fn stop_canary(
        &self,
        name: &str,
        shown: Option<&str>,
    ) -> Result<Candidate, RolloutError> {
        let _turn = self.turn.lock().await;
        let candidate = self.shown_canary(name, shown)?;
        self.end_canary(name, &candidate.digest, CanaryEnd::Stopped, ReloadCause::Control).await?;
        Ok(candidate)
    }

    /// The canary of a plugin, unless the operator has seen another one.
    fn shown_canary(&self, name: &str, shown: Option<&str>) -> Result<Candidate, RolloutError> {
        let candidate = self.reloader.versions().candidate(name);
        let candidate = candidate.filter(|it| it.share().is_some());
        let candidate = candidate.ok_or_else(|| self.missing(name, "canary"))?;
        check_shown(name, candidate.role.label(), &candidate.digest, shown)?;
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
        versions.end_candidate(name, digest, reason);
        self.reload(cause).await?;
        versions.save().await;
        Ok(())
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
                    if let Some(older) =
                        self.reloader.older_release(&name, &source, &component).await
                    {
                        older.warn(&name, "canary");
                    }
                    self.reloader.add_canary(component.hash, plugin);
                    are_loaded = true;
                }
                Err(problem) => {
                    versions.end_candidate(&name, &digest, CanaryEnd::Unusable);
                    versions.save().await;
                    let plugin = Untrusted::new(&name);
                    error!(
                        name: "canary.ended",
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
                    name: "canary.taken_back",
                    target: DIAGNOSIS,
                    "the canary of the plugin {plugin} (sha256:{digest}) was stopped automatically: its \
                     circuit breaker opened. The version in service has all topics again\n  = \
                     help: `jackfield canary {}` has its last state",
                    word(&name)
                ),
                Err(error) => error!(
                    name: "canary.take_back_failed",
                    target: DIAGNOSIS,
                    "the circuit breaker of the canary of the plugin {plugin} opened, and the canary \
                     cannot be stopped: {error}"
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
        since: wall_clock::now(),
    }
}

/// Refuses a candidate that is not the one that the operator has seen.
pub(super) fn check_shown(
    name: &str,
    role: &'static str,
    found: &str,
    shown: Option<&str>,
) -> Result<(), CandidateError> {
    let Some(shown) = shown.filter(|shown| !is_beginning(shown, found)) else { return Ok(()) };
    let (plugin, found) = (name.to_owned(), found.to_owned());
    let shown = Untrusted::new(shown).to_string();
    Err(CandidateError::OtherDigest { plugin, role, found, shown })
}
