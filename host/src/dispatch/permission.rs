//! Who may do what: the roles that a route lists, or else the operator.
//!
//! What neither lists is open to everybody. Handlers may refuse what is allowed here, and are not
//! asked about what is not.

use jackfield_broker::Session;
use jackfield_routing::Action;
use jackfield_sandbox::Hook;

use super::{Dispatch, Refusal, Unrouted};
use crate::generation::Routed;

impl Dispatch {
    /// Whether the session may do this on a topic; on one without a route, by the operator's word.
    pub(super) fn check_allowed(
        &self,
        routed: Option<&Routed<'_, '_>>,
        action: Action,
        session: &Session,
    ) -> Result<(), Refusal> {
        let is_mine = |role: &String| session.identity.roles.contains(role);
        if self.listed(routed, action).is_none_or(|roles| roles.iter().any(is_mine)) {
            Ok(())
        } else {
            Err(Refusal::not_allowed(action, routed.map(|it| &*it.route.name)))
        }
    }

    /// Whether pattern subscriptions see the topic: not where subscribers are checked one by one.
    pub(super) fn is_open(&self, routed: Option<&Routed<'_, '_>>) -> bool {
        let asks = routed.is_some_and(|it| it.handler.hooks().contains(Hook::Subscribe));
        let is_public = routed.is_some() || self.unrouted == Unrouted::Broadcast;
        is_public && !asks && self.listed(routed, Action::Subscribe).is_none()
    }

    /// The roles that may do it; none where everybody may.
    pub(super) fn listed<'a>(
        &'a self,
        routed: Option<&Routed<'a, '_>>,
        action: Action,
    ) -> Option<&'a [String]> {
        match routed {
            Some(routed) => routed.route.allow.roles_or(&self.allow, action),
            None => self.allow.roles(action),
        }
    }
}
