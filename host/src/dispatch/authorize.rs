//! Authorization by role: the roles that a route lists, or the rule for a topic without a route, or else
//! the settings (`allow`).
//!
//! An action without listed roles is open to all. A handler, or the authorizer of a rule, is asked about
//! allowed requests only, and may still refuse them.

use jackfield_broker::{Overflow, PatternAudience, Session};
use jackfield_config::Rule;
use jackfield_routing::{Action, SlowSubscriber};
use jackfield_sandbox::Hook;
use jackfield_wamp::uri::is_reserved;

use super::Refusal;
use crate::generation::{AccessLists, Generation, RealmUri, RouteMatch};

/// Returns the route of a topic; `None` if there is no route, and a rule admits the topic. A route whose
/// plugin is disabled refuses every request. Topics of the router itself have no route.
pub(super) fn route<'g, 't>(
    generation: &'g Generation,
    topic: RealmUri<'t>,
) -> Result<Option<RouteMatch<'g, 't>>, Refusal> {
    match generation.find(topic.uri).filter(|_| !is_reserved(topic.uri)) {
        Some(routed) if routed.handler.is_disabled() => {
            Err(Refusal::disabled(routed.handler.name()))
        }
        Some(routed) => Ok(Some(routed)),
        None if generation.access().of_unrouted(topic).is_some() => Ok(None),
        None if is_reserved(topic.uri) => Err(Refusal::no_meta(topic.uri)),
        None => Err(Refusal::no_route(topic.uri)),
    }
}

/// Refuses an action that the session's roles do not allow on a topic. Returns the rule, if the topic has
/// no route: its authorizer has to be asked ([`super::authorizer`]).
pub(super) fn check_allowed<'g>(
    generation: &'g Generation,
    topic: RealmUri<'_>,
    routed: Option<&RouteMatch<'g, '_>>,
    action: Action,
    session: &Session,
) -> Result<Option<&'g Rule>, Refusal> {
    match lists(generation, topic, routed) {
        Some(lists) if is_among(session, lists.roles(action)) => Ok(lists.rule),
        _ => Err(Refusal::not_allowed(action, routed.map(|it| it.route))),
    }
}

/// Returns whether the session has a role that may perform the action on a topic.
pub(super) fn may(
    generation: &Generation,
    topic: RealmUri<'_>,
    routed: Option<&RouteMatch<'_, '_>>,
    action: Action,
    session: &Session,
) -> bool {
    let lists = lists(generation, topic, routed);
    lists.is_some_and(|lists| is_among(session, lists.roles(action)))
}

/// Returns the sessions that receive the topic's events by a pattern: those that may subscribe to it
/// by name. `Nobody` if the handler has to be asked, because it is not asked about patterns.
pub(super) fn pattern_audience<'a>(
    generation: &'a Generation,
    topic: RealmUri<'_>,
    routed: Option<&RouteMatch<'a, '_>>,
) -> PatternAudience<'a> {
    if routed.is_some_and(|it| it.has(Hook::Subscribe)) {
        return PatternAudience::Nobody;
    }
    audience(generation, topic, routed)
}

/// Returns the sessions that may subscribe to the topic, as far as its handler does not decide.
pub(super) fn audience<'a>(
    generation: &'a Generation,
    topic: RealmUri<'_>,
    routed: Option<&RouteMatch<'a, '_>>,
) -> PatternAudience<'a> {
    let Some(lists) = lists(generation, topic, routed) else {
        return PatternAudience::Nobody;
    };
    match lists.roles(Action::Subscribe) {
        Some(roles) => PatternAudience::Roles(roles),
        None => PatternAudience::Everybody,
    }
}

/// Returns the roles of the route, or of the rule for a topic without one; `None` if no rule admits it.
fn lists<'a>(
    generation: &'a Generation,
    topic: RealmUri<'_>,
    routed: Option<&RouteMatch<'a, '_>>,
) -> Option<AccessLists<'a>> {
    match routed {
        Some(routed) => Some(generation.access().of_route(routed.route)),
        None => generation.access().of_unrouted(topic),
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
