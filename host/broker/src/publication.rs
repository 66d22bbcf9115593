//! An event on its way to its receivers: who may have it, and its bytes, encoded at most once for
//! each dialect of a subscription.

use bytes::Bytes;
use jackfield_wamp::dialect::Dialect;
use jackfield_wamp::error_uri;
use jackfield_wamp::event::{Event, Publisher};
use jackfield_wamp::id::{PublicationId, SessionId};
use jackfield_wamp::message::ReceiverFilter;
use jackfield_wamp::payload::{Payload, Untranslatable};

use crate::session::Session;
use crate::subscriptions::Subscription;

/// How a transport wraps an encoded message, once for all receivers of a dialect.
#[derive(Clone, Copy, Debug)]
pub struct Framing {
    /// Bytes to be left free before the message.
    pub headroom: usize,
    /// Bytes of the longest event, as one of its receivers gets it.
    pub max_bytes: usize,
    /// Writes the header into the headroom; what is returned goes on the wire as it is.
    pub finish: fn(Dialect, Vec<u8>) -> Bytes,
}

/// An event, and who may receive it.
#[derive(Clone, Copy, Debug)]
pub struct Publication<'a> {
    /// The concrete topic.
    pub topic: &'a str,
    /// Shared by all events that it causes.
    pub id: PublicationId,
    /// Who is named to the receivers as the publisher.
    pub disclosed: Option<&'a Session>,
    /// Not delivered to this session.
    pub except: Option<SessionId>,
    /// What the publisher allows; nothing where it said nothing.
    pub filter: Option<&'a ReceiverFilter>,
    /// What the topic's handler allows; both must admit a receiver.
    pub narrowed: Option<&'a ReceiverFilter>,
    /// Who receives it by a prefix or wildcard subscription.
    pub patterns: PatternAudience<'a>,
    /// Args and kwargs.
    pub payload: &'a Payload,
}

/// An event, call or answer is longer than one may be, in the codec of one of its receivers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the message would take {bytes} bytes in the serialization of a receiver, and may take {limit} \
     (limits.event)"
)]
pub struct TooLarge {
    /// What it takes.
    pub bytes: usize,
    /// What it may.
    pub limit: usize,
}

/// Why an event, call or answer cannot be given to one of its receivers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeliveryError {
    /// It is too long.
    #[error(transparent)]
    TooLarge(#[from] TooLarge),
    /// It holds a value that the receiver's codec does not have.
    #[error(transparent)]
    Untranslatable(#[from] Untranslatable),
}

impl DeliveryError {
    /// The error's URI.
    pub const fn uri(&self) -> &'static str {
        match self {
            Self::TooLarge(_) => error_uri::PAYLOAD_SIZE_EXCEEDED,
            Self::Untranslatable(_) => error_uri::INVALID_ARGUMENT,
        }
    }
}

/// No codec makes arguments longer than so many times their bytes in another codec, and this a good
/// deal less: the worst is CBOR's empty byte string, whose 1 byte is 9 in JSON.
const MAX_GROWTH: usize = 16;

/// The sessions that receive a topic's events by a prefix or wildcard subscription. It is judged
/// for the topic at each publication, so that a reload takes effect on subscriptions that are held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatternAudience<'a> {
    /// No session: subscribers of the topic are checked one by one.
    Nobody,
    /// Every session.
    Everybody,
    /// Sessions with any of these roles.
    Roles(&'a [String]),
}

impl PatternAudience<'_> {
    /// Whether the session is among them.
    pub(crate) fn admits(self, session: &Session) -> bool {
        match self {
            Self::Nobody => false,
            Self::Everybody => true,
            Self::Roles(roles) => roles.iter().any(|role| session.identity.roles.contains(role)),
        }
    }
}

/// What a publication came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Events that were queued.
    pub delivered: usize,
    /// Events that were not accepted: the receiver is closing, or does not keep up.
    pub refused: usize,
}

impl Publication<'_> {
    /// Whether the session receives it by this subscription.
    pub(crate) fn reaches(&self, subscription: &Subscription, session: &Session) -> bool {
        (!subscription.pattern || self.patterns.admits(session)) && self.admits(session)
    }

    /// Whether the session may have it. WAMP v2 specification, section "Subscriber Black- and
    /// Whitelisting": in every list of eligible receivers, and in none of excluded ones.
    pub(crate) fn admits(&self, session: &Session) -> bool {
        self.except != Some(session.id)
            && self.filter.is_none_or(|filter| admits(filter, session))
            && self.narrowed.is_none_or(|filter| admits(filter, session))
    }
}

fn admits(filter: &ReceiverFilter, session: &Session) -> bool {
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

/// The frames of one publication for one subscription, each made when its first receiver is met.
pub(crate) struct Frames<'a> {
    event: Event<'a>,
    framing: Framing,
    ready: [Option<Bytes>; Dialect::COUNT],
}

impl<'a> Frames<'a> {
    pub(crate) fn new(
        publication: &Publication<'a>,
        subscription: &Subscription,
        framing: Framing,
    ) -> Self {
        let event = Event {
            topic: publication.topic,
            subscription: subscription.id,
            publication: publication.id,
            pattern: subscription.pattern,
            publisher: publication.disclosed.map(|session| Publisher {
                session: session.id,
                authid: Some(&session.identity.authid),
                authrole: Some(session.identity.authrole()),
            }),
            payload: publication.payload,
        };
        Self { event, framing, ready: [const { None }; Dialect::COUNT] }
    }

    /// Whether an event of these arguments may be refused for a receiver of another codec: most are
    /// so small, and of such values, that the question need not be asked.
    pub(crate) fn may_be_refused(&self) -> bool {
        let room = self.event.topic.len() + EVENT_HEAD + self.event.payload.len();
        room > self.framing.max_bytes / MAX_GROWTH || self.event.payload.check_portable().is_err()
    }

    /// Whether receivers of a dialect can be given the event: its values exactly, and within the
    /// limit of its size.
    pub(crate) fn check(&mut self, dialect: Dialect) -> Result<(), DeliveryError> {
        self.event.payload.check_translatable(dialect.codec())?;
        let (bytes, limit) = (self.get(dialect).len(), self.framing.max_bytes);
        if bytes > limit { Err(TooLarge { bytes, limit }.into()) } else { Ok(()) }
    }

    pub(crate) fn get(&mut self, dialect: Dialect) -> Bytes {
        let Self { event, framing, ready } = self;
        let make = || {
            let room = event.topic.len() + event.payload.len() + EVENT_HEAD;
            let mut message = Vec::with_capacity(framing.headroom + room);
            message.resize(framing.headroom, 0);
            event.encode(dialect, &mut message);
            // A megabyte of white space in JSON is nothing in CBOR; the room that was kept for it
            // would wait in outboxes, uncounted.
            if message.capacity() > 2 * message.len() + EVENT_HEAD {
                message.shrink_to_fit();
            }
            (framing.finish)(dialect, message)
        };
        match ready.get_mut(dialect.index()) {
            Some(frame) => frame.get_or_insert_with(make).clone(),
            None => make(),
        }
    }
}

/// About what an EVENT takes besides topic and payload; a wrong guess costs one reallocation.
const EVENT_HEAD: usize = 64;
