//! Hooks that decide about access. They have no effects, and are not recorded: a recording must not
//! have credentials.

use super::Lane;
use crate::access::{AccessAttempt, AccessDecision};
use crate::authentication::{AuthenticationAttempt, PluginPrincipal};
use crate::fault::Fault;
use crate::instance::{Instance, within};
use crate::manifest::Hook;
use crate::request::{EventTexts, HookRequest};

impl Lane {
    /// Calls `authorize`; the topic of the request is the URI of the attempt.
    pub async fn authorize(
        &self,
        request: &HookRequest<'_>,
        attempt: AccessAttempt,
    ) -> Result<AccessDecision, Fault> {
        let mut turn = self.turn(Hook::Authorize, request, EventTexts::NONE).await?;
        let Instance { store, exports } = &mut *turn.instance;
        let call = &mut store.data_mut().call;
        (call.may_wait, call.max_effects) = (true, 0);
        let call = exports.authorize(store, turn.route, attempt.into());
        let answer = within(&self.meter, turn.deadline, call).await;
        Ok(self.pass(turn.finish(answer), Hook::Authorize, request).await?.answer)
    }

    /// Calls `find` of an authenticator, or `verify` with a ticket; the topic of the request is the name.
    pub async fn authenticate(
        &self,
        request: &HookRequest<'_>,
        attempt: AuthenticationAttempt,
        ticket: Option<&str>,
    ) -> Result<Option<PluginPrincipal>, Fault> {
        let attempt = attempt.into();
        let mut turn = self.turn(Hook::Authenticate, request, EventTexts::NONE).await?;
        let Instance { store, exports } = &mut *turn.instance;
        let call = &mut store.data_mut().call;
        (call.may_wait, call.max_effects) = (true, 0);
        let call = exports.authenticate(store, turn.route, &attempt, ticket);
        let answer = within(&self.meter, turn.deadline, call).await;
        Ok(self.pass(turn.finish(answer), Hook::Authenticate, request).await?.answer)
    }
}
