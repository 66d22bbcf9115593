//! `GET /v1/sessions`, `GET /v1/session` and `POST /v1/session/kick`: the open sessions in pages, one
//! of them with its subscriptions, and the end of one.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::SystemTime;

use hyper::StatusCode;
use jackfield_broker::{CallsView, CloseCause, CloseReason, Session, SessionView};
use jackfield_text::Untrusted;
use jackfield_wamp::error_uri;
use jackfield_wamp::id::SessionId;
use jackfield_wamp::uri::MatchPolicy;
use serde::Deserialize;
use serde_json::{Value, json};

use super::audit::{self, Caller, Subject};
use super::problem::Problem;
use super::query::Query;
use super::sized_list::{SizedList, shown_name};
use super::{Context, MAX_SHOWN_BYTES};
use crate::dispatch::Dispatch;
use crate::http::response::Answer;
use crate::realms::Realms;
use crate::timestamp::time;

/// The maximum number of sessions of a page.
const MAX_SESSIONS: usize = 1_000;
const DEFAULT_SESSIONS: usize = 100;
/// The maximum number of roles, subscriptions or registrations of a session in an answer.
const MAX_LISTED: usize = 1_000;
const MAX_ROLES: usize = 20;
/// The maximum size of the message to a client that is kicked: it has to fit into a Close frame.
const MAX_MESSAGE_BYTES: usize = 100;

/// The body of a kick.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct KickRequest {
    id: Option<u64>,
    message: Option<String>,
}

/// Lists a page of the sessions that match.
pub(super) fn list(context: &Context, query: Option<&str>) -> Result<Answer, Problem> {
    let query = Query::parse(query, &["user", "topic", "realm", "search", "after", "limit"])?;
    let limit = query.limit(DEFAULT_SESSIONS, MAX_SESSIONS)?;
    let after = query.session("after")?;
    let (user, topic) = (query.get("user"), query.get("topic"));
    let search = query.get("search").map(str::to_lowercase);
    let (mut found, mut total, mut has_more) = (Vec::new(), 0, false);
    for dispatch in realms(&context.state.realms, query.get("realm"))? {
        let realm = dispatch.realm();
        let subscribed: Option<HashSet<SessionId>> =
            topic.map(|topic| realm.sessions_subscribed(topic));
        let page = realm.session_page(after, limit, |session| {
            user.is_none_or(|user| session.identity.authid == user)
                && search.as_ref().is_none_or(|text| has_text(session, text))
                && subscribed.as_ref().is_none_or(|them| them.contains(&session.id))
        });
        total += page.total;
        has_more |= page.has_more;
        let ids: Vec<SessionId> = page.entries.iter().map(|it| it.session.id).collect();
        let registrations = dispatch.dealer().registration_counts(&ids);
        let entries = page.entries.into_iter().zip(registrations);
        found.extend(entries.map(|(view, registered)| (view, registered, Arc::clone(dispatch))));
    }
    // Each realm has the first ones of its own.
    found.sort_unstable_by_key(|(view, ..)| view.session.id);
    has_more |= found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| has_more).map(|(view, ..)| view.session.id.get());
    let shown = found.iter().map(|(view, registered, dispatch)| {
        let SessionView { session, subscriptions } = view;
        session_json(
            session,
            dispatch,
            [("subscriptions", json!(subscriptions)), ("registrations", json!(registered))],
        )
    });
    let body = json!({
        "session_count": total,
        "sessions": shown.collect::<Vec<_>>(),
        "has_more": has_more,
        "next": next,
    });
    Ok(Answer::json(StatusCode::OK, &body))
}

/// Whether a session has a text, in small letters, in the name of its user, or its id or address
/// begins with it.
fn has_text(session: &Session, text: &str) -> bool {
    session.identity.authid.to_lowercase().contains(text)
        || session.id.to_string().starts_with(text)
        || session.connection().address.is_some_and(|it| {
            let address = it.to_canonical().to_string();
            address.starts_with(text)
        })
}

/// Shows a session with its subscriptions and registrations.
pub(super) fn one(context: &Context, query: Option<&str>) -> Result<Answer, Problem> {
    let query = Query::parse(query, &["id"])?;
    let id =
        query.session("id")?.ok_or_else(|| Problem::invalid("the query needs the key `id`"))?;
    let (session, dispatch) = find(context, id)?;
    let (subscriptions, subscription_count) = dispatch.realm().subscriptions_of(id, MAX_LISTED);
    let calls = dispatch.dealer().calls_of(id, MAX_LISTED);
    let CallsView { registrations, registration_count, waiting, handling } = calls;
    let generations = context.state.reloader.generations();
    let generation = generations.current();
    let with_route = |(policy, uri): &(MatchPolicy, Arc<str>)| {
        let routed = generation.find(uri).filter(|_| *policy == MatchPolicy::Exact);
        json!({
            "uri": &**uri,
            "match": policy.name(),
            "route": routed.map(|it| shown_name(&it.route.name)),
            "handler": routed.map(|it| shown_name(it.handler.name())),
        })
    };
    let subscriptions = SizedList::of(subscriptions.iter().map(with_route)).entries;
    let registered =
        |(policy, uri): &(MatchPolicy, Arc<str>)| json!({ "uri": &**uri, "match": policy.name() });
    let registrations = SizedList::of(registrations.iter().map(registered)).entries;
    let body = session_json(
        &session,
        &dispatch,
        [
            ("subscription_count", json!(subscription_count)),
            ("subscriptions", json!(subscriptions)),
            ("registration_count", json!(registration_count)),
            ("registrations", json!(registrations)),
            ("calls", json!({ "waiting": waiting, "handling": handling })),
        ],
    );
    Ok(Answer::json(StatusCode::OK, &body))
}

/// Ends a session. A client of WAMP v2 gets GOODBYE with the message, one of v1 the end of its
/// connection.
pub(super) fn kick(
    context: &Context,
    caller: &Caller,
    request: KickRequest,
) -> Result<Answer, Problem> {
    let KickRequest { id, message } = request;
    let id = id.and_then(SessionId::new);
    let id = id.ok_or_else(|| Problem::invalid("`id` is the id of a session, a number"))?;
    let message = message.unwrap_or_else(|| "the operator has ended the session".to_owned());
    if message.len() > MAX_MESSAGE_BYTES || message.chars().any(char::is_control) {
        let message = format!("`message` is one line of at most {MAX_MESSAGE_BYTES} bytes");
        return Err(Problem::invalid(message));
    }
    let (session, dispatch) = find(context, id)?;
    let user = &session.identity.authid;
    let (cause, reason) = (CloseCause::Operator, error_uri::CLOSE_KILLED.to_owned());
    let is_first = session.close(CloseReason { cause, reason, message });
    let result = if is_first { "ok" } else { "unchanged" };
    let generation = context.state.reloader.state().generation;
    audit::record(caller, "kick", &Subject::session(id.get(), user), result, generation);
    let body = json!({
        "result": result,
        "id": id.get(),
        "realm": dispatch.realm().name(),
        "user": shown_name(user),
    });
    Ok(Answer::json(StatusCode::OK, &body))
}

/// The realm of a name, or all realms.
pub(super) fn realms<'r>(
    realms: &'r Realms,
    name: Option<&str>,
) -> Result<Vec<&'r Arc<Dispatch>>, Problem> {
    let wanted = |dispatch: &&Arc<Dispatch>| name.is_none_or(|it| dispatch.realm().name() == it);
    let found: Vec<_> = realms.iter().filter(wanted).collect();
    match name {
        Some(name) if found.is_empty() => {
            let name = Untrusted::new(name).at_most(MAX_SHOWN_BYTES);
            Err(Problem::unknown(format!("there is no realm `{name}` here")))
        }
        Some(_) | None => Ok(found),
    }
}

fn find(context: &Context, id: SessionId) -> Result<(Arc<Session>, Arc<Dispatch>), Problem> {
    let in_realm = |dispatch: &Arc<Dispatch>| {
        dispatch.realm().session(id).map(|session| (session, Arc::clone(dispatch)))
    };
    context.state.realms.iter().find_map(in_realm).ok_or_else(|| {
        Problem::unknown(format!(
            "no session {id} is open; GET /v1/ended has the last ones whose connections have ended"
        ))
    })
}

/// A session, with further facts about it.
fn session_json<const MORE: usize>(
    session: &Session,
    dispatch: &Dispatch,
    more: [(&str, Value); MORE],
) -> Value {
    let Session { id, identity, dialect, .. } = session;
    let connection = session.connection();
    let usage = session.outbox().traffic();
    let age = connection.since.and_then(|since| SystemTime::now().duration_since(since).ok());
    let mut body = json!({
        "id": id.get(),
        "realm": dispatch.realm().name(),
        "user": shown_name(&identity.authid),
        "is_anonymous": identity.anonymous_from.is_some(),
        "role_count": identity.roles.len(),
        "roles": identity.roles.iter().take(MAX_ROLES).map(|role| shown_name(role)).collect::<Vec<_>>(),
        "authmethod": identity.authmethod,
        "protocol": dialect.subprotocol(),
        "address": connection.address.map(|it| it.to_canonical().to_string()),
        "since": connection.since.map(time),
        "seconds": age.map(|age| age.as_secs()),
        "in": { "messages": connection.messages, "bytes": connection.bytes },
        "out": { "messages": usage.messages, "bytes": usage.written },
        "outbox": {
            "bytes": usage.waiting,
            "dropped": usage.dropped,
            "replaced": usage.replaced,
        },
    });
    if let Value::Object(body) = &mut body {
        body.extend(more.map(|(key, value)| (key.to_owned(), value)));
    }
    body
}
