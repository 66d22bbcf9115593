//! `GET /v1/ended`: the last sessions that have ended, the newest first, and the numbers of all ends.

use hyper::StatusCode;
use serde_json::{Map, Value, json};

use super::Context;
use super::problem::Problem;
use super::query::Query;
use crate::connection_end::ConnectionEnd;
use crate::ended::{EndedSession, EndedSessions, MAX_ENDED};
use crate::http::response::Answer;
use crate::timestamp::time;

const DEFAULT_SESSIONS: usize = 100;

/// Lists the last sessions that match.
pub(super) fn list(context: &Context, query: Option<&str>) -> Result<Answer, Problem> {
    let query = Query::parse(query, &["user", "reason", "search", "limit"])?;
    let limit = query.limit(DEFAULT_SESSIONS, MAX_ENDED)?;
    let user = query.get("user");
    let reason = query.get("reason").map(reason).transpose()?;
    let search = query.get("search").map(str::to_lowercase);
    let ended = &context.state.ended;
    let found = ended.last(limit, |it| {
        user.is_none_or(|user| it.user == user)
            && reason.is_none_or(|reason| it.reason == reason)
            && search.as_ref().is_none_or(|text| has_text(it, text))
    });
    let body = json!({
        "ended": counts(ended),
        "sessions": found.iter().map(session).collect::<Vec<_>>(),
    });
    Ok(Answer::json(StatusCode::OK, &body))
}

/// The reason of a query.
fn reason(label: &str) -> Result<ConnectionEnd, Problem> {
    ConnectionEnd::from_label(label).ok_or_else(|| {
        let known = ConnectionEnd::ALL.map(ConnectionEnd::label).join(", ");
        Problem::invalid(format!("`reason` is one of {known}"))
    })
}

/// Whether an ended session has a text, in small letters, in the name of its user, or its id or
/// address begins with it.
fn has_text(session: &EndedSession, text: &str) -> bool {
    session.user.to_lowercase().contains(text)
        || session.id.to_string().starts_with(text)
        || session.address.is_some_and(|it| it.to_canonical().to_string().starts_with(text))
}

/// The numbers of ends since the start: all, and by reason.
pub(super) fn counts(ended: &EndedSessions) -> Value {
    let counts = ended.counts();
    let by_reason: Map<String, Value> =
        counts.iter().map(|(reason, count)| (reason.label().to_owned(), json!(count))).collect();
    json!({ "count": counts.values().sum::<u64>(), "by_reason": by_reason })
}

fn session(ended: &EndedSession) -> Value {
    let lasted = ended.since.and_then(|since| ended.ended.duration_since(since).ok());
    json!({
        "id": ended.id,
        "realm": ended.realm,
        "user": ended.user,
        "protocol": ended.dialect.subprotocol(),
        "address": ended.address.map(|it| it.to_canonical().to_string()),
        "since": ended.since.map(time),
        "ended": time(ended.ended),
        "seconds": lasted.map(|it| it.as_secs_f64()),
        "reason": ended.reason.label(),
        "uri": ended.uri,
        "message": ended.message,
        "in": { "messages": ended.messages_in, "bytes": ended.bytes_in },
        "out": { "messages": ended.messages_out, "bytes": ended.bytes_out },
        "dropped": ended.dropped,
    })
}
