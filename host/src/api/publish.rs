//! Publishing over HTTP, `POST /api/publish`: one publication or several, each handled as a
//! client's PUBLISH.

use std::borrow::Cow;
use std::collections::BTreeSet;

use hyper::StatusCode;
use jackfield_auth::PhpList;
use jackfield_broker::PendingFlushes;
use jackfield_wamp::id::{RequestId, SessionId};
use jackfield_wamp::message::{Publish, PublishOptions, ReceiverFilter};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::problem::Problem;
use super::tokens::Token;
use super::{Context, body};
use crate::backpressure::wait_for_room;
use crate::http::response::Answer;

/// Events are flushed after at most this number of publications, so that a long batch does not
/// delay its first events.
const FLUSH_AFTER: usize = 32;

/// The name of an item in errors.
const WHAT: &str = "publication";

/// The JSON of one publication. An unknown key is an error: a misspelt `eligible` would reach all
/// subscribers.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Item<'a> {
    #[serde(borrow)]
    topic: Cow<'a, str>,
    #[serde(borrow, default)]
    args: Option<&'a RawValue>,
    #[serde(borrow, default)]
    kwargs: Option<&'a RawValue>,
    #[serde(default)]
    realm: Option<String>,
    #[serde(default)]
    disclose_me: bool,
    #[serde(default)]
    retain: bool,
    #[serde(default)]
    exclude: Option<PhpList<u64>>,
    #[serde(default)]
    exclude_authid: Option<PhpList<String>>,
    #[serde(default)]
    exclude_authrole: Option<PhpList<String>>,
    #[serde(default)]
    eligible: Option<PhpList<u64>>,
    #[serde(default)]
    eligible_authid: Option<PhpList<String>>,
    #[serde(default)]
    eligible_authrole: Option<PhpList<String>>,
}

/// The JSON of several publications.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Items<'a> {
    #[serde(borrow)]
    publish: PhpList<&'a RawValue>,
}

/// Distinguishes one publication from several.
#[derive(Deserialize)]
struct Shape {
    publish: Option<IgnoredAny>,
}

/// Publishes the event or the events of a body.
///
/// # Errors
/// When nothing was published; a batch with single errors is an answer. If all are temporary, the whole
/// request may be repeated.
pub(super) async fn publish(
    context: &Context,
    token: &Token,
    body: &[u8],
) -> Result<Answer, Problem> {
    let body = body::parse(body)?;
    if body.get().starts_with('[') {
        let how = "several publications are sent as {\"publish\": [{\"topic\": …}, …]}";
        return Err(Problem::invalid(how));
    }
    let shape: Shape = body::read(body, WHAT)?;
    let mut batch = PendingFlushes::default();
    if shape.publish.is_none() {
        let published = one(context, token, body, &mut batch).await?;
        settle(context, &mut batch).await;
        return Ok(Answer::json(StatusCode::OK, &published));
    }
    let Items { publish: PhpList(items) } = body::read(body, WHAT)?;
    if items.len() > context.batch {
        return Err(Problem::too_many_items(context.batch));
    }
    let (mut failed, mut temporary) = (0, Vec::new());
    let mut published = Vec::with_capacity(items.len());
    for (index, item) in items.into_iter().enumerate() {
        let result = one(context, token, item, &mut batch).await;
        published.push(result.unwrap_or_else(|problem| {
            failed += 1;
            let shown = problem.of_item(index);
            temporary.extend(problem.is_temporary().then_some(problem));
            shown
        }));
        if (index + 1) % FLUSH_AFTER == 0 || batch.is_crowded() {
            settle(context, &mut batch).await;
        }
    }
    settle(context, &mut batch).await;
    if temporary.len() == published.len()
        && let Some(last) = temporary.pop()
    {
        return Err(last);
    }
    Ok(Answer::json(StatusCode::OK, &json!({ "published": published, "failed": failed })))
}

/// Sends the events, and waits for slow subscribers for a bounded time: a backend that publishes
/// faster is answered later.
async fn settle(context: &Context, batch: &mut PendingFlushes) {
    batch.flush();
    if batch.is_crowded() {
        wait_for_room(batch.take_crowded(), context.publisher_delay).await;
    }
}

async fn one(
    context: &Context,
    token: &Token,
    item: &RawValue,
    batch: &mut PendingFlushes,
) -> Result<Value, Problem> {
    let item: Item<'_> = body::read(item, WHAT)?;
    let dispatch = token.dispatch(&context.realms, item.realm.as_deref())?;
    let accepted = dispatch.publish(&token.session, &item.publish(context.depth)?, batch).await?;
    Ok(json!({ "publication": accepted.publication.get(), "delivered": accepted.delivered }))
}

impl Item<'_> {
    fn publish(self, depth: usize) -> Result<Publish, Problem> {
        let payload = body::payload(self.args, self.kwargs, depth)?;
        let filter = ReceiverFilter {
            exclude: self.exclude.map(sessions).transpose()?.unwrap_or_default(),
            exclude_authid: self.exclude_authid.map(set).unwrap_or_default(),
            exclude_authrole: self.exclude_authrole.map(set).unwrap_or_default(),
            eligible: some("eligible", self.eligible)?.map(sessions).transpose()?,
            eligible_authid: some("eligible_authid", self.eligible_authid)?.map(set),
            eligible_authrole: some("eligible_authrole", self.eligible_authrole)?.map(set),
        };
        let options = PublishOptions {
            disclose_me: self.disclose_me,
            // The session of a token receives nothing, but reads histories with its own events.
            exclude_me: false,
            retain: self.retain,
            filter: (filter != ReceiverFilter::default()).then(|| Box::new(filter)),
            ..PublishOptions::default()
        };
        let topic = self.topic.into_owned();
        Ok(Publish { request: RequestId::default(), options, topic, payload })
    }
}

/// Rejects an empty `eligible` list. In WAMP it means all sessions; a backend that computed an
/// empty list means none.
fn some<T>(key: &str, list: Option<PhpList<T>>) -> Result<Option<PhpList<T>>, Problem> {
    if list.as_ref().is_some_and(|list| list.0.is_empty()) {
        let message = format!("`{key}` names no session; leave it out to reach all");
        return Err(Problem::invalid(message));
    }
    Ok(list)
}

fn set<T: Ord>(list: PhpList<T>) -> BTreeSet<T> {
    list.0.into_iter().collect()
}

fn sessions(ids: PhpList<u64>) -> Result<BTreeSet<SessionId>, Problem> {
    let session =
        |id| SessionId::new(id).ok_or_else(|| Problem::invalid(format!("{id} is no session's id")));
    ids.0.into_iter().map(session).collect()
}
