//! The procedure `wamp.subscription.get_events`: the events of a subscription's topic, from its history.
//! WAMP v2 specification, section "Event History".
//!
//! The result is one list, as Crossbar has it: libraries hand it to their callers as it is. The arguments
//! are those of the specification, and Crossbar's second one, a limit.

use std::ops::Bound;
use std::sync::Arc;

use jackfield_broker::{EventQuery, PastEvent, PendingFlushes, Session};
use jackfield_routing::Action;
use jackfield_wamp::id::{PublicationId, SubscriptionId};
use jackfield_wamp::message::Call;
use jackfield_wamp::payload::Payload;
use jackfield_wamp::uri::MatchPolicy;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::authorize::{check_allowed, route};
use super::history::{self, EventJson};
use super::{Dispatch, Refusal};
use crate::generation::RouteMatch;
use crate::{ids, wall_clock};

/// The procedure: `[subscription, limit?]` and [`Options`].
pub(super) const PROCEDURE: &str = "wamp.subscription.get_events";

/// The keyword arguments. Null counts as absent.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Options {
    reverse: Option<bool>,
    limit: Option<usize>,
    topic: Option<String>,
    from_time: Option<String>,
    after_time: Option<String>,
    before_time: Option<String>,
    until_time: Option<String>,
    from_publication: Option<u64>,
    after_publication: Option<u64>,
    before_publication: Option<u64>,
    until_publication: Option<u64>,
}

/// An event of the result: `topic` is one of Crossbar's keys, the others are the specification's.
#[derive(Serialize)]
struct Found<'a> {
    timestamp: String,
    subscription: u64,
    publication: u64,
    topic: &'a str,
    details: Details<'a>,
    args: Box<RawValue>,
    kwargs: Box<RawValue>,
}

/// The publisher, if it is disclosed.
#[derive(Serialize)]
struct Details<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    publisher: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    publisher_authid: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    publisher_authrole: Option<&'a str>,
}

impl Dispatch {
    /// Handles a CALL of the procedure.
    pub(super) fn handle_past_events(
        &self,
        from: &Arc<Session>,
        call: &Call,
        batch: &mut PendingFlushes,
    ) {
        self.answer_reader(from, call, self.past_events(from, call), batch);
    }

    fn past_events(&self, from: &Session, call: &Call) -> Result<Payload, Refusal> {
        let (args, kwargs) = self.hook_arguments(&call.payload)?;
        let (subscription, limit) = positional(&args)?;
        let wrong = |error: serde_json::Error| {
            Refusal::invalid_argument(format!("wrong keyword arguments: {error}"))
        };
        let options: Options = serde_json::from_str(&kwargs).map_err(wrong)?;
        let Some((topic, policy)) = self.realm.subscribed_to(from.id, subscription) else {
            return Err(Refusal::no_subscription(subscription));
        };
        let generation = self.generations.current();
        let at = self.at(&topic);
        if policy != MatchPolicy::Exact {
            return Err(Refusal::history_unavailable(&topic));
        }
        let routed = route(&generation, at)?.map(RouteMatch::for_events);
        // A topic with a rule has no route, and so no history.
        check_allowed(&generation, at, routed.as_ref(), Action::Subscribe, from).map(drop)?;
        let rule = history::rule(routed.as_ref());
        let rule = rule.ok_or_else(|| Refusal::history_unavailable(&topic))?;

        let (topic, is_other) = (&*topic, options.topic.as_ref().is_some_and(|it| **it != *topic));
        let query = options.query(limit)?;
        let now = wall_clock::since_epoch();
        let found = self.realm.find_events(topic, (rule, now), ids::publication(), &query, from);
        let found = found.map_err(|unknown| Refusal::invalid_argument(unknown.to_string()))?;
        if found.events.is_empty() && found.has_more {
            // The caller would take an empty list for the end.
            let message = "the first events of the search are for others: narrow it by time";
            return Err(Refusal::invalid_argument(message.to_owned()));
        }
        let events = if is_other { &[] } else { found.events.as_slice() };
        // An event that JSON cannot express, such as one with NaN, is left out.
        let events: Vec<_> =
            events.iter().filter_map(|it| Found::of(it, subscription, topic)).collect();
        let events = serde_json::to_string(&events).unwrap_or_default();
        Payload::from_json(&format!("[{events}]"), "").map_err(|error| Refusal::bad_event(&error))
    }
}

/// Reads the subscription, and Crossbar's limit.
fn positional(args: &str) -> Result<(SubscriptionId, Option<usize>), Refusal> {
    let wrong = || {
        let how = "the arguments are the id of a subscription, and optionally a limit";
        Refusal::invalid_argument(how.to_owned())
    };
    let args: Vec<Option<u64>> = serde_json::from_str(args).map_err(|_numbers| wrong())?;
    let (id, limit) = match args.as_slice() {
        [Some(id)] => (*id, None),
        [Some(id), limit] => (*id, *limit),
        _ => return Err(wrong()),
    };
    let id = SubscriptionId::new(id).ok_or_else(wrong)?;
    Ok((id, limit.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX))))
}

impl Options {
    /// Returns the query. With a positional limit, the newest event comes first, as in Crossbar.
    fn query(&self, positional: Option<usize>) -> Result<EventQuery, Refusal> {
        let at = |time: &Option<String>, bound: fn(u128) -> Bound<u128>| {
            let time = time.as_deref().map(milliseconds).transpose()?;
            Ok::<_, Refusal>(time.map_or(Bound::Unbounded, bound))
        };
        let id = |id: Option<u64>, bound: fn(PublicationId) -> Bound<PublicationId>| {
            let wrong = |id| Refusal::invalid_argument(format!("{id} is no id of a publication"));
            let id = id.map(|id| PublicationId::new(id).ok_or_else(|| wrong(id))).transpose()?;
            Ok::<_, Refusal>(id.map_or(Bound::Unbounded, bound))
        };
        Ok(EventQuery {
            reverse: self.reverse.unwrap_or(positional.is_some()),
            limit: self.limit.or(positional).unwrap_or(usize::MAX),
            times: vec![
                (at(&self.from_time, Bound::Included)?, at(&self.until_time, Bound::Included)?),
                (at(&self.after_time, Bound::Excluded)?, at(&self.before_time, Bound::Excluded)?),
            ],
            publications: vec![
                (
                    id(self.from_publication, Bound::Included)?,
                    id(self.until_publication, Bound::Included)?,
                ),
                (
                    id(self.after_publication, Bound::Excluded)?,
                    id(self.before_publication, Bound::Excluded)?,
                ),
            ],
        })
    }
}

/// Reads a time. Events have the same precision in answers, so that each can be asked for by its own.
fn milliseconds(text: &str) -> Result<u128, Refusal> {
    let time = OffsetDateTime::parse(text, &Rfc3339).map_err(|_time| {
        Refusal::invalid_argument(format!("`{text}` is no time as in RFC 3339"))
    })?;
    Ok(u128::try_from(time.unix_timestamp_nanos()).unwrap_or(0) / 1_000_000)
}

impl<'a> Found<'a> {
    /// Returns `None` for an event that JSON cannot express.
    fn of(event: &'a PastEvent, subscription: SubscriptionId, topic: &'a str) -> Option<Self> {
        let EventJson { publication, time, args, kwargs, offset: _ } = EventJson::of(event)?;
        let publisher = event.publisher.as_ref();
        let details = Details {
            publisher: publisher.map(|(session, ..)| session.get()),
            publisher_authid: publisher.map(|(_, authid, _)| authid.as_str()),
            publisher_authrole: publisher.map(|(.., authrole)| authrole.as_str()),
        };
        let (timestamp, subscription) = (time, subscription.get());
        Some(Self { timestamp, subscription, publication, topic, details, args, kwargs })
    }
}
