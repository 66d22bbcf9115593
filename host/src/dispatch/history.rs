//! History: whether an event is kept, and what subscribers and others ask of the events that were.
//!
//! The procedure `jackfield.history` and the HTTP API read a history without a subscription, with the
//! rights of one. A handler that decides about subscribers is not asked: it would count a subscriber
//! that there is not.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use jackfield_broker::{
    HistoryPage, HistoryRule, PastEvent, PendingFlushes, Recording, ReplayRequest, RetainedWish,
    SavedTopic, Session,
};
use jackfield_routing::{Action, History};
use jackfield_sandbox::Hook;
use jackfield_wamp::message::{Call, Subscribe};
use jackfield_wamp::payload::Payload;
use jackfield_wamp::position::{Place, Position, Since};
use jackfield_wamp::protocol::{ErrorTo, Reply};
use jackfield_wamp::uri::MatchPolicy;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::authorize::{check_allowed, overflow, route};
use super::{Dispatch, Refusal, reply, uris};
use crate::generation::{Generation, RouteMatch};
use crate::metrics::RequestKind;
use crate::timestamp;
use crate::{ids, wall_clock};

/// The procedure that reads the history of a topic: `[topic, {since, limit}]`.
pub(super) const PROCEDURE: &str = "jackfield.history";

/// The default number of events of a page.
pub(crate) const DEFAULT_EVENTS: usize = 100;

/// The second argument of the procedure.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Options {
    since: Option<WrittenPosition>,
    limit: Option<usize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenPosition {
    epoch: String,
    offset: u64,
}

/// A position in answers.
#[derive(Debug, Serialize)]
pub(crate) struct PositionJson {
    epoch: String,
    offset: u64,
}

/// A part of a history in answers.
#[derive(Debug, Serialize)]
pub(crate) struct HistoryJson {
    epoch: String,
    offset: u64,
    recovered: bool,
    events: Vec<EventJson>,
}

#[derive(Debug, Serialize)]
pub(super) struct EventJson {
    pub(super) offset: u64,
    pub(super) publication: u64,
    pub(super) time: String,
    pub(super) args: Box<RawValue>,
    pub(super) kwargs: Box<RawValue>,
}

impl Dispatch {
    /// Handles a CALL of the procedure.
    pub(super) async fn handle_history(
        &self,
        from: &Arc<Session>,
        call: &Call,
        batch: &mut PendingFlushes,
    ) {
        let answer = self.answer_history(from, call).await;
        self.answer_reader(from, call, answer, batch);
    }

    /// Answers a CALL of a procedure that reads a history.
    pub(super) fn answer_reader(
        &self,
        from: &Arc<Session>,
        call: &Call,
        answer: Result<Payload, Refusal>,
        batch: &mut PendingFlushes,
    ) {
        match answer {
            Ok(payload) => {
                let result =
                    Reply::Result { call: &call.request, progress: false, payload: &payload };
                reply(from, &result, batch);
            }
            Err(refusal) => {
                self.refused(RequestKind::Call, &refusal, from, &call.procedure);
                reply(from, &refusal.reply(ErrorTo::Call { call: &call.request }), batch);
            }
        }
    }

    async fn answer_history(&self, from: &Session, call: &Call) -> Result<Payload, Refusal> {
        let wrong = || {
            let how = "the arguments are a topic, and optionally `{since: {epoch, offset}, limit}`";
            Refusal::invalid_argument(how.to_owned())
        };
        let (args, _) = self.hook_arguments(&call.payload)?;
        let args: Vec<&RawValue> = serde_json::from_str(&args).map_err(|_list| wrong())?;
        let (topic, options) = match args.as_slice() {
            [topic] => (topic, Options::default()),
            [topic, options] => (topic, serde_json::from_str(options.get()).map_err(|_| wrong())?),
            _ => return Err(wrong()),
        };
        let topic: String = serde_json::from_str(topic.get()).map_err(|_text| wrong())?;
        let since = options.since.map(|WrittenPosition { epoch, offset }| Since {
            epoch: Some(epoch),
            offset: Some(offset),
            ..Since::default()
        });
        let limit = options.limit.unwrap_or(DEFAULT_EVENTS);
        let since = since.as_ref().and_then(Since::position);
        let page = self.history(from, &topic, since, limit).await?;
        let page = serde_json::to_string(&page).unwrap_or_default();
        Payload::from_json(&format!("[{page}]"), "").map_err(|error| Refusal::bad_event(&error))
    }

    /// Returns a part of the history of a topic in JSON: the events behind a position, or the newest ones.
    ///
    /// # Errors
    /// When the session may not subscribe to the topic, or only its handler knows; or without a history.
    pub(crate) async fn history(
        &self,
        from: &Session,
        topic: &str,
        since: Option<Position>,
        limit: usize,
    ) -> Result<HistoryJson, Refusal> {
        let generation = self.generations.current();
        let routed = self.check_history(&generation, from, topic)?;
        let is_subscribed = self.realm.subscription(from.id, topic).is_some();
        if !is_subscribed && routed.has(Hook::Subscribe) {
            return Err(Refusal::only_for_subscribers(&routed.route.name));
        }
        self.announce_reader(topic).await;
        self.complete_reader(topic).await;
        let since = since.filter(|_| !self.may_lack_events());
        let HistoryPage { position, place, is_complete, events } =
            self.page(&routed, from, (since, limit))?;
        let count = events.len();
        // An event that JSON cannot express, such as one with NaN, is left out.
        let events: Vec<_> = events.iter().filter_map(EventJson::of).collect();
        let recovered = is_complete && events.len() == count;
        let PositionJson { epoch, offset } = PositionJson::of(position, place.as_ref());
        Ok(HistoryJson { epoch, offset, recovered, events })
    }

    /// Returns the position behind the newest event of a topic in JSON. It tells nothing of the events,
    /// so the roles of the session decide alone.
    ///
    /// # Errors
    /// When the roles may not subscribe to the topic, or without a history.
    pub(crate) async fn position(
        &self,
        from: &Session,
        topic: &str,
    ) -> Result<PositionJson, Refusal> {
        let generation = self.generations.current();
        let routed = self.check_history(&generation, from, topic)?;
        self.announce_reader(topic).await;
        self.complete_reader(topic).await;
        let page = self.page(&routed, from, (None, 0))?;
        Ok(PositionJson::of(page.position, page.place.as_ref()))
    }

    /// Returns the histories of topics, for the next process. Before the first generation, they are those
    /// of the last process.
    pub(crate) fn histories(&self) -> Vec<SavedTopic> {
        let generation = self.generations.current();
        let has = |topic: &str| rule(generation.find(topic).as_ref()).is_some();
        self.realm.save_histories(|topic| generation.number() == 0 || has(topic))
    }

    fn check_history<'g, 't: 'g>(
        &'t self,
        generation: &'g Generation,
        from: &Session,
        topic: &'t str,
    ) -> Result<RouteMatch<'g, 't>, Refusal> {
        uris::check(from, topic, MatchPolicy::Exact)?;
        let at = self.at(topic);
        let routed = route(generation, at)?.map(RouteMatch::for_events);
        // A topic with a rule has no route, and so no history.
        check_allowed(generation, at, routed.as_ref(), Action::Subscribe, from).map(drop)?;
        routed.ok_or_else(|| Refusal::no_history(topic))
    }

    fn page(
        &self,
        routed: &RouteMatch<'_, '_>,
        from: &Session,
        wanted: (Option<Position>, usize),
    ) -> Result<HistoryPage, Refusal> {
        let topic = routed.topic;
        let rule = rule(Some(routed)).ok_or_else(|| Refusal::no_history(topic))?;
        let now = wall_clock::since_epoch();
        Ok(self.realm.history_page(topic, (rule, now), ids::publication(), wanted, from))
    }
}

impl PositionJson {
    fn of(position: Position, place: Option<&Place>) -> Self {
        Self { epoch: position.epoch_text(place), offset: position.offset }
    }
}

impl EventJson {
    /// Returns `None` for an event that JSON cannot express.
    pub(super) fn of(event: &PastEvent) -> Option<Self> {
        let PastEvent { offset, publication, at, publisher: _, payload } = event;
        payload.check_portable().ok()?;
        // They are JSON already.
        let raw = |text: Cow<'_, str>| RawValue::from_string(text.into_owned()).unwrap_or_default();
        Some(Self {
            offset: *offset,
            publication: publication.get(),
            time: timestamp::time(UNIX_EPOCH + *at),
            args: raw(payload.args_json()),
            kwargs: raw(payload.kwargs_json()),
        })
    }
}

/// Returns the rule of a topic's history and the time, if its route has a history.
pub(super) fn recording(routed: Option<&RouteMatch<'_, '_>>) -> Option<Recording> {
    let is_durable = routed?.route.history?.durable;
    rule(routed).map(|rule| Recording { rule, now: wall_clock::since_epoch(), is_durable })
}

/// Returns what a subscriber asks of the history of a topic; `None` if it gets nothing.
pub(super) fn replay_request<'a>(
    routed: Option<&RouteMatch<'_, '_>>,
    subscribe: &'a Subscribe,
) -> Option<ReplayRequest<'a>> {
    let rule = rule(routed);
    let retained =
        if subscribe.get_retained { RetainedWish::OfTopic } else { RetainedWish::Nothing };
    if rule.is_none() && subscribe.since.is_none() && !subscribe.get_retained {
        return None;
    }
    let now = rule.map_or(Duration::ZERO, |_| wall_clock::since_epoch());
    let since = subscribe.since.as_ref();
    let overflow = overflow(routed);
    Some(ReplayRequest { rule, since, retained, overflow, id: ids::publication(), now })
}

/// Returns the request without the retained event of the topic, for a session that may not see it any more.
pub(super) fn without_retained(request: Option<ReplayRequest<'_>>) -> Option<ReplayRequest<'_>> {
    request.map(|it| ReplayRequest { retained: RetainedWish::Nothing, ..it })
}

/// Returns whether the history of a topic ends with a reload: unless both generations keep its events,
/// some may be missing. The first generation has none before it: no event was missed meanwhile.
pub(super) fn ends(old: &Generation, new: &Generation, topic: &str) -> bool {
    let has = |generation: &Generation| rule(generation.find(topic).as_ref()).is_some();
    !has(new) || (old.number() > 0 && !has(old))
}

/// Returns whether the events of a topic are saved before they are delivered.
pub(super) fn is_durable(generation: &Generation, topic: &str) -> bool {
    let routed = generation.find(topic).map(RouteMatch::for_events);
    routed.and_then(|it| it.route.history).is_some_and(|it| it.durable)
}

pub(super) fn rule(routed: Option<&RouteMatch<'_, '_>>) -> Option<HistoryRule> {
    let History { events, age, bytes, on_subscribe, durable: _ } = routed?.route.history?;
    Some(HistoryRule { events, age, bytes, on_subscribe })
}
