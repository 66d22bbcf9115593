//! One event of a history: all that is needed to send it again.

use std::time::Duration;

use bytes::Bytes;
use jackfield_wamp::event::{Event, Publisher};
use jackfield_wamp::id::{PublicationId, SessionId, SubscriptionId};
use jackfield_wamp::message::ReceiverFilter;
use jackfield_wamp::payload::Payload;
use jackfield_wamp::position::EventNumber;

use super::HistoryRule;
use crate::event_frames::EventFrames;
use crate::publication::{self, Framing, Publication};
use crate::session::Session;

/// One event of a history.
#[derive(Debug)]
pub(super) struct StoredEvent {
    pub(super) offset: u64,
    /// The time since the Unix epoch.
    pub(super) at: Duration,
    pub(super) id: PublicationId,
    /// Its number in a cluster, if its node has told it.
    pub(super) number: Option<EventNumber>,
    /// `None` if the event is withheld: its receivers were chosen by session ids, which end
    /// with their connections, or it is too large.
    pub(super) content: Option<Content>,
    /// Its memory in bytes, and the part of it that is no frame.
    pub(super) bytes: usize,
    pub(super) content_bytes: usize,
}

/// What is needed to send an event again.
#[derive(Debug)]
pub(super) struct Content {
    pub(super) payload: Payload,
    pub(super) publisher: Option<StoredPublisher>,
    pub(super) except: Option<SessionId>,
    pub(super) filter: Option<Box<ReceiverFilter>>,
    pub(super) narrowed: Option<Box<ReceiverFilter>>,
    pub(super) frames: EventFrames,
}

#[derive(Debug)]
pub(super) struct StoredPublisher {
    pub(super) session: SessionId,
    pub(super) authid: String,
    pub(super) authrole: String,
}

/// The approximate memory of an event besides its bytes.
const EVENT_OVERHEAD_BYTES: usize = 384;

impl Content {
    /// Returns `None` for an event whose receivers were chosen by session ids, and for a packed payload:
    /// readers of a history do not see how it is packed.
    pub(super) fn of(publication: &Publication<'_>, frames: EventFrames) -> Option<Self> {
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
            at: None,
            stream: None,
            retained: false,
            trustlevel: None,
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
        let mut event = Self { offset, at, id, number: None, content, bytes: 0, content_bytes: 0 };
        event.measure();
        event
    }

    /// Creates an event of a history. It is withheld if it is longer than all may be together.
    pub(super) fn within(
        rule: &HistoryRule,
        offset: u64,
        at: Duration,
        id: PublicationId,
        content: Option<Content>,
    ) -> Self {
        let mut event = Self::measured(offset, at, id, content);
        if event.content_bytes > rule.bytes {
            event.content = None;
            event.measure();
        }
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

    /// Returns the frame for a session; `None` if its dialect cannot carry the event. `grown` grows by
    /// the memory of a new one.
    pub(super) fn frame(
        &mut self,
        session: &Session,
        topic: &str,
        subscription: SubscriptionId,
        framing: Framing,
        grown: &mut usize,
    ) -> Option<Bytes> {
        let Self { offset, id, number, content, bytes, .. } = self;
        let content = content.as_mut()?;
        let before = content.frames.bytes();
        let dialect = session.dialect;
        let frame = if let Some(frame) = content.frames.known(dialect) {
            frame
        } else {
            content.payload.check_translatable(dialect.codec()).ok()?;
            let event =
                Event { offset: *offset, at: *number, ..content.event(topic, subscription, *id) };
            let frame = publication::frame(&event, framing, dialect);
            if frame.len() > framing.max_bytes {
                return None;
            }
            content.frames.plain(dialect, || frame)
        };
        let frame = content.frames.for_session(session, frame, framing.compress);
        let more = content.frames.bytes() - before;
        *bytes += more;
        *grown += more;
        Some(frame)
    }

    pub(super) fn forget_frames(&mut self) {
        if let Some(content) = &mut self.content {
            content.frames = EventFrames::default();
        }
    }

    pub(super) fn measure(&mut self) {
        let (content, frames) = self.content.as_ref().map_or((0, 0), |content| {
            let Content { payload, filter, narrowed, frames, .. } = content;
            let names: usize = [filter, narrowed].into_iter().flatten().map(|it| it.len()).sum();
            (payload.len() + names * NAME_BYTES, frames.bytes())
        });
        self.content_bytes = EVENT_OVERHEAD_BYTES + content;
        self.bytes = self.content_bytes + frames;
    }
}

/// The approximate memory of a name in a list of receivers.
const NAME_BYTES: usize = 64;
