//! Codecs: a message that can be read is written in one form, which is read as the same message.
//! Every answer of the protocol is a message.

use bytes::Bytes;
use jackfield_wamp::dialect::{Codec, Dialect};
use jackfield_wamp::message::{Call, Error, Message, Publish, Yield};
use jackfield_wamp::payload::Payload;
use jackfield_wamp::protocol::Protocol;
use jackfield_wamp::protocol::{Frame, Input, Request};

/// Messages of version 1, one on each line.
pub fn v1_json(data: &[u8]) {
    let mut protocol = Protocol::new(Dialect::V1);
    for line in data.split(|byte| *byte == b'\n') {
        let input = protocol.receive(Frame::Text(Bytes::copy_from_slice(line)));
        if let Some(reply) = answer(&input) {
            let reply: serde_json::Value = serde_json::from_slice(reply).unwrap();
            assert!(reply.is_array(), "{reply}");
        }
        check_request(&input);
    }
}

/// A message of version 2 in JSON.
pub fn v2_json(data: &[u8]) {
    version_2(Codec::Json, data);
}

/// A message of version 2 in MessagePack.
pub fn v2_message_pack(data: &[u8]) {
    version_2(Codec::MessagePack, data);
}

/// A message of version 2 in CBOR.
pub fn v2_cbor(data: &[u8]) {
    version_2(Codec::Cbor, data);
}

fn version_2(codec: Codec, data: &[u8]) {
    let data = Bytes::copy_from_slice(data);
    // JSON is text, which the transport checks.
    if codec == Codec::Json && std::str::from_utf8(&data).is_err() {
        return;
    }
    if let Ok(message) = Message::decode(codec, &data) {
        let written = written(&message, codec);
        let again = Message::decode(codec, &written);
        let again = again.unwrap_or_else(|error| panic!("{error}: {message:?}"));
        // NaN is no equal of itself, so the bytes are compared.
        assert_eq!(self::written(&again, codec), written, "{message:?}");
        if let Some(payload) = payload(&message) {
            check_payload(payload);
        }
    }
    for hello in HELLOS {
        let Ok(hello) = Message::decode(Codec::Json, &Bytes::from_static(hello)) else { continue };
        let mut protocol = Protocol::new(Dialect::V2(codec));
        let frame = |bytes: Bytes| match codec {
            Codec::Json => Frame::Text(bytes),
            Codec::MessagePack | Codec::Cbor => Frame::Binary(bytes),
        };
        let joining = protocol.receive(frame(written(&hello, codec)));
        assert!(matches!(joining, Input::Hello(_)), "{joining:?}");
        open(&mut protocol);
        let input = protocol.receive(frame(data.clone()));
        if let Some(reply) = answer(&input) {
            let reply = Message::decode(codec, &Bytes::copy_from_slice(reply));
            reply.unwrap_or_else(|error| panic!("{error}: {input:?}"));
        }
        check_request(&input);
    }
}

const HELLOS: [&[u8]; 2] = [
    br#"[1,"realm1",{"roles":{"publisher":{},"subscriber":{},"caller":{},"callee":{}}}]"#,
    br#"[1,"realm1",{"roles":{"publisher":{"features":{"payload_passthru_mode":true}},"caller":{"features":{"payload_passthru_mode":true}},"callee":{"features":{"payload_passthru_mode":true}}}}]"#,
];

/// Answers HELLO.
pub(crate) fn open(protocol: &mut Protocol) {
    let welcome = jackfield_wamp::protocol::Welcome {
        session: jackfield_wamp::id::SessionId::new(1).unwrap(),
        realm: "realm1",
        authid: "a",
        authrole: "anonymous",
        authmethod: "anonymous",
        agent: "fuzz",
        verifier: None,
        retry_max_ms: None,
    };
    let _answer = protocol.welcome(&welcome);
}

pub(crate) fn written(message: &Message, codec: Codec) -> Bytes {
    let mut bytes = Vec::new();
    message.encode(codec, &mut bytes);
    bytes.into()
}

fn answer(input: &Input) -> Option<&[u8]> {
    match input {
        Input::Goodbye { reply, .. } | Input::Refused { reply, .. } => reply.as_deref(),
        Input::Violation { farewell, .. } => farewell.as_deref(),
        Input::Hello(_) | Input::Authenticate(_) | Input::Request(_) | Input::Nothing => None,
    }
}

fn check_request(input: &Input) {
    let Input::Request(request) = input else { return };
    match request {
        Request::Publish(Publish { payload, .. })
        | Request::Call(Call { payload, .. })
        | Request::Yield(Yield { payload, .. })
        | Request::InvocationError(Error { payload, .. }) => check_payload(payload),
        _ => {}
    }
}

fn payload(message: &Message) -> Option<&Payload> {
    match message {
        Message::Publish(Publish { payload, .. })
        | Message::Call(Call { payload, .. })
        | Message::Yield(Yield { payload, .. })
        | Message::Error(Error { payload, .. }) => Some(payload),
        _ => None,
    }
}

/// Arguments that every codec carries are JSON for hooks, and can be read again.
fn check_payload(payload: &Payload) {
    let detached = payload.detached();
    assert_eq!(detached.len(), payload.len());
    if payload.check_portable().is_err() {
        return;
    }
    let (args, kwargs) = (payload.args_json(), payload.kwargs_json());
    let again = Payload::from_json(&args, &kwargs);
    let again = again.unwrap_or_else(|error| panic!("{error}: {args} {kwargs}"));
    assert_eq!((again.args_json(), again.kwargs_json()), (args, kwargs));
}
