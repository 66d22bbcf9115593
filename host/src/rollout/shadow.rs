//! Changes of shadows that the operator makes.

use std::sync::Arc;

use super::candidate::{candidate, of_plugin};
use super::{CandidateError, Rollout, RolloutError};
use crate::shadow::Shadow;
use crate::versions::{Candidate, Role, SourceFile, entry};

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
        versions.set_candidate(name, Some(candidate), Some(component));
        self.shadows.follow().await;
        let Some(shadow) = self.shadows.of(name) else {
            versions.set_candidate(name, None, None);
            self.shadows.follow().await;
            let reason = self.shadows.failed(name).map(|it| it.reason).unwrap_or_default();
            return Err(CandidateError::NotStarted { file, reason }.into());
        };
        versions.save().await;
        Ok(shadow)
    }

    /// Ends the shadow of a plugin: one that the operator has named, or else the file beside the
    /// plugin's, until that changes. Returns its digest.
    ///
    /// # Errors
    /// [`RolloutError`].
    pub(crate) async fn stop_shadow(&self, name: &str) -> Result<String, RolloutError> {
        let _turn = self.turn.lock().await;
        let versions = self.reloader.versions();
        let is_shadow = |it: &Candidate| it.role == Role::Shadow;
        let digest = if let Some(candidate) = versions.candidate(name).filter(is_shadow) {
            versions.set_candidate(name, None, None);
            candidate.digest
        } else {
            let digest = self.file_shadow(name)?.0;
            versions.stop_shadow(name, &digest);
            digest
        };
        self.shadows.follow().await;
        versions.save().await;
        Ok(digest)
    }

    /// The digest and the content of the shadow's file beside a plugin's.
    fn file_shadow(&self, name: &str) -> Result<(String, crate::site::Component), RolloutError> {
        let generations = self.reloader.generations();
        let generation = generations.current();
        let wanted = self.shadows.wanted(entry(&generation, name)?);
        let wanted = wanted.map(|(wanted, component)| (wanted.digest, component));
        wanted.ok_or_else(|| self.missing(name, "shadow"))
    }

    /// The component that a promotion makes serve: the candidate, or the shadow's file.
    pub(super) fn to_promote(
        &self,
        name: &str,
    ) -> Result<(String, String, crate::site::Component), RolloutError> {
        let versions = self.reloader.versions();
        let missing = || self.missing(name, "shadow or canary");
        if let Some(Candidate { digest, version, .. }) = versions.candidate(name) {
            let component = versions.component(&digest).ok_or_else(missing)?;
            return Ok((digest, version, component));
        }
        let (digest, component) = self.file_shadow(name).map_err(|_none| missing())?;
        // A shadow that cannot be loaded cannot serve: the reload says why.
        let version = self.shadows.of(name).map(|it| it.version().to_owned()).unwrap_or_default();
        Ok((digest, version, component))
    }
}
