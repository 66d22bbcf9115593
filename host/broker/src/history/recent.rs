//! The recent events of one topic: offsets without a hole, and the newest events with their frames.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jackfield_wamp::dialect::Dialect;
use jackfield_wamp::event::{Event, Publisher};
use jackfield_wamp::id::{PublicationId, SessionId, SubscriptionId};
use jackfield_wamp::message::ReceiverFilter;
use jackfield_wamp::payload::Payload;
use jackfield_wamp::position::{Epoch, Position};

use super::{HistoryRule, Recording, SavedEvent, SentFrames};
use crate::publication::{self, Framing, Publication};
use crate::session::Session;
use crate::spread::spread;
use crate::total::Total;

/// The epoch and the newest events of a topic.
#[derive(Debug)]
pub(crate) struct RecentEvents {
    topic: Arc<str>,
    epoch: Epoch,
    /// The offset before the first event of the epoch.
    begin: u64,
    /// The offset of the newest event.
    top: u64,
    /// The time of the newest event, or of the begin.
    last: Duration,
    /// The maximum age, as of the last rule.
    age: Duration,
    /// The exact subscription whose id the frames of version 2 have. It keeps its id when its last
    /// subscriber leaves.
    subscription: Option<SubscriptionId>,
    /// The newest events, up to `top`, without a hole.
    events: VecDeque<StoredEvent>,
    /// The event that its publisher has retained; it may be older than the events.
    retained: Option<StoredEvent>,
    /// The memory of the events in bytes.
    bytes: usize,
    /// The part of it that is no frame: a reader, whose frames are made, does not change what is kept.
    content_bytes: usize,
    memory: Arc<Total>,
}

/// One event of a history.
#[derive(Debug)]
pub(super) struct StoredEvent {
    pub(super) offset: u64,
    /// The time since the Unix epoch.
    pub(super) at: Duration,
    pub(super) id: PublicationId,
    /// `None` if the event is withheld: its receivers were chosen by session ids, which end
    /// with their connections, or it is too large.
    pub(super) content: Option<Content>,
    bytes: usize,
    content_bytes: usize,
}

/// What is needed to send an event again.
#[derive(Debug)]
pub(super) struct Content {
    pub(super) payload: Payload,
    pub(super) publisher: Option<StoredPublisher>,
    pub(super) except: Option<SessionId>,
    pub(super) filter: Option<Box<ReceiverFilter>>,
    pub(super) narrowed: Option<Box<ReceiverFilter>>,
    pub(super) frames: [Option<Bytes>; Dialect::COUNT],
}

#[derive(Debug)]
pub(super) struct StoredPublisher {
    pub(super) session: SessionId,
    pub(super) authid: String,
    pub(super) authrole: String,
}

/// The approximate memory of a topic besides its name, and of an event besides its bytes.
const TOPIC_OVERHEAD_BYTES: usize = 256;
const EVENT_OVERHEAD_BYTES: usize = 384;

impl RecentEvents {
    pub(super) fn new(
        topic: &str,
        epoch: Epoch,
        begin: u64,
        now: Duration,
        memory: Arc<Total>,
    ) -> Self {
        memory.replace(0, TOPIC_OVERHEAD_BYTES + topic.len());
        Self {
            topic: topic.into(),
            epoch,
            begin,
            top: begin,
            last: now,
            age: Duration::MAX,
            subscription: None,
            events: VecDeque::new(),
            retained: None,
            bytes: 0,
            content_bytes: 0,
            memory,
        }
    }

    /// Returns the position behind the newest event.
    pub(super) const fn position(&self) -> Position {
        Position { epoch: self.epoch, offset: self.top }
    }

    pub(super) const fn top(&self) -> u64 {
        self.top
    }

    pub(super) const fn last(&self) -> Duration {
        self.last
    }

    /// Returns whether the epoch has had an event.
    pub(super) const fn had_events(&self) -> bool {
        self.top > self.begin
    }

    pub(super) fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// Returns whether the newest event can be sent again.
    pub(super) fn has_newest(&self) -> bool {
        self.events.back().is_some_and(|event| !event.is_withheld())
    }

    /// Returns the event that its publisher has retained.
    pub(super) const fn retained(&self) -> Option<&StoredEvent> {
        self.retained.as_ref()
    }

    /// Replaces the retained event.
    pub(super) fn set_retained(&mut self, event: Option<StoredEvent>) {
        let before = std::mem::replace(&mut self.retained, event);
        let bytes = |event: &Option<StoredEvent>| event.as_ref().map_or(0, |it| it.bytes);
        self.memory.replace(bytes(&before), bytes(&self.retained));
    }

    /// Notes the time of an event.
    pub(super) const fn touch(&mut self, now: Duration) {
        self.last = now;
    }

    /// Returns the id of the topic's exact subscription, if it had one.
    pub(crate) const fn subscription(&self) -> Option<SubscriptionId> {
        self.subscription
    }

    /// Notes the id of the topic's exact subscription. Frames with another one are removed.
    pub(crate) fn set_subscription(&mut self, id: SubscriptionId) {
        if self.subscription.replace(id).is_some_and(|before| before != id) {
            self.forget_frames();
        }
    }

    /// Forgets all frames: they are made again where they are needed.
    pub(super) fn forget_frames(&mut self) {
        for event in &mut self.events {
            event.forget_frames();
        }
        self.recount();
    }

    /// Returns the offset of the next event.
    pub(crate) const fn next_offset(&self) -> u64 {
        self.top + 1
    }

    /// Appends an event that is queued to its receivers.
    pub(crate) fn append(
        &mut self,
        publication: &Publication<'_>,
        recording: &Recording,
        sent: Option<SentFrames>,
    ) {
        let Recording { rule, now } = *recording;
        self.top += 1;
        self.last = now;
        let frames = sent.map(|sent| {
            self.set_subscription(sent.subscription);
            sent.frames
        });
        let content = Content::of(publication, frames.unwrap_or_default());
        let mut event = StoredEvent::measured(self.top, now, publication.id, content);
        if event.content_bytes > rule.bytes {
            event.content = None;
            event.measure();
        }
        self.bytes += event.bytes;
        self.content_bytes += event.content_bytes;
        self.memory.replace(0, event.bytes);
        self.events.push_back(event);
        self.trim(&rule, now);
    }

    /// Removes the oldest events beyond the rule.
    pub(super) fn trim(&mut self, rule: &HistoryRule, now: Duration) {
        self.age = rule.age;
        self.expire(now);
        while self.events.len() > rule.events || self.content_bytes > rule.bytes {
            self.remove_oldest();
        }
    }

    /// Removes events beyond the maximum age.
    pub(super) fn expire(&mut self, now: Duration) {
        while self.events.front().is_some_and(|it| it.at.saturating_add(self.age) < now) {
            self.remove_oldest();
        }
    }

    fn remove_oldest(&mut self) {
        let Some(StoredEvent { bytes, content_bytes, .. }) = self.events.pop_front() else {
            return;
        };
        self.bytes -= bytes;
        self.content_bytes -= content_bytes;
        self.memory.replace(bytes, 0);
    }

    /// Removes all events; the position stays.
    pub(super) fn clear(&mut self) {
        self.memory.replace(self.bytes, 0);
        (self.bytes, self.content_bytes) = (0, 0);
        self.events = VecDeque::new();
    }

    /// Removes all events and begins another epoch. Offsets go on: no subscriber sees one twice.
    pub(crate) fn renew(&mut self) {
        self.clear();
        self.begin = self.top;
        self.epoch = successor(self.epoch);
    }

    /// Returns the events behind an offset; `None` if one of them is gone.
    pub(super) fn behind(
        &mut self,
        offset: u64,
    ) -> Option<impl DoubleEndedIterator<Item = &mut StoredEvent>> {
        let first = self.events.front().map_or(self.top + 1, |event| event.offset);
        let has_all = offset <= self.top && first <= offset.saturating_add(1);
        let passed = usize::try_from(offset.saturating_sub(first - 1)).unwrap_or(usize::MAX);
        has_all.then(|| self.events.iter_mut().skip(passed))
    }

    /// Takes the events of another process over.
    pub(super) fn restore(&mut self, events: Vec<SavedEvent>, top: u64) {
        self.top = top;
        let first = (top + 1).saturating_sub(events.len() as u64);
        let stored = (first..).zip(events).map(|(offset, it)| StoredEvent::restored(offset, it));
        self.events = stored.collect();
        self.recount();
    }

    pub(super) fn stored(&self) -> impl DoubleEndedIterator<Item = &StoredEvent> {
        self.events.iter()
    }

    /// Returns all events, oldest first.
    pub(super) fn all(&mut self) -> impl DoubleEndedIterator<Item = &mut StoredEvent> {
        self.events.iter_mut()
    }

    pub(super) fn topic(&self) -> Arc<str> {
        Arc::clone(&self.topic)
    }

    /// Counts the memory of new frames.
    pub(super) fn grow(&mut self, bytes: usize) {
        self.bytes += bytes;
        self.memory.replace(0, bytes);
    }

    /// Counts the memory again, after frames were removed.
    fn recount(&mut self) {
        let before = std::mem::take(&mut self.bytes);
        self.content_bytes = 0;
        for event in &mut self.events {
            event.measure();
            self.bytes += event.bytes;
            self.content_bytes += event.content_bytes;
        }
        self.memory.replace(before, self.bytes);
    }
}

impl Drop for RecentEvents {
    fn drop(&mut self) {
        self.set_retained(None);
        self.memory.replace(self.bytes + TOPIC_OVERHEAD_BYTES + self.topic.len(), 0);
    }
}

impl Content {
    /// Returns `None` for an event whose receivers were chosen by session ids, and for a packed payload:
    /// readers of a history do not see how it is packed.
    pub(super) fn of(
        publication: &Publication<'_>,
        frames: [Option<Bytes>; Dialect::COUNT],
    ) -> Option<Self> {
        let names_sessions = |it: &ReceiverFilter| !it.exclude.is_empty() || it.eligible.is_some();
        let filters = [publication.filter, publication.narrowed];
        let is_packed = publication.payload.passthru().is_some();
        if is_packed || filters.into_iter().flatten().any(names_sessions) {
            return None;
        }
        let [filter, narrowed] =
            filters.map(|it| it.filter(|it| **it != ReceiverFilter::default()).cloned());
        let publisher = publication.disclosed.map(|publisher| StoredPublisher {
            session: publisher.session,
            authid: publisher.authid.unwrap_or_default().to_owned(),
            authrole: publisher.authrole.unwrap_or_default().to_owned(),
        });
        Some(Self {
            payload: publication.payload.detached(),
            publisher,
            except: publication.except,
            filter: filter.map(Box::new),
            narrowed: narrowed.map(Box::new),
            frames,
        })
    }

    /// Returns the event for the subscribers of one subscription.
    pub(super) fn event<'a>(
        &'a self,
        topic: &'a str,
        subscription: SubscriptionId,
        id: PublicationId,
    ) -> Event<'a> {
        Event {
            topic,
            subscription,
            publication: id,
            pattern: false,
            publisher: self.publisher.as_ref().map(|it| Publisher {
                session: it.session,
                authid: Some(&it.authid),
                authrole: Some(&it.authrole),
            }),
            replaced: 0,
            offset: 0,
            stream: None,
            retained: false,
            payload: &self.payload,
        }
    }
}

impl StoredEvent {
    /// Creates an event, and measures its memory.
    pub(super) fn measured(
        offset: u64,
        at: Duration,
        id: PublicationId,
        content: Option<Content>,
    ) -> Self {
        let mut event = Self { offset, at, id, content, bytes: 0, content_bytes: 0 };
        event.measure();
        event
    }

    /// Returns whether the event is withheld from everybody.
    pub(super) const fn is_withheld(&self) -> bool {
        self.content.is_none()
    }

    /// Returns whether the session may receive the event now.
    pub(super) fn admits(&self, session: &Session) -> bool {
        let Some(Content { except, filter, narrowed, .. }) = &self.content else { return false };
        let filters = [filter, narrowed].into_iter().flatten();
        *except != Some(session.id)
            && filters.into_iter().all(|it| publication::admits(it, session))
    }

    /// Returns the frame of a dialect; `None` if the dialect cannot carry the event. `grown` grows by the
    /// memory of a new one.
    pub(super) fn frame(
        &mut self,
        dialect: Dialect,
        topic: &str,
        subscription: SubscriptionId,
        framing: Framing,
        grown: &mut usize,
    ) -> Option<Bytes> {
        let Self { offset, id, content, bytes, .. } = self;
        let content = content.as_mut()?;
        if let Some(frame) = content.frames.get(dialect.index())? {
            return Some(frame.clone());
        }
        content.payload.check_translatable(dialect.codec()).ok()?;
        let event = Event { offset: *offset, ..content.event(topic, subscription, *id) };
        let frame = publication::frame(&event, framing, dialect);
        if frame.len() > framing.max_bytes {
            return None;
        }
        *bytes += frame.len();
        *grown += frame.len();
        let ready = content.frames.get_mut(dialect.index())?;
        Some(ready.insert(frame).clone())
    }

    fn forget_frames(&mut self) {
        if let Some(content) = &mut self.content {
            content.frames = Default::default();
        }
    }

    fn measure(&mut self) {
        let (content, frames) = self.content.as_ref().map_or((0, 0), |content| {
            let Content { payload, filter, narrowed, frames, .. } = content;
            let names: usize = [filter, narrowed].into_iter().flatten().map(|it| it.len()).sum();
            let frames: usize = frames.iter().flatten().map(Bytes::len).sum();
            (payload.len() + names * NAME_BYTES, frames)
        });
        self.content_bytes = EVENT_OVERHEAD_BYTES + content;
        self.bytes = self.content_bytes + frames;
    }
}

/// The approximate memory of a name in a list of receivers.
const NAME_BYTES: usize = 64;

/// Returns an epoch that differs from all others as much as a random one.
const fn successor(epoch: Epoch) -> Epoch {
    Epoch::new(spread(epoch.get()))
}
