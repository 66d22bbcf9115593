//! A publication: its audience, and its frames, encoded at most once per dialect and subscription.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jackfield_wamp::dialect::Dialect;
use jackfield_wamp::error_uri;
use jackfield_wamp::event::{Event, Publisher};
use jackfield_wamp::id::{PublicationId, SessionId};
use jackfield_wamp::message::ReceiverFilter;
use jackfield_wamp::payload::{Payload, Untranslatable};
use jackfield_wamp::position::EventNumber;

use crate::client_key::ClientKey;
use crate::event_frames::EventFrames;
use crate::node::NodeId;
use crate::outbox::Overflow;
use crate::recording::{Recording, SentFrames};
use crate::session::{PendingFlushes, Session};
use crate::subscriptions::Subscription;

/// Framing of an encoded message by the transport, once for all receivers of a dialect.
#[derive(Clone, Copy, Debug)]
pub struct Framing {
    /// Bytes reserved before the message.
    pub headroom: usize,
    /// Longest event in bytes, in a receiver's encoding.
    pub max_bytes: usize,
    /// Writes the header into the headroom. The result goes on the wire unchanged.
    pub finish: fn(Dialect, Vec<u8>) -> Bytes,
    /// Returns the compressed form of a finished frame, for the sessions that take it; `None` if it is
    /// not worth it.
    pub compress: fn(&Bytes) -> Option<Bytes>,
}

impl Framing {
    /// Returns the same without compression.
    pub(crate) const fn uncompressed(self) -> Self {
        Self { compress: |_| None, ..self }
    }
}

/// An event and its audience.
#[derive(Clone, Copy, Debug)]
pub struct Publication<'a> {
    /// The concrete topic.
    pub topic: &'a str,
    /// The publication's id, shared by all its events.
    pub id: PublicationId,
    /// The publisher, if it is disclosed to the receivers.
    pub disclosed: Option<Publisher<'a>>,
    /// The client for which a history counts that begins here.
    pub client: Option<ClientKey>,
    /// A session that does not receive the event.
    pub except: Option<SessionId>,
    /// The publisher's restriction of the receivers.
    pub filter: Option<&'a ReceiverFilter>,
    /// The handler's restriction of the receivers; both must admit a receiver.
    pub narrowed: Option<&'a ReceiverFilter>,
    /// The receivers by prefix or wildcard subscriptions.
    pub patterns: PatternAudience<'a>,
    /// The policy for subscribers that do not keep up; `None` is that of their outboxes.
    pub overflow: Option<Overflow>,
    /// The rule of the topic's history, if it has one.
    pub recording: Option<&'a Recording>,
    /// The time since the Unix epoch, if the publisher wants later subscribers to get the event.
    pub retain: Option<Duration>,
    /// The trust level, for subscribers that announce it. Events of the past have none.
    pub trustlevel: Option<u32>,
    /// Where the event was published.
    pub source: EventSource,
    /// The arguments of the event.
    pub payload: &'a Payload,
}

/// The place where an event was published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventSource {
    /// This node.
    Here,
    /// Another node, with the number that it has given the event, see [`EventNumber`].
    Node(NodeId, Option<u64>),
}

impl<'a> Publication<'a> {
    /// Creates a publication without a publisher for all subscribers by name, which is not kept.
    pub const fn new(topic: &'a str, id: PublicationId, payload: &'a Payload) -> Self {
        Self {
            topic,
            id,
            disclosed: None,
            client: None,
            except: None,
            filter: None,
            narrowed: None,
            patterns: PatternAudience::Nobody,
            overflow: None,
            recording: None,
            retain: None,
            trustlevel: None,
            source: EventSource::Here,
            payload,
        }
    }
}

/// A message exceeds the size limit in a receiver's codec.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the message would take {bytes} bytes in the serialization of a receiver, and may take {limit} \
     (limits.event)"
)]
pub struct TooLarge {
    /// Size of the encoded message in bytes.
    pub bytes: usize,
    /// The limit in bytes.
    pub limit: usize,
}

/// An event, call or answer cannot be delivered to one of its receivers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeliveryError {
    /// The encoded message exceeds the size limit.
    #[error(transparent)]
    TooLarge(#[from] TooLarge),
    /// The payload holds a value that the receiver's codec cannot carry.
    #[error(transparent)]
    Untranslatable(#[from] Untranslatable),
    /// The payload is packed, and the receiver does not unpack it.
    #[error("the payload has `ppt_scheme`, and the receiver announces no `payload_passthru_mode`")]
    NoPassthru,
}

impl DeliveryError {
    /// Returns the URI of the error.
    pub const fn uri(&self) -> &'static str {
        match self {
            Self::TooLarge(_) => error_uri::PAYLOAD_SIZE_EXCEEDED,
            Self::Untranslatable(_) => error_uri::INVALID_ARGUMENT,
            Self::NoPassthru => error_uri::FEATURE_NOT_SUPPORTED,
        }
    }
}

/// Bound on the growth of arguments between codecs. The worst real case is CBOR's empty byte
/// string, whose 1 byte becomes 9 in JSON.
const MAX_GROWTH: usize = 16;

/// Sessions that receive a topic's events by a prefix or wildcard subscription. It is determined at
/// each publication, so that a reload takes effect on existing subscriptions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatternAudience<'a> {
    /// No session: subscribers are checked one by one at subscription.
    Nobody,
    /// Every session.
    Everybody,
    /// Sessions with any of these roles.
    Roles(&'a [String]),
}

impl PatternAudience<'_> {
    /// Returns whether the session is in the audience.
    pub fn admits(self, session: &Session) -> bool {
        match self {
            Self::Nobody => false,
            Self::Everybody => true,
            Self::Roles(roles) => roles.iter().any(|role| session.identity.roles.contains(role)),
        }
    }
}

/// Result of a publication.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeliveryReport {
    /// Number of queued events.
    pub delivered: usize,
    /// Whether the event has ended a durable history, since it is not saved: the file has one that is
    /// to be removed.
    pub has_ended_durable: bool,
}

impl Publication<'_> {
    /// Returns whether the session receives the event by this subscription.
    pub(crate) fn reaches(&self, subscription: &Subscription, session: &Session) -> bool {
        (!subscription.pattern || self.patterns.admits(session)) && self.admits(session)
    }

    /// Returns whether the session may receive the event: it is in every list of eligible receivers
    /// and in no list of excluded ones. WAMP v2 specification, section "Subscriber Black- and
    /// Whitelisting".
    pub(crate) fn admits(&self, session: &Session) -> bool {
        self.except != Some(session.id)
            && self.filter.is_none_or(|filter| admits(filter, session))
            && self.narrowed.is_none_or(|filter| admits(filter, session))
    }
}

/// Returns whether the lists of receivers admit a session.
pub(crate) fn admits(filter: &ReceiverFilter, session: &Session) -> bool {
    let ReceiverFilter {
        exclude,
        exclude_authid,
        exclude_authrole,
        eligible,
        eligible_authid,
        eligible_authrole,
    } = filter;
    let identity = &session.identity;
    !exclude.contains(&session.id)
        && !exclude_authid.contains(&identity.authid)
        && !identity.has_any_role(exclude_authrole)
        && eligible.as_ref().is_none_or(|list| list.contains(&session.id))
        && eligible_authid.as_ref().is_none_or(|list| list.contains(&identity.authid))
        && eligible_authrole.as_ref().is_none_or(|list| identity.has_any_role(list))
}

/// The place of an event in the history of its topic; without a history, offset 0.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct EventPlace {
    pub(crate) offset: u64,
    /// The number of the event in a cluster.
    pub(crate) number: Option<EventNumber>,
}

/// Lazily encoded frames of one publication and subscription, one per dialect; and another one, if it has a
/// trust level and some subscribers take that.
pub(crate) struct Frames<'a> {
    event: Event<'a>,
    framing: Framing,
    overflow: Option<Overflow>,
    trustlevel: Option<u32>,
    ready: EventFrames,
    with_trustlevel: EventFrames,
}

impl<'a> Frames<'a> {
    pub(crate) fn new(
        publication: &Publication<'a>,
        place: EventPlace,
        subscription: &Subscription,
        framing: Framing,
    ) -> Self {
        let event = Event {
            topic: publication.topic,
            subscription: subscription.id,
            publication: publication.id,
            pattern: subscription.pattern,
            publisher: publication.disclosed,
            replaced: 0,
            offset: place.offset,
            at: place.number,
            stream: None,
            retained: false,
            trustlevel: None,
            payload: publication.payload,
        };
        let Publication { overflow, trustlevel, .. } = *publication;
        let (ready, with_trustlevel) = (EventFrames::default(), EventFrames::default());
        Self { event, framing, overflow, trustlevel, ready, with_trustlevel }
    }

    /// Returns whether the event may be undeliverable to a receiver of another codec. Most events
    /// are too small and simple, so that [`Frames::check`] can be skipped.
    pub(crate) fn may_be_refused(&self) -> bool {
        let room = self.event.topic.len() + EVENT_HEAD_BYTES + self.event.payload.len();
        room > self.framing.max_bytes / MAX_GROWTH || self.event.payload.check_portable().is_err()
    }

    /// Checks that a receiver can get the event: its values exactly, and within the size limit.
    pub(crate) fn check(&mut self, session: &Session) -> Result<(), DeliveryError> {
        self.event.payload.check_translatable(session.dialect.codec())?;
        let (bytes, limit) = (self.get(session).len(), self.framing.max_bytes);
        if bytes > limit { Err(TooLarge { bytes, limit }.into()) } else { Ok(()) }
    }

    fn get(&mut self, session: &Session) -> Bytes {
        let (dialect, trustlevel) = (session.dialect, self.trustlevel_for(session));
        let Self { event, framing, ready, with_trustlevel, .. } = self;
        let ready = if trustlevel.is_some() { with_trustlevel } else { ready };
        ready.plain(dialect, || frame(&Event { trustlevel, ..*event }, *framing, dialect))
    }

    /// Returns the frame for a session, in the form that it takes.
    fn get_for(&mut self, session: &Session) -> Bytes {
        let frame = self.get(session);
        let has_trustlevel = self.trustlevel_for(session).is_some();
        let ready = if has_trustlevel { &mut self.with_trustlevel } else { &mut self.ready };
        ready.for_session(session, frame, self.framing.compress)
    }

    fn trustlevel_for(&self, session: &Session) -> Option<u32> {
        self.trustlevel.filter(|_| session.features.publication_trustlevels)
    }

    /// Returns the frames that were sent, for the history of the topic.
    pub(crate) fn into_sent(self) -> SentFrames {
        SentFrames { subscription: self.event.subscription, frames: self.ready }
    }

    /// Queues the event for a subscriber, to be flushed with the batch. Returns whether it was accepted.
    /// Only an event of an exact subscription replaces older ones: a pattern has many topics.
    pub(crate) fn deliver(&mut self, session: &Arc<Session>, batch: &mut PendingFlushes) -> bool {
        let frame = self.get_for(session);
        let outbox = session.outbox();
        let overflow = self.overflow.unwrap_or_else(|| outbox.overflow());
        let pushed = if overflow == Overflow::Latest && !self.event.pattern {
            let replacing = |count| self.replacing(session, count);
            outbox.push_latest(self.event.subscription, frame, replacing)
        } else {
            outbox.push_event(frame, overflow)
        };
        batch.note(session, pushed)
    }

    /// Returns the frame for a subscriber that has not read so many older events, which this one
    /// replaces; `None` if its version cannot show it.
    fn replacing(&self, session: &Session, replaced: u64) -> Option<Bytes> {
        let (dialect, trustlevel) = (session.dialect, self.trustlevel_for(session));
        let event = Event { replaced, trustlevel, ..self.event };
        (dialect != Dialect::V1).then(|| frame(&event, self.framing, dialect))
    }
}

/// Returns the frame of an event.
pub(crate) fn frame(event: &Event<'_>, framing: Framing, dialect: Dialect) -> Bytes {
    let room = event.topic.len() + event.payload.len() + EVENT_HEAD_BYTES;
    let mut message = Vec::with_capacity(framing.headroom + room);
    message.resize(framing.headroom, 0);
    event.encode(dialect, &mut message);
    // A megabyte of white space in JSON disappears in CBOR; the unused capacity would wait in
    // outboxes, uncounted.
    if message.capacity() > 2 * message.len() + EVENT_HEAD_BYTES {
        message.shrink_to_fit();
    }
    (framing.finish)(dialect, message)
}

/// Approximate size of an EVENT besides topic and payload; a wrong guess costs one reallocation.
const EVENT_HEAD_BYTES: usize = 64;
