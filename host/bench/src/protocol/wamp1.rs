//! WAMP version 1 as a client speaks it. WAMP v1 specification, sections 3.2 to 3.4.

use super::json::Json;
use super::scan::Scan;
use super::wamp2::words;
use super::writer::Writer;
use super::{Refusal, Said, Unreadable};
use crate::plan::Serializer;

const WELCOME: u64 = 0;
const CALL: u64 = 2;
const CALL_RESULT: u64 = 3;
const CALL_ERROR: u64 = 4;
const SUBSCRIBE: u64 = 5;
const UNSUBSCRIBE: u64 = 6;
const PUBLISH: u64 = 7;
const EVENT: u64 = 8;

/// `[SUBSCRIBE, topic]`
pub(crate) fn subscribe(out: &mut Vec<u8>, topic: &str) {
    message(out, SUBSCRIBE, topic, None);
}

/// `[UNSUBSCRIBE, topic]`
pub(crate) fn unsubscribe(out: &mut Vec<u8>, topic: &str) {
    message(out, UNSUBSCRIBE, topic, None);
}

/// `[PUBLISH, topic, text]`
pub(crate) fn publish(out: &mut Vec<u8>, topic: &str, text: &[u8]) {
    message(out, PUBLISH, topic, Some(text));
}

/// `[CALL, "request", procedure, text]`
pub(crate) fn call(out: &mut Vec<u8>, request: u64, procedure: &str, text: &[u8]) {
    let mut writer = Writer::new(Serializer::Json, out);
    writer.list(4);
    writer.number(CALL);
    writer.plain(request.to_string().as_bytes());
    writer.text(procedure);
    writer.plain(text);
    writer.end_list();
}

fn message(out: &mut Vec<u8>, code: u64, topic: &str, text: Option<&[u8]>) {
    let mut writer = Writer::new(Serializer::Json, out);
    writer.list(2);
    writer.number(code);
    writer.text(topic);
    if let Some(text) = text {
        writer.plain(text);
    }
    writer.end_list();
}

/// What a message says. Refusals are no part of version 1; servers that tell them send an error of
/// a call that is named like the topic.
pub(crate) fn read(message: &[u8]) -> Result<Said<'_>, Unreadable> {
    let mut from = Json::new(message);
    let code = from.list().and_then(|()| from.next()).and_then(|()| from.number());
    match code.ok_or("a message")? {
        EVENT => event(&mut from).map(Said::Event).ok_or("an EVENT"),
        WELCOME => Ok(Said::Welcome),
        CALL_RESULT => {
            let request = called(&mut from).ok_or("a CALLRESULT")?;
            Ok(Said::Done { request: Some(request), id: None })
        }
        CALL_ERROR => error(&mut from).map(Said::Refused).ok_or("a CALLERROR"),
        _ => Ok(Said::Nothing),
    }
}

fn event<'a>(from: &mut Json<'a>) -> Option<&'a [u8]> {
    from.next()?;
    from.skip()?;
    from.next()?;
    from.text()
}

/// `[CALLRESULT, "request", result]`, of which only the request is wanted.
fn called(from: &mut Json<'_>) -> Option<u64> {
    from.next()?;
    std::str::from_utf8(from.text()?).ok()?.parse().ok()
}

/// `[CALLERROR, call, uri, description]`
fn error(from: &mut Json<'_>) -> Option<Refusal> {
    let topic = from.next_words()?;
    let uri = from.next_words()?;
    let description = from.next_words();
    let words = words(&uri, description.as_deref());
    Some(Refusal { request: None, topic: Some(topic), words })
}
