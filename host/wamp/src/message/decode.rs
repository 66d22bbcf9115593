//! Decoding of a [`Message`]: every element up to the payload is typed; the payload is checked and
//! kept as bytes.
//!
//! Lenient where the specification demands it or old clients need it: unknown options and extra
//! elements are ignored, null options count as absent, floats without a fraction are integers.
//! Strict otherwise: an option with the wrong type or an unknown value is an error.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::options::TRUSTLEVEL;
use super::passthru_options::PassthruOptions;
use super::reader::{MessageReader, OptionValue, whole};
use super::{
    Abort, Authenticate, Call, CallId, CallOptions, CallResult, Cancel, CancelMode, Challenge,
    Error, Event, Goodbye, Hello, Interrupt, Invocation, InvocationPolicy, Message, MessageKind,
    Publish, PublishOptions, Published, ReceiverFilter, Register, RegisterOptions, Registered,
    Subscribe, Subscribed, Unregister, Unregistered, Unsubscribe, Unsubscribed, Welcome, Yield,
};
use crate::codec::{DEFAULT_DEPTH, ReadError};
use crate::dialect::Codec;
use crate::id::{PublicationId, RegistrationId, RequestId, SessionId, SubscriptionId};
use crate::payload::Payload;
use crate::uri::MatchPolicy;

/// A message cannot be decoded. The texts are sent to the client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the texts describe the fields are")]
pub enum DecodeError {
    /// The bytes are not a value of the codec.
    #[error("the message is not well-formed {codec}: {fault}")]
    Malformed { codec: &'static str, fault: ReadError },
    /// A well-formed value that is not supported. The rest of the message can be read, and a
    /// request be answered.
    #[error("the message holds a value that is not supported: {fault}")]
    Unsupported { fault: ReadError },
    /// The payload uses Autobahn's payload transparency, which the router has not announced.
    #[error("{place} is an option of payload transparency, which this router does not announce")]
    Transparency { place: String },
    /// A payload in payload passthru mode is not one item.
    #[error("{place} must be one item in payload passthru mode, without ArgumentsKw")]
    Unpacked { place: String },
    /// The value is not a list.
    #[error("a message must be a list, found {found}")]
    NotAList { found: &'static str },
    /// The list does not begin with a code.
    #[error("a message must begin with its code, found {found}")]
    NoCode { found: &'static str },
    /// The code is unknown.
    #[error("no message has the code {code}")]
    UnknownCode { code: String },
    /// Version 1: a message that only routers send.
    #[error("only routers may send a message of the code {code}")]
    RouterOnly { code: u64 },
    /// The list ends too early.
    #[error("{message} ends before its element {element}")]
    Short { message: &'static str, element: &'static str },
    /// An element has the wrong type.
    #[error("{place} must be {expected}, found {found}")]
    WrongType { place: String, expected: &'static str, found: &'static str },
    /// An option has the wrong type or an unknown value.
    #[error("{place} must be {expected}, found {found}")]
    WrongOption { place: String, expected: &'static str, found: String },
    /// An id is outside 1..=2^53.
    #[error("{place} must be in 1..=2^53, found {number}")]
    OutOfRange { place: String, number: u64 },
    /// An ERROR does not refer to a request.
    #[error("ERROR.REQUEST.Type must be the code of a request, found {code}")]
    NotARequest { code: u64 },
    /// Version 1: a limit is exceeded.
    #[error("{problem}; at most {limit} are allowed")]
    TooMuch { problem: &'static str, limit: usize },
}

impl Message {
    /// Decodes one message of that codec. JSON must have been checked to be UTF-8.
    pub fn decode(codec: Codec, frame: &Bytes) -> Result<Self, DecodeError> {
        Self::decode_within(codec, frame, DEFAULT_DEPTH)
    }

    /// Decodes one message with at most `depth` nested lists and dictionaries.
    ///
    /// # Errors
    /// [`DecodeError`]
    pub fn decode_within(codec: Codec, frame: &Bytes, depth: usize) -> Result<Self, DecodeError> {
        let mut head = MessageReader::enter(codec, frame, depth)?;
        let item = head.first()?;
        let code = whole(&item).ok_or(DecodeError::NoCode { found: item.describe() })?;
        let kind = MessageKind::from_code(code)
            .ok_or_else(|| DecodeError::UnknownCode { code: code.to_string() })?;
        head.message = kind.name();
        let message = decode_body(kind, &mut head)?;
        head.finish()?;
        Ok(message)
    }
}

fn decode_body(kind: MessageKind, head: &mut MessageReader<'_>) -> Result<Message, DecodeError> {
    Ok(match kind {
        MessageKind::Hello => {
            Message::Hello(Hello { realm: head.text("Realm")?, details: head.dict("Details")? })
        }
        MessageKind::Welcome => Message::Welcome(Welcome {
            session: head.id("Session", SessionId::new)?,
            details: head.dict("Details")?,
        }),
        MessageKind::Abort => Message::Abort(Abort {
            details: head.dict("Details")?,
            reason: head.text("Reason")?,
            payload: head.payload()?,
        }),
        MessageKind::Challenge => Message::Challenge(Challenge {
            method: head.text("AuthMethod")?,
            extra: head.dict("Extra")?,
        }),
        MessageKind::Authenticate => Message::Authenticate(Authenticate {
            signature: head.text("Signature")?,
            extra: head.dict("Extra")?,
        }),
        MessageKind::Goodbye => Message::Goodbye(Goodbye {
            details: head.dict("Details")?,
            reason: head.text("Reason")?,
        }),
        MessageKind::Error => Message::Error(decode_error(head)?),
        MessageKind::Publish => Message::Publish(decode_publish(head)?),
        MessageKind::Published => Message::Published(Published {
            request: request(head)?,
            publication: head.id("Publication", PublicationId::new)?,
        }),
        MessageKind::Subscribe => Message::Subscribe(decode_subscribe(head)?),
        MessageKind::Subscribed => Message::Subscribed(Subscribed {
            request: request(head)?,
            subscription: subscription(head)?,
        }),
        MessageKind::Unsubscribe => Message::Unsubscribe(Unsubscribe::ById {
            request: request(head)?,
            subscription: subscription(head)?,
        }),
        MessageKind::Unsubscribed => Message::Unsubscribed(decode_unsubscribed(head)?),
        MessageKind::Event => Message::Event(Event {
            subscription: subscription(head)?,
            publication: head.id("Publication", PublicationId::new)?,
            details: head.dict("Details")?,
            payload: head.payload()?,
        }),
        MessageKind::Call => Message::Call(decode_call(head)?),
        MessageKind::Cancel => {
            Message::Cancel(Cancel { request: request(head)?, mode: cancel_mode(head)? })
        }
        MessageKind::Result => {
            let (request, progress, payload) = decode_result(head, "Details")?;
            Message::Result(CallResult { request, progress, payload })
        }
        MessageKind::Register => Message::Register(Register {
            request: request(head)?,
            options: register_options(head)?,
            procedure: head.text("Procedure")?,
        }),
        MessageKind::Registered => Message::Registered(Registered {
            request: request(head)?,
            registration: registration(head)?,
        }),
        MessageKind::Unregister => Message::Unregister(Unregister {
            request: request(head)?,
            registration: registration(head)?,
        }),
        MessageKind::Unregistered => Message::Unregistered(decode_unregistered(head)?),
        MessageKind::Invocation => Message::Invocation(Invocation {
            request: request(head)?,
            registration: registration(head)?,
            details: head.dict("Details")?,
            payload: head.payload()?,
        }),
        MessageKind::Interrupt => Message::Interrupt(Interrupt {
            request: request(head)?,
            options: head.dict("Options")?,
        }),
        MessageKind::Yield => {
            let (request, progress, payload) = decode_result(head, "Options")?;
            Message::Yield(Yield { request, progress, payload })
        }
    })
}

fn request(head: &mut MessageReader<'_>) -> Result<RequestId, DecodeError> {
    head.id("Request", RequestId::new)
}

fn subscription(head: &mut MessageReader<'_>) -> Result<SubscriptionId, DecodeError> {
    head.id("Subscription", SubscriptionId::new)
}

fn registration(head: &mut MessageReader<'_>) -> Result<RegistrationId, DecodeError> {
    head.id("Registration", RegistrationId::new)
}

fn decode_error(head: &mut MessageReader<'_>) -> Result<Error, DecodeError> {
    let code = head.id("REQUEST.Type", Some)?;
    let request_type = MessageKind::from_code(code)
        .filter(|kind| kind.is_request())
        .ok_or(DecodeError::NotARequest { code })?;
    let request = request(head)?;
    let details = head.dict("Details")?;
    let passthru = PassthruOptions::of_details(&details)?;
    let uri = head.text("Error")?;
    let payload = passthru.attach(head, "Details")?;
    Ok(Error { request_type, request, details, uri, payload })
}

fn decode_publish(head: &mut MessageReader<'_>) -> Result<Publish, DecodeError> {
    let mut passthru = PassthruOptions::default();
    let request = request(head)?;
    let options = publish_options(head, &mut passthru)?;
    let topic = head.text("Topic")?;
    Ok(Publish { request, options, topic, payload: passthru.attach(head, "Options")? })
}

fn publish_options(
    head: &mut MessageReader<'_>,
    passthru: &mut PassthruOptions,
) -> Result<PublishOptions, DecodeError> {
    let mut options = PublishOptions::default();
    let mut filter = ReceiverFilter::default();
    head.options("Options", |option| match option.key {
        "acknowledge" => option.flag(&mut options.acknowledge),
        "exclude_me" => option.flag(&mut options.exclude_me),
        "disclose_me" => option.flag(&mut options.disclose_me),
        "retain" => option.flag(&mut options.retain),
        TRUSTLEVEL => option.number().map(|number| options.trustlevel = level(number)),
        "exclude" => option.sessions().map(|list| filter.exclude = set(list)),
        "exclude_authid" => option.texts().map(|list| filter.exclude_authid = set(list)),
        "exclude_authrole" => option.texts().map(|list| filter.exclude_authrole = set(list)),
        "eligible" => option.sessions().map(|list| filter.eligible = if_any(list)),
        "eligible_authid" => option.texts().map(|list| filter.eligible_authid = if_any(list)),
        "eligible_authrole" => option.texts().map(|list| filter.eligible_authrole = if_any(list)),
        _ => passthru.read(option),
    })?;
    options.filter = filter.into_option();
    Ok(options)
}

fn level(number: Option<u64>) -> Option<u32> {
    number.and_then(|number| u32::try_from(number).ok())
}

fn set<T: Ord>(list: Vec<T>) -> BTreeSet<T> {
    list.into_iter().collect()
}

fn if_any<T: Ord>(list: Vec<T>) -> Option<BTreeSet<T>> {
    if list.is_empty() { None } else { Some(set(list)) }
}

fn decode_subscribe(head: &mut MessageReader<'_>) -> Result<Subscribe, DecodeError> {
    let request = request(head)?;
    let mut policy = MatchPolicy::default();
    let mut get_retained = false;
    let mut since = None;
    head.options("Options", |option| match option.key {
        "match" => choose_policy(option, &mut policy),
        "get_retained" => option.flag(&mut get_retained),
        "_since" => option.since().map(|given| since = given),
        _ => option.ignore(),
    })?;
    Ok(Subscribe { request, policy, get_retained, since, topic: head.text("Topic")? })
}

fn choose_policy(option: OptionValue<'_, '_>, policy: &mut MatchPolicy) -> Result<(), DecodeError> {
    option.choice(policy, "\"exact\", \"prefix\" or \"wildcard\"", MatchPolicy::from_name)
}

fn decode_unsubscribed(head: &mut MessageReader<'_>) -> Result<Unsubscribed, DecodeError> {
    let request = request(head)?;
    let (id, reason) = revocation(head, "subscription")?;
    Ok(match id.and_then(SubscriptionId::new) {
        Some(subscription) if request.get() == 0 => Unsubscribed::Revoked { subscription, reason },
        Some(_) | None => Unsubscribed::Done(request),
    })
}

fn decode_unregistered(head: &mut MessageReader<'_>) -> Result<Unregistered, DecodeError> {
    let request = request(head)?;
    let (id, reason) = revocation(head, "registration")?;
    Ok(match id.and_then(RegistrationId::new) {
        Some(registration) if request.get() == 0 => Unregistered::Revoked { registration, reason },
        Some(_) | None => Unregistered::Done(request),
    })
}

/// Reads the last element of UNSUBSCRIBED and UNREGISTERED, which only revocations have.
fn revocation(
    head: &mut MessageReader<'_>,
    name: &str,
) -> Result<(Option<u64>, Option<String>), DecodeError> {
    let mut id = None;
    let mut reason = None;
    let options = head.options("Details", |option| match option.key {
        "reason" => option.text().map(|text| reason = text),
        key if key == name => option.number().map(|number| id = number),
        _ => option.ignore(),
    });
    match options {
        Ok(()) | Err(DecodeError::Short { .. }) => Ok((id, reason)),
        Err(error) => Err(error),
    }
}

fn decode_call(head: &mut MessageReader<'_>) -> Result<Call, DecodeError> {
    let mut passthru = PassthruOptions::default();
    let request = CallId::V2(request(head)?);
    let options = call_options(head, &mut passthru)?;
    let procedure = head.text("Procedure")?;
    Ok(Call { request, options, procedure, payload: passthru.attach(head, "Options")? })
}

fn call_options(
    head: &mut MessageReader<'_>,
    passthru: &mut PassthruOptions,
) -> Result<CallOptions, DecodeError> {
    let mut options = CallOptions::default();
    head.options("Options", |option| match option.key {
        "receive_progress" => option.flag(&mut options.receive_progress),
        "progress" => option.flag(&mut options.progress),
        "disclose_me" => option.flag(&mut options.disclose_me),
        "timeout" => option.number().map(|number| options.timeout = number),
        "runmode" => option.text().map(|text| options.runmode = text),
        "rkey" => option.text().map(|text| options.rkey = text),
        TRUSTLEVEL => option.number().map(|number| options.trustlevel = level(number)),
        _ => passthru.read(option),
    })?;
    Ok(options)
}

fn register_options(head: &mut MessageReader<'_>) -> Result<RegisterOptions, DecodeError> {
    let mut options = RegisterOptions::default();
    head.options("Options", |option| match option.key {
        "match" => choose_policy(option, &mut options.policy),
        "invoke" => option.choice(
            &mut options.invoke,
            "\"single\", \"roundrobin\", \"random\", \"first\", \"last\" or \"queue_least_loaded\"",
            InvocationPolicy::from_name,
        ),
        "disclose_caller" => option.flag(&mut options.disclose_caller),
        "forward_timeout" => option.flag(&mut options.forward_timeout),
        "force_reregister" => option.flag(&mut options.force_reregister),
        "nkey" => option.text().map(|text| options.nkey = text),
        "concurrency" => option.positive().map(|number| options.concurrency = number),
        _ => option.ignore(),
    })?;
    Ok(options)
}

fn cancel_mode(head: &mut MessageReader<'_>) -> Result<CancelMode, DecodeError> {
    let mut mode = CancelMode::default();
    head.options("Options", |option| match option.key {
        "mode" => {
            option.choice(&mut mode, "\"skip\", \"kill\" or \"killnowait\"", CancelMode::from_name)
        }
        _ => option.ignore(),
    })?;
    Ok(mode)
}

/// Reads YIELD and RESULT.
fn decode_result(
    head: &mut MessageReader<'_>,
    element: &'static str,
) -> Result<(RequestId, bool, Payload), DecodeError> {
    let request = request(head)?;
    let (mut progress, mut passthru) = (false, PassthruOptions::default());
    head.options(element, |option| match option.key {
        "progress" => option.flag(&mut progress),
        _ => passthru.read(option),
    })?;
    Ok((request, progress, passthru.attach(head, element)?))
}
