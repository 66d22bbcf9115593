//! Promotion: the shadow or the canary of a plugin serves all topics. It is pinned over the plugin's file.

use jackfield_text::Untrusted;

use super::candidate::check_shown;
use super::{CandidateError, Rollout, RolloutError};
use crate::reload::ReloadCause;
use crate::shadow::WantedShadow;
use crate::signatures::OlderRelease;
use crate::site::Component;
use crate::versions::{CanaryEnd, Candidate, EndReason, Role, Target, is_confirmation};

/// A component that is to be promoted.
struct Promoted {
    digest: String,
    version: String,
    component: Component,
    /// Set for a release that is older than one that has served.
    older: Option<OlderRelease>,
}

impl Rollout {
    /// Makes the candidate of a plugin serve. `shown` is the digest that the operator has seen, or its
    /// beginning: another candidate is refused. It is needed for a file of the site, which can change at
    /// any time, with twelve digits. Where the settings refuse downgrades, `is_forced` permits one. Returns whether it is one.
    ///
    /// # Errors
    /// [`RolloutError`]; the version in service stays.
    pub(crate) async fn promote(
        &self,
        name: &str,
        shown: Option<&str>,
        is_forced: bool,
    ) -> Result<(Target, Option<OlderRelease>), RolloutError> {
        let _turn = self.turn.lock().await;
        let versions = self.reloader.versions();
        let generations = self.reloader.generations();
        let promoted = self.to_promote(name, shown, is_forced).await?;
        let Promoted { digest, version, component, older } = promoted;
        let target = versions.promotion(&generations.current(), name, digest.clone(), version)?;
        versions.try_pin(&target, component, EndReason::Promoted);
        self.finish(ReloadCause::Control).await?;
        let serves = self.check_serves(name, &digest);
        if serves.is_ok() {
            versions.end_candidate(name, &digest, CanaryEnd::Promoted);
            if let Some(older) = &older {
                older.warn(name, "promoted version");
            }
        }
        versions.save().await;
        self.shadows.notify();
        serves.map(|()| (target, older))
    }

    /// The component that a promotion makes serve: the candidate, or the shadow's file.
    async fn to_promote(
        &self,
        name: &str,
        shown: Option<&str>,
        is_forced: bool,
    ) -> Result<Promoted, RolloutError> {
        let versions = self.reloader.versions();
        let missing = || self.missing(name, "shadow or canary");
        if let Some(Candidate { digest, version, role, source, .. }) = versions.candidate(name) {
            let role = role.label();
            check_shown(name, role, &digest, shown)?;
            let component = versions.component(&digest).ok_or_else(missing)?;
            let older = self.check_number(name, role, &source, &component, is_forced).await?;
            return Ok(Promoted { digest, version, component, older });
        }
        let (wanted, component) = self.file_shadow(name).map_err(|_none| missing())?;
        let WantedShadow { digest, source, .. } = wanted;
        match shown {
            None => return Err(CandidateError::DigestNeeded(name.to_owned()).into()),
            Some(shown) if !is_confirmation(shown) => {
                let (plugin, shown) = (name.to_owned(), Untrusted::new(shown).to_string());
                return Err(CandidateError::DigestTooShort { plugin, shown }.into());
            }
            Some(_) => {}
        }
        let role = Role::Shadow.label();
        check_shown(name, role, &digest, shown)?;
        let older = self.check_number(name, role, &source, &component, is_forced).await?;
        let plugin = if is_forced {
            self.reloader.load_apart(&source, &component).await
        } else {
            self.reloader.load_of_site(&source, &component).await
        };
        let plugin = plugin.map_err(CandidateError::Broken)?;
        let version = plugin.manifest().version.clone();
        Ok(Promoted { digest, version, component, older })
    }

    /// Refuses a release that is older than one that has served, where the settings do, unless the
    /// operator insists on it.
    async fn check_number(
        &self,
        name: &str,
        role: &'static str,
        source: &str,
        component: &Component,
        is_forced: bool,
    ) -> Result<Option<OlderRelease>, CandidateError> {
        let older = self.reloader.older_release(name, source, component).await;
        match older {
            Some(older) if self.reloader.refuses_downgrades() && !is_forced => {
                Err(CandidateError::Downgrade { plugin: name.to_owned(), role, older })
            }
            older => Ok(older),
        }
    }
}
