//! Authorization by role: the roles that a route lists, or else the settings (`allow`).
//!
//! An action without listed roles is open to all. A handler is asked about allowed requests only,
//! and may still refuse them.

use jackfield_broker::{Overflow, PatternAudience, Session};
use jackfield_config::Unrouted;
use jackfield_routing::{Action, SlowSubscriber};
use jackfield_sandbox::Hook;

use super::{Dispatch, Refusal};
use crate::generation::{Generation, RouteMatch};

impl Dispatch {
    /// Returns the route of a topic; `None` if topics without a route are open. A route whose plugin
    /// is disabled refuses every request.
    pub(super) fn route<'g, 't>(
        &self,
        generation: &'g Generation,
        topic: &'t str,
    ) -> Result<Option<RouteMatch<'g, 't>>, Refusal> {
        match generation.find(topic) {
            Some(routed) if routed.handler.is_disabled() => {
                Err(Refusal::disabled(routed.handler.name()))
            }
            Some(routed) => Ok(Some(routed)),
            None if self.unrouted == Unrouted::Broadcast => Ok(None),
            None => Err(Refusal::no_route(topic)),
        }
    }

    /// Refuses an action that the session's roles do not allow on a topic.
    pub(super) fn check_allowed(
        &self,
        routed: Option<&RouteMatch<'_, '_>>,
        action: Action,
        session: &Session,
    ) -> Result<(), Refusal> {
        if self.may(routed, action, session) {
            Ok(())
        } else {
            Err(Refusal::not_allowed(action, routed.map(|it| it.route)))
        }
    }

    /// Returns whether the session has a role that may perform the action on a topic.
    pub(super) fn may(
        &self,
        routed: Option<&RouteMatch<'_, '_>>,
        action: Action,
        session: &Session,
    ) -> bool {
        is_among(session, self.listed(routed, action))
    }

    /// Returns the sessions that receive the topic's events by a pattern: those that may subscribe
    /// to it by name. `Nobody` if the handler has to be asked, because it is not asked about
    /// patterns.
    pub(super) fn pattern_audience<'a>(
        &'a self,
        routed: Option<&RouteMatch<'a, '_>>,
    ) -> PatternAudience<'a> {
        let asks = routed.is_some_and(|it| it.has(Hook::Subscribe));
        let is_public = routed.is_some() || self.unrouted == Unrouted::Broadcast;
        if asks || !is_public {
            return PatternAudience::Nobody;
        }
        match self.listed(routed, Action::Subscribe) {
            Some(roles) => PatternAudience::Roles(roles),
            None => PatternAudience::Everybody,
        }
    }

    /// Returns the roles that may perform the action; `None` if all sessions may.
    pub(super) fn listed<'a>(
        &'a self,
        routed: Option<&RouteMatch<'a, '_>>,
        action: Action,
    ) -> Option<&'a [String]> {
        match routed {
            Some(routed) => routed.route.allow.roles_or(&self.allow, action),
            None => self.allow.roles(action),
        }
    }
}

/// Returns whether the session has one of the roles, or needs none.
pub(super) fn is_among(session: &Session, roles: Option<&[String]>) -> bool {
    let is_mine = |role: &String| session.identity.roles.contains(role);
    roles.is_none_or(|roles| roles.iter().any(is_mine))
}

/// Returns the policy of a route for subscribers that do not keep up, if it has one.
pub(super) fn overflow(routed: Option<&RouteMatch<'_, '_>>) -> Option<Overflow> {
    routed?.route.slow_subscriber.map(|policy| match policy {
        SlowSubscriber::Disconnect => Overflow::Disconnect,
        SlowSubscriber::Drop => Overflow::DropEvent,
        SlowSubscriber::Latest => Overflow::Latest,
    })
}
