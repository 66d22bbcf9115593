//! Encoding of version 1's messages.

use super::{CALL_ERROR, CALL_RESULT, EVENT, WELCOME};
use crate::codec::CodecWriter;
use crate::dialect::Codec;
use crate::error_uri;
use crate::id::SessionId;
use crate::message::CallId;
use crate::payload::{Payload, SingleKind};
use crate::reply::{ErrorTo, Reply};
use crate::value::Dict;

/// Encodes a reply. `None` if version 1 has no message for it.
pub(crate) fn reply(reply: &Reply<'_>) -> Option<Vec<u8>> {
    match reply {
        Reply::Error { to, uri, message } => match to {
            ErrorTo::Subscribe { topic, .. } => {
                Some(refused_topic(topic, "onSubscribe", uri, message))
            }
            ErrorTo::Publish { topic, .. } => Some(refused_topic(topic, "onPublish", uri, message)),
            ErrorTo::Call { call: CallId::V1(call) } => Some(refused_call(call, uri, message)),
            ErrorTo::Call { call: CallId::V2(_) }
            | ErrorTo::Unsubscribe { .. }
            | ErrorTo::Cancel { .. }
            | ErrorTo::Register { .. }
            | ErrorTo::Unregister { .. } => None,
        },
        Reply::CallError { call: CallId::V1(call), uri, payload, .. } => {
            Some(call_failed(call, uri, payload))
        }
        // Version 1 has no progressive results.
        Reply::Result { call: CallId::V1(call), progress: false, payload } => {
            Some(call_result(call, payload))
        }
        Reply::Subscribed { .. }
        | Reply::Unsubscribed { .. }
        | Reply::Published { .. }
        | Reply::CallError { .. }
        | Reply::Revoked { .. }
        | Reply::Result { .. }
        | Reply::Registered { .. }
        | Reply::Unregistered { .. }
        | Reply::RegistrationRevoked { .. }
        | Reply::Invocation { .. }
        | Reply::Interrupt { .. } => None,
    }
}

/// Version 1 has no errors for SUBSCRIBE and PUBLISH. A CALLERROR whose call id is the topic
/// informs clients that look for it. Others ignore it: their calls have random ids, and none equals
/// a topic.
fn refused_topic(topic: &str, event: &str, uri: &str, message: &str) -> Vec<u8> {
    let details = Dict::from_iter([("topic", topic), ("event", event)]);
    call_error(topic, uri, message, &details)
}

/// Encodes `[0, "83014665865", 1, "Jackfield/0.1.0"]`. The session id is a text of decimal digits.
pub(crate) fn welcome(session: SessionId, agent: &str) -> Vec<u8> {
    encode(4, WELCOME, |writer| {
        writer.text(&session.to_string());
        writer.uint(1);
        writer.text(agent);
    })
}

/// Encodes `[3, "call", result]`. The result is a list or a dictionary, as in the best known
/// server: any other value is wrapped in a list. As in that server, null and false are no results,
/// and the call fails.
fn call_result(call: &str, payload: &Payload) -> Vec<u8> {
    let wrap = match payload.single_kind() {
        SingleKind::Nothing => return refused_call(call, error_uri::RUNTIME_ERROR, "RPC Error"),
        SingleKind::Plain => true,
        SingleKind::Structured => false,
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

/// Encodes `[4, "call", uri, "description", {"code": 404}]`. Pages read the code, an HTTP status.
pub(super) fn refused_call(call: &str, uri: &str, description: &str) -> Vec<u8> {
    let code: u64 = match uri {
        error_uri::INVALID_ARGUMENT | error_uri::INVALID_URI => 400,
        error_uri::NOT_AUTHORIZED => 401,
        error_uri::NO_SUCH_PROCEDURE => 404,
        _ => 500,
    };
    call_error(call, uri, description, &Dict::from_iter([("code", code)]))
}

/// Encodes `[4, "call", uri, "description", {"topic": …, "event": …}]`, without empty details.
fn call_error(call: &str, uri: &str, description: &str, details: &Dict) -> Vec<u8> {
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

/// Encodes a callee's error. A single text argument is the description; other arguments go into the
/// details.
fn call_failed(call: &str, uri: &str, payload: &Payload) -> Vec<u8> {
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

/// Encodes `[8, "topic", event]`.
pub(crate) fn event(topic: &str, payload: &Payload, out: &mut Vec<u8>) {
    let mut writer = CodecWriter::new(Codec::Json, out);
    writer.begin_list(3);
    writer.uint(EVENT);
    writer.text(topic);
    payload.write_single(&mut writer);
    writer.end_list();
}

fn encode(len: usize, code: u64, write: impl FnOnce(&mut CodecWriter<'_>)) -> Vec<u8> {
    let mut out = Vec::new();
    let mut writer = CodecWriter::new(Codec::Json, &mut out);
    writer.begin_list(len);
    writer.uint(code);
    write(&mut writer);
    writer.end_list();
    out
}
