//! Messages of version 1: JSON lists in text frames, as AutobahnJS 0.8, Ratchet and Oro's PHP
//! publisher write them. Decoding is here, encoding in `encode`.
//!
//! The version 1 specification leaves much open. This decoder is as lenient as the best known
//! server: the code may be a text (`"5"`) or `true`, a topic may be a number, a missing event is
//! null, an empty list of eligible sessions means all. Messages for which that server closes the
//! connection are errors here, too.

use std::collections::{BTreeSet, HashMap};

use bytes::Bytes;

use crate::codec::Item;
use crate::dialect::Codec;
use crate::error_uri;
use crate::id::{RequestId, SessionId};
use crate::input::{Input, Request};
use crate::message::{
    Call, CallId, CallOptions, DecodeError, MessageReader, Publish, PublishOptions, ReceiverFilter,
    Subscribe, Unsubscribe,
};
use crate::payload::{Elements, Payload};
use crate::reply::{ErrorTo, Reply};
use crate::uri::MatchPolicy;

mod encode;

pub(crate) use encode::{event, reply, welcome};

const WELCOME: u64 = 0;
const PREFIX: u64 = 1;
const CALL: u64 = 2;
const CALL_RESULT: u64 = 3;
const CALL_ERROR: u64 = 4;
const SUBSCRIBE: u64 = 5;
const UNSUBSCRIBE: u64 = 6;
const PUBLISH: u64 = 7;
const EVENT: u64 = 8;

/// Most characters of a topic in the answer to a refused message.
const MAX_TOPIC_CHARS: usize = 256;

/// The prefixes that a client has announced. AutobahnJS announces a handful; the bounds limit their
/// memory.
#[derive(Debug, Default)]
pub(crate) struct Prefixes(HashMap<String, String>);

impl Prefixes {
    const MAX_PREFIXES: usize = 100;
    const MAX_BYTES: usize = 1024;

    fn insert(&mut self, prefix: String, uri: String) -> Result<(), DecodeError> {
        if prefix.len() + uri.len() > Self::MAX_BYTES {
            let problem = "the prefix and its URI have too many bytes";
            return Err(DecodeError::TooMuch { problem, limit: Self::MAX_BYTES });
        }
        if self.0.len() >= Self::MAX_PREFIXES && !self.0.contains_key(&prefix) {
            let problem = "the session has too many prefixes";
            return Err(DecodeError::TooMuch { problem, limit: Self::MAX_PREFIXES });
        }
        self.0.insert(prefix, uri);
        Ok(())
    }

    /// Expands a CURIE: the prefix's URI, followed by the text after the colon.
    fn expand(&self, text: String) -> String {
        match text.split_once(':') {
            Some((prefix, reference)) => match self.0.get(prefix) {
                Some(uri) => format!("{uri}{reference}"),
                None => text,
            },
            None => text,
        }
    }
}

/// Decodes one message of a client. `None` for PREFIX, which is handled here.
pub(crate) fn decode(
    frame: &Bytes,
    prefixes: &mut Prefixes,
    depth: usize,
) -> Result<Option<Request>, DecodeError> {
    let mut head = MessageReader::enter(Codec::Json, frame, depth)?;
    let request = match code(&mut head)? {
        PREFIX => {
            head.message = "PREFIX";
            let (prefix, uri) = (name(&mut head, "prefix")?, name(&mut head, "URI")?);
            prefixes.insert(prefix, uri)?;
            None
        }
        CALL => {
            head.message = "CALL";
            Some(Request::Call(decode_call(&mut head, prefixes)?))
        }
        SUBSCRIBE => {
            head.message = "SUBSCRIBE";
            Some(Request::Subscribe(Subscribe {
                request: RequestId::default(),
                policy: MatchPolicy::Exact,
                get_retained: false,
                since: None,
                topic: prefixes.expand(name(&mut head, "topic")?),
            }))
        }
        UNSUBSCRIBE => {
            head.message = "UNSUBSCRIBE";
            let topic = prefixes.expand(name(&mut head, "topic")?);
            Some(Request::Unsubscribe(Unsubscribe::ByTopic { topic }))
        }
        PUBLISH => {
            head.message = "PUBLISH";
            Some(Request::Publish(decode_publish(&mut head, prefixes)?))
        }
        code @ (WELCOME | CALL_RESULT | CALL_ERROR | EVENT) => {
            return Err(DecodeError::RouterOnly { code });
        }
        code => return Err(DecodeError::UnknownCode { code: code.to_string() }),
    };
    head.finish()?;
    Ok(request)
}

/// Answers a message that holds an unsupported value, after reading its beginning again. `None` if
/// the sender could not match the answer to its message.
pub(crate) fn refuse(
    frame: &Bytes,
    prefixes: &Prefixes,
    depth: usize,
    message: String,
) -> Option<Input> {
    let mut head = MessageReader::enter(Codec::Json, frame, depth).ok()?;
    let code = code(&mut head).ok()?;
    let mut topic = || {
        let topic = name(&mut head, "topic").map(|topic| prefixes.expand(topic));
        // The topic itself may be the unsupported value.
        topic.map_or_else(
            |_| char::REPLACEMENT_CHARACTER.to_string(),
            |topic| clip(&topic, MAX_TOPIC_CHARS),
        )
    };
    let (request, uri) = (RequestId::default(), error_uri::INVALID_ARGUMENT);
    let reply = |to| reply(&Reply::Error { to, uri, message: &message });
    let reply = match code {
        CALL => Some(encode::refused_call(&name(&mut head, "call id").ok()?, uri, &message)),
        SUBSCRIBE => reply(ErrorTo::Subscribe { request, topic: &topic() }),
        PUBLISH => reply(ErrorTo::Publish { request, topic: &topic() }),
        // Version 1 has no error for it.
        UNSUBSCRIBE => None,
        _ => return None,
    };
    Some(Input::Refused { message, reply })
}

fn code(head: &mut MessageReader<'_>) -> Result<u64, DecodeError> {
    let item = head.first()?;
    match &item {
        Item::UInt(code) => Ok(*code),
        Item::Bool(true) => Ok(PREFIX),
        Item::Text(text) => text
            .parse()
            .map_err(|_| DecodeError::UnknownCode { code: format!("{:?}", clip(text, 32)) }),
        Item::Null
        | Item::Bool(false)
        | Item::Int(_)
        | Item::Float(_)
        | Item::Binary(_)
        | Item::List(_)
        | Item::Map(_) => Err(DecodeError::NoCode { found: item.describe() }),
    }
}

/// Reads a text, or a number as its text.
fn name(head: &mut MessageReader<'_>, element: &'static str) -> Result<String, DecodeError> {
    match head.item(element)? {
        Item::Text(text) => Ok(text.into_owned()),
        Item::UInt(number) => Ok(number.to_string()),
        Item::Int(number) => Ok(number.to_string()),
        Item::Float(number) => Ok(number.to_string()),
        item @ (Item::Null | Item::Bool(_) | Item::Binary(_) | Item::List(_) | Item::Map(_)) => {
            Err(head.wrong(element, "a string", &item))
        }
    }
}

fn decode_call(head: &mut MessageReader<'_>, prefixes: &Prefixes) -> Result<Call, DecodeError> {
    let call = name(head, "call id")?;
    let procedure = prefixes.expand(name(head, "procedure")?);
    let mut payload = Payload::empty(Codec::Json);
    if head.more()? {
        let (args, kwargs) =
            Elements::take_rest(&mut head.reader, head.frame, &mut head.list, head.depth)
                .and_then(|elements| elements.spread(head.depth))
                .map_err(|fault| head.malformed(fault))?;
        payload = Payload::new(Codec::Json, args, kwargs, head.reader.take_foreign());
    }
    Ok(Call { request: CallId::V1(call), options: CallOptions::default(), procedure, payload })
}

fn decode_publish(
    head: &mut MessageReader<'_>,
    prefixes: &Prefixes,
) -> Result<Publish, DecodeError> {
    let topic = prefixes.expand(name(head, "topic")?);
    let event = if head.more()? {
        Elements::take_one(&mut head.reader, head.frame, head.depth)
            .map_err(|fault| head.malformed(fault))?
    } else {
        Elements::one(Bytes::from_static(b"null"))
    };
    let foreign = head.reader.take_foreign();
    let mut options = PublishOptions { exclude_me: false, ..PublishOptions::default() };
    let mut filter = ReceiverFilter::default();
    if head.more()? {
        decode_exclude(head, &mut options, &mut filter)?;
    }
    if head.more()? {
        filter.eligible = decode_eligible(head)?;
    }
    options.filter = filter.into_option();
    let payload = Payload::new(Codec::Json, event, Elements::none(), foreign);
    Ok(Publish { request: RequestId::default(), options, topic, payload })
}

/// Reads the excluded sessions, or whether the publisher itself is excluded.
fn decode_exclude(
    head: &mut MessageReader<'_>,
    options: &mut PublishOptions,
    filter: &mut ReceiverFilter,
) -> Result<(), DecodeError> {
    let item = head.reader.item().map_err(|fault| head.malformed(fault))?;
    match item {
        Item::Null | Item::Bool(false) | Item::UInt(0) => {}
        Item::Bool(true) | Item::UInt(_) | Item::Int(_) | Item::Float(_) => {
            options.exclude_me = true;
        }
        Item::Text(text) => options.exclude_me = !text.is_empty() && text != "0",
        Item::List(_) | Item::Map(_) => filter.exclude = sessions(head, item)?.0,
        Item::Binary(_) => {
            return Err(head.wrong("exclude", "a list or a boolean", &item));
        }
    }
    Ok(())
}

/// Reads the only sessions that receive the event; `None` if all do.
fn decode_eligible(
    head: &mut MessageReader<'_>,
) -> Result<Option<BTreeSet<SessionId>>, DecodeError> {
    let item = head.reader.item().map_err(|fault| head.malformed(fault))?;
    match item {
        Item::Null => Ok(None),
        Item::List(_) | Item::Map(_) => {
            let (sessions, len) = sessions(head, item)?;
            Ok(if len == 0 { None } else { Some(sessions) })
        }
        Item::Bool(_)
        | Item::UInt(_)
        | Item::Int(_)
        | Item::Float(_)
        | Item::Text(_)
        | Item::Binary(_) => Err(head.wrong("eligible", "a list", &item)),
    }
}

/// Reads the sessions in a list, and its length. Values that cannot be session ids match no
/// session.
///
/// PHP writes a list with a removed element as a dictionary, `{"2": "83014665865"}`.
fn sessions(
    head: &mut MessageReader<'_>,
    list: Item<'_>,
) -> Result<(BTreeSet<SessionId>, usize), DecodeError> {
    let (mut container, is_map) = match list {
        Item::List(container) => (container, false),
        Item::Map(container) => (container, true),
        _ => return Ok((BTreeSet::new(), 0)),
    };
    let depth = head.depth.saturating_sub(1);
    let mut sessions = BTreeSet::new();
    let mut len = 0;
    while head.reader.more(&mut container).map_err(|fault| head.malformed(fault))? {
        if is_map {
            head.reader.key().map_err(|fault| head.malformed(fault))?;
        }
        len += 1;
        let session = match head.reader.item().map_err(|fault| head.malformed(fault))? {
            Item::Text(text) => text.parse().ok().and_then(SessionId::new),
            Item::UInt(number) => SessionId::new(number),
            other => {
                let skipped = head.reader.skip_rest(other, depth);
                skipped.map_err(|fault| head.malformed(fault))?;
                None
            }
        };
        sessions.extend(session);
    }
    Ok((sessions, len))
}

/// Returns the first characters of a text, for an error message.
fn clip(text: &str, characters: usize) -> String {
    text.chars().take(characters).collect()
}
