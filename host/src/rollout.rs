//! Rollout: changes of the versions in service, by the operator or by the server itself.
//!
//! Each change sets a pin or disables a plugin in [`versions`], reloads the site, and saves the change.
//! A pin or a candidate is tried first: it is part of the table only after its reload has succeeded,
//! and it holds for the file that was in service when it was decided. [`Rollout::watch`] returns to the
//! version before if a new one keeps failing. Called by [`crate::control`] and by `server`.
//!
//! [`versions`]: crate::versions

mod candidate;
mod promotion;
mod shadow;

use std::sync::Arc;
use std::time::Duration;

use jackfield_text::Untrusted;
use tokio::sync::Mutex;
use tracing::{error, warn};

use crate::log::DIAGNOSIS;
use crate::reload::{ReloadCause, ReloadRecord, ReloadResult, Reloader};
use crate::shadow::Shadows;
use crate::versions::{Disabled, EndReason, Target, TargetError, entry};
use crate::wall_clock;

pub(crate) use candidate::CandidateError;

/// The interval of checks while a new version may be taken back.
const CHECK_INTERVAL: Duration = Duration::from_millis(250);

/// Changes versions, one change at a time.
pub(crate) struct Rollout {
    reloader: Arc<Reloader>,
    shadows: Arc<Shadows>,
    /// Held over a change and its reload. Disabling a plugin does not wait for it: it is the last
    /// resort against a plugin that does harm, and a reload can take long.
    turn: Mutex<()>,
}

/// The reason why a change was not made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RolloutError {
    /// There is no such version.
    #[error("{0}")]
    Target(#[from] TargetError),
    /// The shadow or canary of the request cannot be one.
    #[error("{0}")]
    Candidate(#[from] CandidateError),
    /// The kept component cannot be read.
    #[error("{0}")]
    Unreadable(#[from] std::io::Error),
    /// The site has problems with this version; the versions in service stay.
    #[error("the site has problems; the versions in service stay")]
    Failed(Arc<ReloadRecord>),
    /// Another version serves.
    #[error(
        "the file of the plugin was replaced or removed meanwhile; `jackfield status` shows which version serves"
    )]
    Overtaken,
    /// The result of the reload is not known.
    #[error("the result of the reload is not known")]
    Lost,
}

impl Rollout {
    pub(crate) fn new(reloader: Arc<Reloader>, shadows: Arc<Shadows>) -> Self {
        Self { reloader, shadows, turn: Mutex::default() }
    }

    /// The shadows of plugins.
    pub(crate) fn shadows(&self) -> &Shadows {
        &self.shadows
    }

    /// Returns to the version whose digest begins with `digest`, or to the last one before the
    /// present one.
    ///
    /// # Errors
    /// [`RolloutError`]; the version in service stays.
    pub(crate) async fn roll_back(
        &self,
        plugin: &str,
        digest: Option<&str>,
    ) -> Result<Target, RolloutError> {
        let _turn = self.turn.lock().await;
        self.return_to(plugin, digest, EndReason::RolledBack, ReloadCause::Control).await
    }

    async fn return_to(
        &self,
        plugin: &str,
        digest: Option<&str>,
        by: EndReason,
        cause: ReloadCause,
    ) -> Result<Target, RolloutError> {
        let versions = self.reloader.versions();
        let generations = self.reloader.generations();
        let target = versions.target(&generations.current(), plugin, digest)?;
        let component = versions.read_kept(&target.to).await?;
        versions.try_pin(&target, component, by);
        self.finish(cause).await?;
        versions.save().await;
        self.check_serves(plugin, &target.to)?;
        Ok(target)
    }

    /// Ends the pin of a plugin, whose file serves again. Returns the version that serves, or `None` if
    /// there was no pin.
    ///
    /// # Errors
    /// [`RolloutError`]; the pinned version stays.
    pub(crate) async fn unpin(&self, plugin: &str) -> Result<Option<Target>, RolloutError> {
        let _turn = self.turn.lock().await;
        let versions = self.reloader.versions();
        let generations = self.reloader.generations();
        let from = entry(&generations.current(), plugin)?.digest().hex().to_string();
        if versions.pin(plugin).is_none() {
            // Again, if an earlier attempt has failed.
            if versions.unsaved().is_some() {
                versions.save().await;
            }
            return Ok(None);
        }
        versions.try_unpin(plugin);
        self.finish(ReloadCause::Control).await?;
        versions.save().await;
        let generation = generations.current();
        let entry = entry(&generation, plugin)?;
        Ok(Some(Target {
            plugin: plugin.to_owned(),
            file: versions.file_of(entry),
            replaces: None,
            from,
            to: entry.digest().hex().to_string(),
            version: entry.manifest().version.clone(),
        }))
    }

    /// Reloads the site with the attempt of this change, and accepts or withdraws it.
    async fn finish(&self, cause: ReloadCause) -> Result<(), RolloutError> {
        let versions = self.reloader.versions();
        let record = self.reload(cause).await;
        if let Ok(record) = &record
            && record.result != ReloadResult::Failed
        {
            versions.accept();
            return Ok(());
        }
        versions.withdraw();
        // The site as it was before: what it serves is known to be good.
        drop(self.reload(cause).await);
        Err(RolloutError::Failed(record?))
    }

    /// Checks that a version serves, after a reload that was to put it into service.
    fn check_serves(&self, plugin: &str, digest: &str) -> Result<(), RolloutError> {
        let generations = self.reloader.generations();
        match entry(&generations.current(), plugin) {
            Ok(entry) if entry.digest().hex().to_string() == digest => Ok(()),
            Ok(_) | Err(_) => Err(RolloutError::Overtaken),
        }
    }

    /// Disables or enables a plugin. Returns whether this was a change. It takes effect even if the
    /// site has problems.
    ///
    /// # Errors
    /// [`RolloutError`].
    pub(crate) async fn set_enabled(
        &self,
        plugin: &str,
        is_enabled: bool,
    ) -> Result<bool, RolloutError> {
        let disabled = (!is_enabled).then(|| Disabled { since: wall_clock::now() });
        let versions = self.reloader.versions();
        let generations = self.reloader.generations();
        let is_change = versions.set_disabled(&generations.current(), plugin, disabled)?;
        if is_change {
            self.reload(ReloadCause::Control).await?;
        }
        // Again, if an earlier attempt has failed.
        if is_change || versions.unsaved().is_some() {
            versions.save().await;
        }
        Ok(is_change)
    }

    async fn reload(&self, cause: ReloadCause) -> Result<Arc<ReloadRecord>, RolloutError> {
        let ticket = self.reloader.trigger(cause);
        self.reloader.answer(ticket).await.ok_or(RolloutError::Lost)
    }

    /// Takes back new versions that keep failing, and writes again what could not be written, forever.
    pub(crate) async fn watch(&self) {
        loop {
            tokio::time::sleep(CHECK_INTERVAL).await;
            self.take_back_canaries().await;
            let versions = self.reloader.versions();
            versions.retry().await;
            if !versions.is_on_probation() {
                continue;
            }
            let generations = self.reloader.generations();
            let failing = versions.failing(&generations.current());
            for (plugin, digest) in failing {
                self.take_back(&plugin, &digest).await;
            }
        }
    }

    /// Takes back a version, unless another one serves by now.
    async fn take_back(&self, name: &str, digest: &str) {
        let _turn = self.turn.lock().await;
        if self.check_serves(name, digest).is_err() {
            return;
        }
        let cause = ReloadCause::TakeBack;
        let taken = self.return_to(name, None, EndReason::TakenBack, cause).await;
        let plugin = Untrusted::new(name);
        match taken {
            Ok(Target { file, from, to, version, .. }) => {
                let (version, file) = (Untrusted::new(version), Untrusted::new(file));
                warn!(
                    name: "version.taken_back",
                    target: DIAGNOSIS,
                    "the new version of the plugin {plugin} was rolled back automatically: its circuit \
                     breaker opened. Version {version} (sha256:{to}) serves again instead of \
                     {file} (sha256:{from})\n  = help: replace the file by a version that works; \
                     `jackfield history` lists the versions"
                );
            }
            Err(error) => {
                if matches!(error, RolloutError::Target(_) | RolloutError::Overtaken) {
                    self.reloader.versions().end_probation(name, digest);
                }
                error!(
                name: "version.take_back_failed",
                target: DIAGNOSIS,
                "the circuit breaker of the new version of the plugin {plugin} opened, and the version \
                 cannot be rolled back: {error}"
                );
            }
        }
    }
}
