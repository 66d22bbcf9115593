//! Changes of shadows that the operator makes.

use std::sync::Arc;

use super::candidate::{candidate, check_shown, of_plugin};
use super::{CandidateError, Rollout, RolloutError};
use crate::shadow::{Shadow, WantedShadow};
use crate::site::Component;
use crate::versions::{CanaryEnd, Candidate, Role, SourceFile, entry};

impl Rollout {
    /// Places a shadow beside a plugin.
    ///
    /// # Errors
    /// [`RolloutError`].
    pub(crate) async fn start_shadow(
        &self,
        name: &str,
        file: SourceFile,
    ) -> Result<Arc<Shadow>, RolloutError> {
        let _turn = self.turn.lock().await;
        let versions = self.reloader.versions();
        if entry(&self.reloader.generations().current(), name)?.is_disabled() {
            return Err(CandidateError::Disabled(name.to_owned()).into());
        }
        self.check_vacant(name)?;
        let component = self.read_candidate(name, &file).await?;
        let loaded = self.reloader.load_apart(&file.to_string(), &component).await;
        let plugin = of_plugin(name, &file, loaded)?;
        let candidate = candidate(Role::Shadow, &component, &plugin, &file);
        let digest = candidate.digest.clone();
        versions.try_candidate(name, candidate, component);
        self.shadows.follow().await;
        let shadow = self.shadows.of(name).filter(|it| it.wanted.digest == digest);
        let Some(shadow) = shadow else {
            versions.withdraw();
            self.shadows.follow().await;
            let reason = self.shadows.failed(name).map(|it| it.reason).unwrap_or_default();
            return Err(CandidateError::NotStarted { file, reason }.into());
        };
        versions.accept();
        versions.save().await;
        Ok(shadow)
    }

    /// Ends the shadow of a plugin: one that the operator has named, or else the file beside the
    /// plugin's, until that changes. `shown` is the digest that the operator has seen, or its beginning:
    /// another shadow is refused. Returns its digest.
    ///
    /// # Errors
    /// [`RolloutError`].
    pub(crate) async fn stop_shadow(
        &self,
        name: &str,
        shown: Option<&str>,
    ) -> Result<String, RolloutError> {
        let _turn = self.turn.lock().await;
        let versions = self.reloader.versions();
        let is_shadow = |it: &Candidate| it.role == Role::Shadow;
        let role = Role::Shadow.label();
        let digest = if let Some(candidate) = versions.candidate(name).filter(is_shadow) {
            check_shown(name, role, &candidate.digest, shown)?;
            versions.end_candidate(name, &candidate.digest, CanaryEnd::Stopped);
            candidate.digest
        } else {
            let digest = self.file_shadow(name)?.0.digest;
            check_shown(name, role, &digest, shown)?;
            versions.stop_shadow(name, &digest);
            digest
        };
        self.shadows.follow().await;
        versions.save().await;
        Ok(digest)
    }

    /// The digest and the content of the shadow's file beside a plugin's.
    pub(super) fn file_shadow(
        &self,
        name: &str,
    ) -> Result<(WantedShadow, Component), RolloutError> {
        let generations = self.reloader.generations();
        let generation = generations.current();
        let wanted = self.shadows.wanted(entry(&generation, name)?);
        wanted.ok_or_else(|| self.missing(name, "shadow"))
    }
}
