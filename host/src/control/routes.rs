//! `GET /v1/routes` and `GET /v1/match`: the routes in service in pages, and the route of a topic with
//! the reasons of the others.

use hyper::StatusCode;
use jackfield_broker::PublicationCounts;
use jackfield_routing::{Outcome, RestrictionOrigin, Route};
use jackfield_wamp::uri::is_reserved;
use serde_json::{Map, Value, json};

use super::problem::Problem;
use super::query::Query;
use super::sessions::realms;
use super::sized_list::SizedList;
use super::{Context, MAX_FILTER_BYTES};
use crate::generation::{BoundHandler, Generation, RealmUri, RouteAccess, no_uri, rule_json};
use crate::http::response::Answer;

/// The maximum number of routes of a page.
const MAX_ROUTES: usize = 1_000;
const DEFAULT_ROUTES: usize = 100;
/// The maximum number of other routes in the answer about a topic.
const MAX_OTHERS: usize = 200;

/// Lists a page of the routes that have a text in their name, channel, handler or plugin, in matching
/// order.
pub(super) fn list(context: &Context, query: Option<&str>) -> Result<Answer, Problem> {
    let query = Query::parse(query, &["search", "after", "limit"])?;
    let limit = query.limit(DEFAULT_ROUTES, MAX_ROUTES)?;
    let after = query.number("after")?.unwrap_or(0);
    let search = query.get("search").unwrap_or_default().to_lowercase();
    let generations = context.state.reloader.generations();
    let generation = generations.current();
    let (mut shown, mut count, mut has_more) = (Vec::new(), 0, false);
    for (position, (route, handler)) in generation.bound().enumerate() {
        let Route { name, channel, handler: named, .. } = route;
        let texts = [name, channel, &named.callback, &handler.manifest().name];
        if !texts.into_iter().any(|text| text.to_lowercase().contains(&search)) {
            continue;
        }
        count += 1;
        if position < after {
            continue;
        }
        if shown.len() == limit {
            has_more = true;
            continue;
        }
        shown.push((position, route, handler));
    }
    let listed = shown
        .iter()
        .map(|(position, route, handler)| route_json(&generation, *position, route, handler));
    let listed = SizedList::of(listed);
    let has_more = has_more || listed.is_cut;
    let next =
        shown.iter().take(listed.entries.len()).next_back().map_or(after, |(last, ..)| last + 1);
    let body = json!({
        "generation": generation.number(),
        "route_count": count,
        "routes": listed.entries,
        "has_more": has_more,
        "next": has_more.then_some(next),
    });
    Ok(Answer::json(StatusCode::OK, &body))
}

/// Tells the route that takes a topic, and why the others do not.
pub(super) fn of_topic(context: &Context, query: Option<&str>) -> Result<Answer, Problem> {
    let query = Query::parse(query, &["topic", "realm"])?;
    let default = context.state.realms.default_realm();
    let realm = match query.get("realm") {
        Some(name) => realms(&context.state.realms, Some(name))?.first().copied(),
        None => None,
    };
    let realm = realm.unwrap_or(&default).realm().name();
    let topic = query.get("topic").filter(|it| (1..=MAX_FILTER_BYTES).contains(&it.len()));
    let invalid = || Problem::invalid(format!("`topic` has 1 to {MAX_FILTER_BYTES} bytes"));
    let topic = topic.ok_or_else(invalid)?;
    let generations = context.state.reloader.generations();
    let generation = generations.current();
    let access = generation.access();
    let (mut matched, mut others, mut count) = (Value::Null, Vec::new(), 0);
    let explained = generation.routes().explain(topic).into_iter();
    for (position, ((_, outcome), bound)) in explained.zip(generation.bound()).enumerate() {
        let (route, handler) = bound;
        let (shadowed_by, reason) = match outcome {
            Outcome::Matched { .. } if is_reserved(topic) => {
                (None, "matches, but topics of the router itself have no route".to_owned())
            }
            Outcome::Matched { attributes } => {
                matched = route_json(&generation, position, route, handler);
                if let Value::Object(matched) = &mut matched {
                    let pairs = attributes.iter();
                    let attributes = pairs.map(|(name, value)| ((*name).to_owned(), json!(value)));
                    matched.insert("attributes".to_owned(), Value::Object(attributes.collect()));
                }
                continue;
            }
            Outcome::Shadowed { by } => (Some(by), format!("also matches, but `{by}` comes first")),
            Outcome::Unmatched { reason } => (None, reason),
        };
        count += 1;
        if others.len() < MAX_OTHERS {
            others.push(json!({
                "name": route.name,
                "channel": route.channel,
                "shadowed_by": shadowed_by,
                "reason": reason,
            }));
        }
    }
    // Without a route, the configuration decides.
    let is_routed = !matched.is_null();
    let broadcast = (!is_routed).then(|| unrouted_json(access, RealmUri { realm, uri: topic }));
    let body = json!({
        "topic": topic,
        "not_a_uri": no_uri(topic),
        "route": matched,
        "broadcast": broadcast,
        "other_count": count,
        "others": others,
    });
    Ok(Answer::json(StatusCode::OK, &body))
}

fn route_json(
    generation: &Generation,
    position: usize,
    route: &Route,
    bound: &BoundHandler,
) -> Value {
    let Route { name, channel, handler, requirements, timer, lanes, origin, .. } = route;
    let requirements: Map<String, Value> =
        requirements.iter().map(|(name, pattern)| (name.clone(), json!(pattern))).collect();
    let counts = generation.counts().own(position);
    let lists = generation.access().of_route(route);
    let (allow, allow_from) = lists.json(RestrictionOrigin::Route.key());
    json!({
        "position": position,
        "name": name,
        "channel": channel,
        "handler": handler.callback,
        "plugin": bound.manifest().name,
        "disabled": bound.is_disabled(),
        "requirements": requirements,
        "timer_seconds": timer.and_then(|it| it.every).map(|every| every.as_secs_f64()),
        "lanes": lanes.get(),
        "file": origin.path,
        "line": origin.line,
        "publications": counts.map(PublicationCounts::publications),
        "deliveries": counts.map(PublicationCounts::deliveries),
        "allow": allow,
        "allow_from": allow_from,
    })
}

/// The access to a topic without a route; `None` if it is refused.
fn unrouted_json(access: &RouteAccess, topic: RealmUri<'_>) -> Option<Value> {
    let (allow, allow_from) = access.of_unrouted(topic)?.json("rule");
    let rule = access.rule(topic).map(rule_json);
    Some(json!({ "rule": rule, "allow": allow, "allow_from": allow_from }))
}
