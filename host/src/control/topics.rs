//! `GET /v1/topics`: the topics and patterns that have subscribers, in pages, each with its route.

use hyper::StatusCode;
use jackfield_wamp::uri::MatchPolicy;
use serde_json::json;

use super::Context;
use super::problem::Problem;
use super::query::Query;
use super::sessions::realms;
use super::sized_list::{SizedList, shown_name};
use crate::generation::RouteMatch;
use crate::http::response::Answer;

/// The maximum number of topics of a page.
const MAX_TOPICS: usize = 1_000;
const DEFAULT_TOPICS: usize = 100;

/// Lists a page of the topics of a realm that begin with a text.
pub(super) fn list(context: &Context, query: Option<&str>) -> Result<Answer, Problem> {
    let query = Query::parse(query, &["prefix", "realm", "after", "limit"])?;
    let limit = query.limit(DEFAULT_TOPICS, MAX_TOPICS)?;
    let after = query.get("after").map(cursor).transpose()?;
    let all = realms(&context.state.realms, query.get("realm"))?;
    let default = context.state.realms.default_realm();
    // One realm at a time: the texts of two realms have no common order.
    let dispatch = query.get("realm").and(all.first().copied()).unwrap_or(&default);
    let realm = dispatch.realm();
    let page = realm.subscription_page(query.get("prefix").unwrap_or_default(), after, limit);
    let generations = context.state.reloader.generations();
    let generation = generations.current();
    let shown = page.entries.iter().map(|entry| {
        let routed = generation.find(&entry.uri).filter(|_| entry.policy == MatchPolicy::Exact);
        let routed = routed.map(RouteMatch::for_events);
        json!({
            "uri": &*entry.uri,
            "match": entry.policy.name(),
            "subscribers": entry.subscribers,
            "route": routed.map(|it| shown_name(&it.route.name)),
            "handler": routed.map(|it| shown_name(it.handler.name())),
            "plugin": routed.map(|it| shown_name(&it.handler.manifest().name)),
        })
    });
    let shown = SizedList::of(shown);
    let has_more = page.has_more || shown.is_cut;
    let last = page.entries.iter().take(shown.entries.len()).next_back().filter(|_| has_more);
    let body = json!({
        "realm": realm.name(),
        "topic_count": page.total,
        "topics": shown.entries,
        "has_more": has_more,
        "next": last.map(|it| format!("{}:{}", it.policy.name(), it.uri)),
    });
    Ok(Answer::json(StatusCode::OK, &body))
}

/// The place behind which a page begins: the policy and the text of the last entry before it.
fn cursor(text: &str) -> Result<(&str, MatchPolicy), Problem> {
    let parts = text.split_once(':');
    let place = parts.and_then(|(policy, uri)| Some((uri, MatchPolicy::from_name(policy)?)));
    place.ok_or_else(|| Problem::invalid("`after` is the `next` of another page"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_begins_behind_the_last_entry_of_another() {
        assert_eq!(cursor("exact:a:b").unwrap(), ("a:b", MatchPolicy::Exact));
        assert_eq!(cursor("prefix:").unwrap(), ("", MatchPolicy::Prefix));
        for wrong in ["", "a", "exact", "other:a"] {
            assert!(cursor(wrong).is_err(), "{wrong}");
        }
    }
}
