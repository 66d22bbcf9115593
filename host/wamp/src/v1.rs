//! The messages of version 1: JSON lists in text frames, as AutobahnJS 0.8, Ratchet and Oro's PHP
//! publisher write them. The session calls in here; nothing else does.
//!
//! The version 1 specification leaves much open. Where its best known server is lenient, so is
//! this: the code may be a text (`"5"`) or `true`, a topic may be a number, a missing event is null,
//! an empty list of eligible sessions means everybody. What that server refuses by closing the
//! connection is an error here too.

use std::collections::{BTreeSet, HashMap};

use bytes::Bytes;

use crate::codec::{Item, Writer};
use crate::dialect::{Codec, Dialect};
use crate::error_uri;
use crate::id::{RequestId, SessionId};
use crate::message::{
    Call, CallId, CallOptions, DecodeError, Head, Publish, PublishOptions, ReceiverFilter,
    Subscribe, Unsubscribe,
};
use crate::payload::{Elements, Payload, Single};
use crate::session::{ErrorTo, Input, Reply, Request, encode_reply};
use crate::uri::MatchPolicy;
use crate::value::Dict;

const PREFIX: u64 = 1;
const CALL: u64 = 2;
const SUBSCRIBE: u64 = 5;
const UNSUBSCRIBE: u64 = 6;
const PUBLISH: u64 = 7;

/// Characters of a topic that are shown to the client whose message is refused.
const MAX_SHOWN: usize = 256;

const WELCOME: u64 = 0;
const CALL_RESULT: u64 = 3;
const CALL_ERROR: u64 = 4;
const EVENT: u64 = 8;

/// The prefixes that a client has announced. AutobahnJS announces a handful; the bounds keep a
/// client from filling the memory with them.
#[derive(Debug, Default)]
pub(crate) struct Prefixes(HashMap<String, String>);

impl Prefixes {
    const MAX: usize = 100;
    const MAX_BYTES: usize = 1024;

    fn insert(&mut self, prefix: String, uri: String) -> Result<(), DecodeError> {
        if prefix.len() + uri.len() > Self::MAX_BYTES {
            let what = "the prefix and its URI have too many bytes";
            return Err(DecodeError::TooMuch { what, limit: Self::MAX_BYTES });
        }
        if self.0.len() >= Self::MAX && !self.0.contains_key(&prefix) {
            let what = "the session has too many prefixes";
            return Err(DecodeError::TooMuch { what, limit: Self::MAX });
        }
        self.0.insert(prefix, uri);
        Ok(())
    }

    /// The URI that a text stands for: the prefix's, directly followed by what is behind the colon.
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

/// Decodes one message of a client; none where nothing is left to do (PREFIX).
pub(crate) fn decode(
    frame: &Bytes,
    prefixes: &mut Prefixes,
    depth: usize,
) -> Result<Option<Request>, DecodeError> {
    let mut head = Head::enter(Codec::Json, frame, depth)?;
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

/// Answers a message that holds a value which is not taken: its beginning is read once more. None
/// where its sender would not know what the answer is about.
pub(crate) fn refuse(
    frame: &Bytes,
    prefixes: &Prefixes,
    depth: usize,
    message: String,
) -> Option<Input> {
    let mut head = Head::enter(Codec::Json, frame, depth).ok()?;
    let code = code(&mut head).ok()?;
    let mut topic = || {
        let topic = name(&mut head, "topic").map(|topic| prefixes.expand(topic));
        // The topic itself may be what is not taken.
        topic.map_or_else(
            |_| char::REPLACEMENT_CHARACTER.to_string(),
            |topic| clip(&topic, MAX_SHOWN),
        )
    };
    let (request, uri) = (RequestId::default(), error_uri::INVALID_ARGUMENT);
    let reply = |to| encode_reply(Dialect::V1, &Reply::Error { to, uri, message: &message });
    let reply = match code {
        CALL => Some(refused_call(&name(&mut head, "call id").ok()?, uri, &message)),
        SUBSCRIBE => reply(ErrorTo::Subscribe { request, topic: &topic() }),
        PUBLISH => reply(ErrorTo::Publish { request, topic: &topic() }),
        // Version 1 has no words for it.
        UNSUBSCRIBE => None,
        _ => return None,
    };
    Some(Input::Refused { message, reply })
}

/// `[0, "83014665865", 1, "Jackfield/0.1.0"]`. The session id is a text of decimal digits.
pub(crate) fn welcome(session: SessionId, agent: &str) -> Vec<u8> {
    encode(4, WELCOME, |writer| {
        writer.text(&session.to_string());
        writer.uint(1);
        writer.text(agent);
    })
}

/// `[3, "call", result]`, in which the result is a list or a dictionary, as the best known server
/// gives it: a value that is neither is the only element of one. To that server, null and false
/// are no results, and so the call has failed.
pub(crate) fn call_result(call: &str, payload: &Payload) -> Vec<u8> {
    let wrap = match payload.kind_of_single() {
        Single::Nothing => return refused_call(call, error_uri::RUNTIME_ERROR, "RPC Error"),
        Single::Plain => true,
        Single::Structured => false,
    };
    encode(3, CALL_RESULT, |writer| {
        writer.text(call);
        if wrap {
            writer.begin_list(1);
        }
        payload.write_single(writer);
        if wrap {
            writer.end_list();
        }
    })
}

/// `[4, "call", uri, "description", {"code": 404}]`: pages look for the code, which is HTTP's.
pub(crate) fn refused_call(call: &str, uri: &str, description: &str) -> Vec<u8> {
    let code: u64 = match uri {
        error_uri::INVALID_ARGUMENT | error_uri::INVALID_URI => 400,
        error_uri::NOT_AUTHORIZED => 401,
        error_uri::NO_SUCH_PROCEDURE => 404,
        _ => 500,
    };
    call_error(call, uri, description, &Dict::from_iter([("code", code)]))
}

/// `[4, "call", uri, "description", {"topic": …, "event": …}]`; without details where there are none.
pub(crate) fn call_error(call: &str, uri: &str, description: &str, details: &Dict) -> Vec<u8> {
    let len = if details.is_empty() { 4 } else { 5 };
    encode(len, CALL_ERROR, |writer| {
        writer.text(call);
        writer.text(uri);
        writer.text(description);
        if !details.is_empty() {
            writer.dict(details);
        }
    })
}

/// A callee's error. Its only text is the description; anything else goes into the details.
pub(crate) fn call_failed(call: &str, uri: &str, payload: &Payload) -> Vec<u8> {
    if let Some(text) = payload.only_text() {
        return call_error(call, uri, &text, &Dict::new());
    }
    if payload.is_empty() {
        return call_error(call, uri, uri, &Dict::new());
    }
    encode(5, CALL_ERROR, |writer| {
        writer.text(call);
        writer.text(uri);
        writer.text(uri);
        payload.write_single(writer);
    })
}

/// `[8, "topic", event]`.
pub(crate) fn event(topic: &str, payload: &Payload, out: &mut Vec<u8>) {
    let mut writer = Writer::new(Codec::Json, out);
    writer.begin_list(3);
    writer.uint(EVENT);
    writer.text(topic);
    payload.write_single(&mut writer);
    writer.end_list();
}

fn encode(len: usize, code: u64, write: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
    let mut out = Vec::new();
    let mut writer = Writer::new(Codec::Json, &mut out);
    writer.begin_list(len);
    writer.uint(code);
    write(&mut writer);
    writer.end_list();
    out
}

fn code(head: &mut Head<'_>) -> Result<u64, DecodeError> {
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

/// A text, or a number that stands for one.
fn name(head: &mut Head<'_>, element: &'static str) -> Result<String, DecodeError> {
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

fn decode_call(head: &mut Head<'_>, prefixes: &Prefixes) -> Result<Call, DecodeError> {
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

fn decode_publish(head: &mut Head<'_>, prefixes: &Prefixes) -> Result<Publish, DecodeError> {
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

/// A list of sessions that do not receive, or whether the publisher itself does not.
fn decode_exclude(
    head: &mut Head<'_>,
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

/// The only sessions that receive; none where everybody does.
fn decode_eligible(head: &mut Head<'_>) -> Result<Option<BTreeSet<SessionId>>, DecodeError> {
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

/// The sessions that a list names, and its length. What cannot be a session id names nobody.
///
/// A list out of which PHP has taken an element is written as a dictionary, `{"2": "83014665865"}`.
fn sessions(
    head: &mut Head<'_>,
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

/// The beginning of a text of unknown length, for an error message.
fn clip(text: &str, characters: usize) -> String {
    text.chars().take(characters).collect()
}
