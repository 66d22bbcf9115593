//! History: whether an event is kept, and what a subscriber asks of the events that were.

use std::time::Duration;

use jackfield_broker::{HistoryRule, Recording, ReplayRequest};
use jackfield_routing::History;
use jackfield_wamp::message::Subscribe;

use super::authorize::overflow;
use crate::generation::{Generation, RouteMatch};
use crate::{ids, wall_clock};

/// Returns the rule of a topic's history and the time, if its route has a history.
pub(super) fn recording(routed: Option<&RouteMatch<'_, '_>>) -> Option<Recording> {
    rule(routed).map(|rule| Recording { rule, now: wall_clock::since_epoch() })
}

/// Returns what a subscriber asks of the history of a topic; `None` if it gets nothing.
pub(super) fn replay_request<'a>(
    routed: Option<&RouteMatch<'_, '_>>,
    subscribe: &'a Subscribe,
) -> Option<ReplayRequest<'a>> {
    let rule = rule(routed);
    if rule.is_none() && subscribe.since.is_none() {
        return None;
    }
    let now = rule.map_or(Duration::ZERO, |_| wall_clock::since_epoch());
    let since = subscribe.since.as_ref();
    let overflow = overflow(routed);
    Some(ReplayRequest { rule, since, overflow, id: ids::publication(), now })
}

/// Returns whether the history of a topic ends with a reload: unless both generations keep its events,
/// some may be missing.
pub(super) fn ends(old: &Generation, new: &Generation, topic: &str) -> bool {
    let has = |generation: &Generation| rule(generation.find(topic).as_ref()).is_some();
    !has(old) || !has(new)
}

fn rule(routed: Option<&RouteMatch<'_, '_>>) -> Option<HistoryRule> {
    let History { events, age, bytes, on_subscribe } = routed?.route.history?;
    Some(HistoryRule { events, age, bytes, on_subscribe })
}
