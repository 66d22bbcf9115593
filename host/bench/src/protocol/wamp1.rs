//! Client messages of WAMP version 1. WAMP v1 specification, sections 3.2 to 3.4.

use super::encode::{ascii, encode};
use super::json::Json;
use super::scan::Scan;
use super::wamp2::text;
use super::{MessageName, RequestError, ServerMessage};
use crate::plan::Serializer;

const WELCOME: u64 = 0;
const CALL: u64 = 2;
const CALL_RESULT: u64 = 3;
const CALL_ERROR: u64 = 4;
const SUBSCRIBE: u64 = 5;
const UNSUBSCRIBE: u64 = 6;
const PUBLISH: u64 = 7;
const EVENT: u64 = 8;

/// Encodes `[SUBSCRIBE, topic]`.
pub(crate) fn subscribe(out: &mut Vec<u8>, topic: &str) {
    encode(Serializer::Json, out, &(SUBSCRIBE, topic));
}

/// Encodes `[UNSUBSCRIBE, topic]`.
pub(crate) fn unsubscribe(out: &mut Vec<u8>, topic: &str) {
    encode(Serializer::Json, out, &(UNSUBSCRIBE, topic));
}

/// Encodes `[PUBLISH, topic, text]`.
pub(crate) fn publish(out: &mut Vec<u8>, topic: &str, text: &[u8]) {
    encode(Serializer::Json, out, &(PUBLISH, topic, ascii(text)));
}

/// Encodes `[CALL, "request", procedure, text]`.
pub(crate) fn call(out: &mut Vec<u8>, request: u64, procedure: &str, text: &[u8]) {
    encode(Serializer::Json, out, &(CALL, request.to_string(), procedure, ascii(text)));
}

/// Decodes a message. Version 1 has no refusals of SUBSCRIBE and PUBLISH; servers that report them
/// send a CALLERROR whose call id is the topic.
pub(crate) fn read(message: &[u8]) -> Result<ServerMessage<'_>, MessageName> {
    let mut from = Json::new(message);
    let code = from.list().and_then(|()| from.next()).and_then(|()| from.number());
    match code.ok_or("a message")? {
        EVENT => event(&mut from).map(ServerMessage::Event).ok_or("an EVENT"),
        WELCOME => Ok(ServerMessage::Welcome),
        CALL_RESULT => {
            let request = called(&mut from).ok_or("a CALLRESULT")?;
            Ok(ServerMessage::Done { request: Some(request), id: None })
        }
        CALL_ERROR => error(&mut from).map(ServerMessage::Refused).ok_or("a CALLERROR"),
        _ => Ok(ServerMessage::Nothing),
    }
}

fn event<'a>(from: &mut Json<'a>) -> Option<&'a [u8]> {
    from.next()?;
    from.skip()?;
    from.next()?;
    from.text()
}

/// Decodes `[CALLRESULT, "request", result]`. Reads the request only.
fn called(from: &mut Json<'_>) -> Option<u64> {
    from.next()?;
    std::str::from_utf8(from.text()?).ok()?.parse().ok()
}

/// Decodes `[CALLERROR, call, uri, description]`.
fn error(from: &mut Json<'_>) -> Option<RequestError> {
    let topic = from.next_text()?;
    let uri = from.next_text()?;
    let description = from.next_text();
    let text = text(&uri, description.as_deref());
    Some(RequestError { request: None, topic: Some(topic), text })
}
