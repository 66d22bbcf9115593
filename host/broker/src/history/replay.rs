//! Replay: the events that a subscriber gets from the history of its topic, behind SUBSCRIBED and
//! before every later event.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jackfield_wamp::dialect::Dialect;
use jackfield_wamp::event::Event;
use jackfield_wamp::id::{PublicationId, SubscriptionId};
use jackfield_wamp::payload::Payload;
use jackfield_wamp::position::{Place, Position, Since, Stream};

use super::stored::StoredEvent;
use super::wish::RetainedWish;
use super::{HistoryRule, RecentEvents};
use crate::outbox::Overflow;
use crate::peers::Gone;
use crate::publication::{self, Framing};
use crate::session::{PendingFlushes, Session};

/// The maximum size of one replay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplayLimits {
    /// The number of events.
    pub events: usize,
    /// The size of their frames in bytes.
    pub bytes: usize,
}

impl ReplayLimits {
    /// The maximum number of events that are looked at.
    pub(super) fn looks(&self) -> usize {
        self.events.saturating_mul(4).max(DEFAULT_LOOKS)
    }
}

impl Default for ReplayLimits {
    fn default() -> Self {
        Self { events: 300, bytes: 1 << 20 }
    }
}

/// The default of the number of events that are looked at for one subscriber, if the limit of a replay is
/// smaller: most may be for others, and the lock of the realm is held meanwhile.
const DEFAULT_LOOKS: usize = 4_096;

/// What a subscriber asks of the history.
#[derive(Clone, Copy, Debug)]
pub struct ReplayRequest<'a> {
    /// The rule of the topic; `None` for topics without history, and for all patterns.
    pub rule: Option<HistoryRule>,
    /// The position of the subscriber, if it asks for what it has missed.
    pub since: Option<&'a Since>,
    /// The retained events that the subscriber asks for.
    pub retained: RetainedWish<'a>,
    /// The policy of the route for subscribers that do not keep up.
    pub overflow: Option<Overflow>,
    /// A random id: that of the answer to `since`, and the epoch of a history that begins here.
    pub id: PublicationId,
    /// The time since the Unix epoch.
    pub now: Duration,
}

/// A session and the subscription by which it receives events.
pub(crate) struct Recipient<'a> {
    pub(crate) session: &'a Arc<Session>,
    pub(crate) subscription: SubscriptionId,
    /// Whether it was no subscriber before. One that was has every event already.
    pub(crate) is_new: bool,
    pub(crate) framing: Framing,
}

/// The events for one subscriber.
struct Selection {
    frames: Vec<Bytes>,
    /// The offset before the first of them.
    offset: u64,
    is_recovered: bool,
    /// The place before the first of them, in a cluster.
    place: Option<Place>,
}

/// Of no node more than up to the offset.
const NONE: BTreeMap<u64, u64> = BTreeMap::new();

/// The part of a history that a subscriber has had.
struct Had {
    /// The offset up to which it has had all.
    offset: u64,
    /// The last event of each node that it has had besides.
    numbers: BTreeMap<u64, u64>,
}

impl Had {
    /// Returns what a subscriber has had; `None` if its position is unknown here.
    fn of(recent: &RecentEvents, since: &Since, gone: Option<&Gone>) -> Option<Self> {
        let place = since.place();
        let origins = recent.origins().zip(gone);
        if let (Some((origins, gone)), Some(place)) = (origins, &place)
            && origins.is_behind(place, gone)
        {
            return None;
        }
        let position = since.position().filter(|it| it.epoch == recent.position().epoch);
        if let Some(Position { offset, .. }) = position {
            // One that comes back from another node in between has had some of the later events.
            let numbers = match (origins, place) {
                (Some((origins, gone)), Some(place)) => origins.had_besides(&place, gone)?,
                _ => BTreeMap::new(),
            };
            return Some(Self { offset, numbers });
        }
        let numbers = origins.and_then(|(origins, gone)| origins.had(&place?, gone))?;
        Some(Self { offset: recent.before_missing(&numbers), numbers })
    }

    /// Returns whether the subscriber has had an event behind the offset.
    fn has(&self, event: &StoredEvent) -> bool {
        let number = event.number;
        number.is_some_and(|it| self.numbers.get(&it.node).is_some_and(|had| it.number <= *had))
    }
}

impl ReplayRequest<'_> {
    /// Returns whether the subscriber gets an answer to its position. Version 1 cannot ask.
    pub(crate) fn is_answered(&self, session: &Session) -> bool {
        self.since.is_some() && session.dialect != Dialect::V1
    }
}

impl Recipient<'_> {
    /// Queues the answer for a subscription without history.
    pub(crate) fn answer_without_history(
        &self,
        request: &ReplayRequest<'_>,
        batch: &mut PendingFlushes,
    ) {
        if request.is_answered(self.session) {
            let stream = Stream { position: None, place: None, recovered: false, replayed: 0 };
            self.session.reply(self.marker(request.id, stream), batch);
        }
    }

    /// Queues a new position, because events before it may be missing.
    pub(crate) fn interrupt(
        &self,
        recent: &RecentEvents,
        id: PublicationId,
        batch: &mut PendingFlushes,
    ) {
        let position = Some(recent.position());
        let stream = Stream { position, place: None, recovered: false, replayed: 0 };
        self.session.reply(self.marker(id, stream), batch);
    }

    /// Queues the answer to the subscriber's position, and the events that follow from it: all that it
    /// has missed, or else what a new subscriber gets. Returns the number of events, and for a new
    /// subscriber with a position whether it is recovered.
    pub(crate) fn replay(
        &self,
        recent: &mut RecentEvents,
        rule: HistoryRule,
        request: &ReplayRequest<'_>,
        (limits, gone): (ReplayLimits, Option<&Gone>),
        batch: &mut PendingFlushes,
    ) -> (usize, Option<bool>) {
        recent.trim(&rule, request.now);
        let is_answered = request.is_answered(self.session);
        let since = request.since.filter(|_| is_answered);
        let had = since.and_then(|it| Had::of(recent, it, gone));
        let is_newest = had.as_ref().is_some_and(|it| it.offset == recent.top());
        let mut retained = match request.retained {
            RetainedWish::OfTopic => self.retained(recent),
            RetainedWish::Nothing | RetainedWish::OfPattern(..) => None,
        };
        if !self.is_new {
            // It has received events that its position may be behind.
            let (offset, place) = (recent.top(), recent.place(recent.top(), &NONE, gone));
            let none = Selection { frames: Vec::new(), offset, is_recovered: is_newest, place };
            self.tell_retained(&mut retained, &none, request, batch);
            self.answer(recent, request, &none, batch);
            return (0, None);
        }
        let mut grown = 0;
        let is_latest = is_answered && request.since.is_some_and(|it| it.latest);
        let missed = had
            .filter(|_| !is_latest || is_newest)
            .and_then(|it| self.missed(recent, &it, (limits, gone), &mut grown));
        recent.grow(grown);
        if let Some(missed) = missed {
            self.tell_retained(&mut retained, &missed, request, batch);
            let answer = self.stream(recent, request, &missed);
            let pushed = self.session.outbox().reply_with_events(answer, &missed.frames);
            if let Some(pushed) = pushed {
                batch.note(self.session, pushed);
                return (missed.frames.len(), Some(true));
            }
        }
        let count = if is_latest { 1 } else { rule.on_subscribe };
        let newest = self.newest(recent, count, (limits, gone));
        self.tell_retained(&mut retained, &newest, request, batch);
        self.answer(recent, request, &newest, batch);
        let count = newest.frames.len();
        self.push(newest.frames, request, batch);
        let had_position = is_answered && request.since.is_some_and(|it| it.epoch.is_some());
        (count, (had_position && !is_latest).then_some(false))
    }

    /// Queues the retained event of a topic without history.
    pub(crate) fn replay_retained(
        &self,
        recent: &RecentEvents,
        request: &ReplayRequest<'_>,
        batch: &mut PendingFlushes,
    ) {
        self.push(self.retained(recent).map(|(_, frame)| frame), request, batch);
    }

    /// Returns the retained event, and its offset.
    fn retained(&self, recent: &RecentEvents) -> Option<(u64, Bytes)> {
        let event = recent.retained()?;
        Some((event.offset, event.retained_frame(self, &recent.topic(), false)?))
    }

    /// Queues the retained event before the replayed ones, unless it is one of them.
    fn tell_retained(
        &self,
        retained: &mut Option<(u64, Bytes)>,
        replayed: &Selection,
        request: &ReplayRequest<'_>,
        batch: &mut PendingFlushes,
    ) {
        let is_among = |offset: u64| offset > replayed.offset && !replayed.frames.is_empty();
        if let Some((_, frame)) = retained.take_if(|(offset, _)| !is_among(*offset)) {
            self.push([frame], request, batch);
        }
    }

    /// Queues older events.
    pub(crate) fn push(
        &self,
        frames: impl IntoIterator<Item = Bytes>,
        request: &ReplayRequest<'_>,
        batch: &mut PendingFlushes,
    ) {
        let outbox = self.session.outbox();
        let overflow = request.overflow.unwrap_or_else(|| outbox.overflow());
        for frame in frames {
            batch.note(self.session, outbox.push_event(frame, overflow));
        }
    }

    fn answer(
        &self,
        recent: &RecentEvents,
        request: &ReplayRequest<'_>,
        selection: &Selection,
        batch: &mut PendingFlushes,
    ) {
        if request.is_answered(self.session) {
            self.session.reply(self.stream(recent, request, selection), batch);
        }
    }

    /// Returns the events that the session has not had and may see. `None` if there is any doubt, or if they
    /// are too many.
    fn missed(
        &self,
        recent: &mut RecentEvents,
        had: &Had,
        (limits, gone): (ReplayLimits, Option<&Gone>),
        grown: &mut usize,
    ) -> Option<Selection> {
        let (topic, top) = (recent.topic(), recent.top());
        let (mut frames, mut bytes, mut first) = (Vec::new(), 0, None);
        let missed = recent.behind(had.offset)?.filter(|event| !had.has(event));
        for (looks, event) in missed.enumerate() {
            if event.is_withheld() || looks == limits.looks() {
                return None;
            }
            if !event.admits(self.session) {
                continue;
            }
            let frame = self.frame(event, &topic, grown)?;
            bytes += frame.len();
            if frames.len() >= limits.events || bytes > limits.bytes {
                return None;
            }
            first.get_or_insert(event.offset);
            frames.push(frame);
        }
        let offset = first.map_or(top, |first| first - 1);
        let place = recent.place(offset, &had.numbers, gone);
        Some(Selection { frames, offset, is_recovered: true, place })
    }

    /// Returns the newest events that the session may see.
    fn newest(
        &self,
        recent: &mut RecentEvents,
        count: usize,
        (limits, gone): (ReplayLimits, Option<&Gone>),
    ) -> Selection {
        let (topic, mut offset) = (recent.topic(), recent.top());
        let (mut frames, mut bytes, mut grown) = (Vec::new(), 0, 0);
        for event in recent.all().rev().take(limits.looks()) {
            if frames.len() >= count.min(limits.events) {
                break;
            }
            if !event.admits(self.session) {
                continue;
            }
            let Some(frame) = self.frame(event, &topic, &mut grown) else { continue };
            bytes += frame.len();
            if bytes > limits.bytes {
                break;
            }
            offset = event.offset - 1;
            frames.push(frame);
        }
        recent.grow(grown);
        frames.reverse();
        let place = recent.place(offset, &NONE, gone);
        Selection { frames, offset, is_recovered: false, place }
    }

    fn frame(&self, event: &mut StoredEvent, topic: &str, grown: &mut usize) -> Option<Bytes> {
        event.frame(self.session, topic, self.subscription, self.framing, grown)
    }

    fn stream(
        &self,
        recent: &RecentEvents,
        request: &ReplayRequest<'_>,
        selection: &Selection,
    ) -> Bytes {
        let Selection { frames, offset, is_recovered, place } = selection;
        let position = Some(Position { offset: *offset, ..recent.position() });
        let replayed = frames.len() as u64;
        self.marker(
            request.id,
            Stream { position, place: place.as_ref(), recovered: *is_recovered, replayed },
        )
    }

    /// Returns an EVENT without arguments, with the detail `_stream`.
    fn marker(&self, id: PublicationId, stream: Stream<'_>) -> Bytes {
        let dialect = self.session.dialect;
        let event = Event {
            topic: "",
            subscription: self.subscription,
            publication: id,
            pattern: false,
            publisher: None,
            replaced: 0,
            offset: 0,
            at: None,
            stream: Some(stream),
            retained: false,
            trustlevel: None,
            payload: &Payload::empty(dialect.codec()),
        };
        publication::frame(&event, self.framing, dialect)
    }
}
