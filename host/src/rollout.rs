//! Rollout: changes of the versions in service, by the operator or by the server itself.
//!
//! Each change sets a pin or disables a plugin in [`versions`], reloads the site, and saves the change.
//! If the reload of a roll-back fails, the pin is set back. [`Rollout::watch`] returns to the
//! version before if a new one keeps failing. Called by [`crate::control`] and by `server`.
//!
//! [`versions`]: crate::versions

mod candidate;
mod shadow;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use jackfield_text::Untrusted;
use tokio::sync::Mutex;
use tracing::{error, warn};

use crate::log::DIAGNOSIS;
use crate::reload::{ReloadCause, ReloadRecord, ReloadResult, Reloader};
use crate::shadow::Shadows;
use crate::versions::{Disabled, EndReason, Target, TargetError, entry};

pub(crate) use candidate::CandidateError;

/// The interval of checks while a new version may be taken back.
const CHECK_INTERVAL: Duration = Duration::from_millis(250);

/// Changes versions, one change at a time.
pub(crate) struct Rollout {
    reloader: Arc<Reloader>,
    shadows: Arc<Shadows>,
    /// Held over a roll-back and its reload. Disabling a plugin does not wait for it.
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
        self.return_to(plugin, digest, EndReason::RolledBack, ReloadCause::Control).await
    }

    async fn return_to(
        &self,
        plugin: &str,
        digest: Option<&str>,
        by: EndReason,
        cause: ReloadCause,
    ) -> Result<Target, RolloutError> {
        let _turn = self.turn.lock().await;
        let versions = self.reloader.versions();
        let generations = self.reloader.generations();
        let target = versions.target(&generations.current(), plugin, digest)?;
        let before = versions.pin(&target, by).await?;
        let record = self.reload(cause).await?;
        if record.result == ReloadResult::Failed {
            versions.set_pin(plugin, before);
            // The site as it was before: what it serves is known to be good.
            drop(self.reload(cause).await);
            return Err(RolloutError::Failed(record));
        }
        // Only now, so that the end of the server leaves no pin that has not served.
        versions.save().await;
        self.check_serves(plugin, &target.to)?;
        Ok(target)
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
        let disabled = (!is_enabled).then(|| Disabled { since: SystemTime::now() });
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

    /// Takes back new versions that keep failing, forever.
    pub(crate) async fn watch(&self) {
        loop {
            tokio::time::sleep(CHECK_INTERVAL).await;
            self.take_back_canaries().await;
            let versions = self.reloader.versions();
            if !versions.is_on_probation() {
                continue;
            }
            let generations = self.reloader.generations();
            let failing = versions.failing(&generations.current());
            for plugin in failing {
                self.take_back(&plugin).await;
            }
        }
    }

    async fn take_back(&self, name: &str) {
        let cause = ReloadCause::TakeBack;
        let taken = self.return_to(name, None, EndReason::TakenBack, cause).await;
        let plugin = Untrusted::new(name);
        match taken {
            Ok(Target { file, from, to, version, .. }) => {
                let (version, file) = (Untrusted::new(version), Untrusted::new(file));
                warn!(
                    target: DIAGNOSIS,
                    "the new version of the plugin {plugin} was taken back: it kept failing for \
                     several clients. Version {version} (sha256:{to}) serves again instead of \
                     {file} (sha256:{from})\n  = help: replace the file by a version that works; \
                     `jackfield history` lists the versions"
                );
            }
            Err(error) => {
                if matches!(error, RolloutError::Target(_) | RolloutError::Overtaken) {
                    self.reloader.versions().end_probation(name);
                }
                error!(
                target: DIAGNOSIS,
                "the new version of the plugin {plugin} keeps failing for several clients, and \
                 cannot be taken back: {error}"
                );
            }
        }
    }
}
