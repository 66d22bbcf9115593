//! Client messages of WAMP version 2. WAMP v2 specification, section "Messages".

use serde_json::Value;

use super::cbor::Cbor;
use super::encode::{Dict, ascii, encode};
use super::json::Json;
use super::message_pack::MessagePack;
use super::scan::Scan;
use super::{MessageName, RequestError, ServerMessage};
use crate::plan::Serializer;

const HELLO: u64 = 1;
const WELCOME: u64 = 2;
const ABORT: u64 = 3;
const GOODBYE: u64 = 6;
const ERROR: u64 = 8;
const PUBLISH: u64 = 16;
const PUBLISHED: u64 = 17;
const SUBSCRIBE: u64 = 32;
const SUBSCRIBED: u64 = 33;
const UNSUBSCRIBE: u64 = 34;
const UNSUBSCRIBED: u64 = 35;
const EVENT: u64 = 36;
const CALL: u64 = 48;
const RESULT: u64 = 50;
const REGISTER: u64 = 64;
const REGISTERED: u64 = 65;
const INVOCATION: u64 = 68;
const YIELD: u64 = 70;

/// `{}`
const NO_OPTIONS: Dict<'static, bool> = Dict(&[]);
const ACKNOWLEDGE: Dict<'static, bool> = Dict(&[("acknowledge", true)]);

/// Encodes `[HELLO, realm, {"roles": {"publisher": {}, "subscriber": {}, "caller": {}, "callee": {}}}]`.
pub(crate) fn hello(serializer: Serializer, out: &mut Vec<u8>, realm: &str) {
    let roles = ["publisher", "subscriber", "caller", "callee"].map(|role| (role, NO_OPTIONS));
    encode(serializer, out, &(HELLO, realm, Dict(&[("roles", Dict(&roles))])));
}

/// Encodes `[SUBSCRIBE, request, {}, topic]`.
pub(crate) fn subscribe(serializer: Serializer, out: &mut Vec<u8>, request: u64, topic: &str) {
    encode(serializer, out, &(SUBSCRIBE, request, NO_OPTIONS, topic));
}

/// Encodes `[UNSUBSCRIBE, request, subscription]`.
pub(crate) fn unsubscribe(serializer: Serializer, out: &mut Vec<u8>, request: u64, id: u64) {
    encode(serializer, out, &(UNSUBSCRIBE, request, id));
}

/// Encodes `[PUBLISH, request, options, topic, [text]]`.
pub(crate) fn publish(
    serializer: Serializer,
    out: &mut Vec<u8>,
    request: u64,
    topic: &str,
    text: &[u8],
    acknowledged: bool,
) {
    let options = if acknowledged { ACKNOWLEDGE } else { NO_OPTIONS };
    encode(serializer, out, &(PUBLISH, request, options, topic, [ascii(text)]));
}

/// Encodes `[CALL, request, {}, procedure, [text]]`.
pub(crate) fn call(
    serializer: Serializer,
    out: &mut Vec<u8>,
    request: u64,
    procedure: &str,
    text: &[u8],
) {
    encode(serializer, out, &(CALL, request, NO_OPTIONS, procedure, [ascii(text)]));
}

/// Encodes `[REGISTER, request, {}, procedure]`.
pub(crate) fn register(serializer: Serializer, out: &mut Vec<u8>, request: u64, procedure: &str) {
    encode(serializer, out, &(REGISTER, request, NO_OPTIONS, procedure));
}

/// Encodes `[YIELD, request, {}, [text]]`.
pub(crate) fn result(serializer: Serializer, out: &mut Vec<u8>, request: u64, text: &[u8]) {
    encode(serializer, out, &(YIELD, request, NO_OPTIONS, [ascii(text)]));
}

/// Decodes a message.
pub(crate) fn read(
    serializer: Serializer,
    message: &[u8],
) -> Result<ServerMessage<'_>, MessageName> {
    match serializer {
        Serializer::Json => scan(Json::new(message)),
        Serializer::MessagePack => scan(MessagePack::new(message)),
        Serializer::Cbor => scan(Cbor::new(message)),
    }
}

fn scan<'a>(mut from: impl Scan<'a>) -> Result<ServerMessage<'a>, MessageName> {
    let code = from.list().and_then(|()| from.next()).and_then(|()| from.number());
    match code.ok_or("a message")? {
        EVENT => event(&mut from).map(ServerMessage::Event).ok_or("an EVENT"),
        // A call's result itself is ignored.
        PUBLISHED | UNSUBSCRIBED | RESULT => {
            let request = id(&mut from).ok_or("an answer")?;
            Ok(ServerMessage::Done { request: Some(request), id: None })
        }
        SUBSCRIBED | REGISTERED => {
            let request = id(&mut from).ok_or("an answer")?;
            let id = id(&mut from).ok_or("an answer")?;
            Ok(ServerMessage::Done { request: Some(request), id: Some(id) })
        }
        INVOCATION => invocation(&mut from).ok_or("an INVOCATION"),
        WELCOME => Ok(ServerMessage::Welcome),
        ERROR => error(&mut from).map(ServerMessage::Refused).ok_or("an ERROR"),
        ABORT | GOODBYE => ended(&mut from).map(ServerMessage::Ended).ok_or("a farewell"),
        _ => Ok(ServerMessage::Nothing),
    }
}

/// Decodes `[EVENT, subscription, publication, details, [text]]`. Reads the text only.
fn event<'a>(from: &mut impl Scan<'a>) -> Option<&'a [u8]> {
    id(from)?;
    id(from)?;
    only_text(from)
}

/// Decodes `[INVOCATION, request, registration, details, [text]]`.
fn invocation<'a>(from: &mut impl Scan<'a>) -> Option<ServerMessage<'a>> {
    let request = id(from)?;
    id(from)?;
    Some(ServerMessage::Invocation { request, text: only_text(from)? })
}

/// Decodes `details, [text]`. Reads the text only.
fn only_text<'a>(from: &mut impl Scan<'a>) -> Option<&'a [u8]> {
    from.next()?;
    from.skip()?;
    from.next()?;
    from.list()?;
    from.next()?;
    from.text()
}

fn id<'a>(from: &mut impl Scan<'a>) -> Option<u64> {
    from.next()?;
    from.number()
}

/// Decodes `[ERROR, type, request, details, uri, arguments]`.
fn error<'a>(from: &mut impl Scan<'a>) -> Option<RequestError> {
    id(from)?;
    let request = Some(id(from)?);
    from.next()?;
    let details = from.value()?;
    let uri = from.next_text()?;
    let arguments = from.next().and_then(|()| from.value());
    let message = arguments.as_ref().and_then(|arguments| arguments.get(0)).and_then(Value::as_str);
    Some(RequestError { request, topic: None, text: text(&uri, message.or(message_of(&details))) })
}

/// Decodes `[ABORT, details, reason]` and `[GOODBYE, details, reason]`.
fn ended<'a>(from: &mut impl Scan<'a>) -> Option<String> {
    from.next()?;
    let details = from.value()?;
    let uri = from.next_text()?;
    Some(text(&uri, message_of(&details)))
}

fn message_of(details: &Value) -> Option<&str> {
    details.get("message").and_then(Value::as_str)
}

/// Returns an error's URI and message.
pub(super) fn text(uri: &str, message: Option<&str>) -> String {
    match message {
        Some(message) if !message.is_empty() && message != uri => format!("{uri}: {message}"),
        _ => uri.to_owned(),
    }
}
