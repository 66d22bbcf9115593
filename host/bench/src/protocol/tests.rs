//! Tests of the protocols: encoded requests, and decoded messages of a server.

use serde_json::Value;

use super::scan::Scan;
use super::*;
use crate::error::BenchError;
use crate::plan::Serializer::{self, Cbor, Json, MessagePack};

/// Returns a server's frame.
fn framed(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    if payload.len() < 126 {
        frame.push(u8::try_from(payload.len()).unwrap());
    } else {
        frame.push(126);
        frame.extend(u16::try_from(payload.len()).unwrap().to_be_bytes());
    }
    frame.extend_from_slice(payload);
    frame
}

/// Describes the received messages as texts, which do not borrow the bytes.
fn receive(protocol: &mut ClientProtocol, bytes: &[u8], replies: &mut Vec<u8>) -> Vec<String> {
    let mut heard = Vec::new();
    protocol
        .receive(bytes, replies, |message| {
            heard.push(match message {
                ServerMessage::Event(text) => format!("event {}", text.escape_ascii()),
                other => format!("{other:?}"),
            });
            Ok::<(), BenchError>(())
        })
        .unwrap();
    heard
}

/// Decodes sent frames: the opcode and the unmasked payload of each.
fn sent(bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut frames = Vec::new();
    let mut rest = bytes;
    while let [first, second, ..] = rest {
        let (length, header) = match second & 0x7f {
            126 => (usize::from(u16::from_be_bytes([rest[2], rest[3]])), 4),
            short => (usize::from(short), 2),
        };
        let mask = &rest[header..header + 4];
        let body = &rest[header + 4..header + 4 + length];
        let plain = body.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key).collect();
        frames.push((first & 0x0f, plain));
        rest = &rest[header + 4 + length..];
    }
    frames
}

fn requests(dialect: Dialect) -> Vec<(u8, Vec<u8>)> {
    let mut protocol = ClientProtocol::new(dialect, true);
    let mut out = Vec::new();
    protocol.hello(&mut out, "realm1");
    protocol.subscribe(&mut out, 1, "t0");
    protocol.unsubscribe(&mut out, 2, "t0", 1, 777);
    protocol.publish(&mut out, 3, "t0", b"text", true);
    protocol.publish(&mut out, 4, "t0", b"text", false);
    protocol.call(&mut out, 5, "p\"0\"", b"text");
    protocol.register(&mut out, 6, "p\"0\"");
    protocol.result(&mut out, 7, b"text");
    sent(&out)
}

fn texts(frames: &[(u8, Vec<u8>)]) -> Vec<(u8, String)> {
    let text = |body: &Vec<u8>| String::from_utf8_lossy(body).into_owned();
    frames.iter().map(|(opcode, body)| (*opcode, text(body))).collect()
}

const V2: [&str; 8] = [
    r#"[1,"realm1",{"roles":{"publisher":{},"subscriber":{},"caller":{},"callee":{}}}]"#,
    r#"[32,1,{},"t0"]"#,
    "[34,2,777]",
    r#"[16,3,{"acknowledge":true},"t0",["text"]]"#,
    r#"[16,4,{},"t0",["text"]]"#,
    r#"[48,5,{},"p\"0\"",["text"]]"#,
    r#"[64,6,{},"p\"0\""]"#,
    r#"[70,7,{},["text"]]"#,
];

#[test]
fn writes_requests_of_wamp_v2() {
    let expected: Vec<(u8, String)> = V2.iter().map(|text| (1, (*text).to_owned())).collect();
    assert_eq!(texts(&requests(Dialect::Wamp2(Json))), expected);
    for serializer in [MessagePack, Cbor] {
        let requests = requests(Dialect::Wamp2(serializer));
        assert_eq!(requests.len(), V2.len());
        for ((opcode, body), expected) in requests.iter().zip(V2) {
            assert_eq!(*opcode, 2);
            let value = match serializer {
                MessagePack => message_pack::MessagePack::new(body).value(),
                _ => cbor::Cbor::new(body).value(),
            };
            let expected: Value = serde_json::from_str(expected).unwrap();
            assert_eq!(value, Some(expected));
        }
    }
}

#[test]
fn pings_follow_requests_of_wamp_v1_except_calls() {
    let ping = |request: u64| (9, String::from_utf8(request.to_be_bytes().to_vec()).unwrap());
    let text = |text: &str| (1, text.to_owned());
    assert_eq!(
        texts(&requests(Dialect::Wamp1)),
        [
            text(r#"[5,"t0"]"#),
            ping(1),
            text(r#"[6,"t0"]"#),
            ping(2),
            text(r#"[7,"t0","text"]"#),
            ping(3),
            text(r#"[7,"t0","text"]"#),
            text(r#"[2,"5","p\"0\"","text"]"#),
        ]
    );
}

#[test]
fn writes_requests_of_nats() {
    let requests = texts(&requests(Dialect::Nats));
    assert!(requests[0].1.starts_with("CONNECT {\"verbose\":true,"), "{requests:?}");
    assert!(requests[0].1.ends_with("}\r\nPING\r\n"), "{requests:?}");
    let rest: Vec<&str> = requests[1..].iter().map(|request| request.1.as_str()).collect();
    assert_eq!(
        rest,
        ["SUB t0 1\r\n", "UNSUB 1\r\n", "PUB t0 4\r\ntext\r\n", "PUB t0 4\r\ntext\r\n"]
    );
}

#[test]
fn writes_text_lengths_in_binary_codecs() {
    for length in [0_usize, 23, 24, 31, 32, 255, 256, 65_535, 65_536] {
        let text = "x".repeat(length);
        for serializer in [Json, MessagePack, Cbor] {
            let mut message = Vec::new();
            wamp2::publish(serializer, &mut message, 1 << 40, "t", text.as_bytes(), false);
            let value = value(serializer, &message);
            assert_eq!(value[1], Value::from(1_u64 << 40));
            assert_eq!(value[4][0].as_str(), Some(text.as_str()), "{serializer:?} {length}");
        }
    }
}

fn value(serializer: Serializer, message: &[u8]) -> Value {
    match serializer {
        Json => json::Json::new(message).value(),
        MessagePack => message_pack::MessagePack::new(message).value(),
        Cbor => cbor::Cbor::new(message).value(),
    }
    .unwrap()
}

/// Checks a message given in JSON, read as JSON and in the binary serializers.
#[track_caller]
fn check(message: &str, expected: &ServerMessage<'_>) {
    let value: Value = serde_json::from_str(message).unwrap();
    let in_message_pack = pack(&value, MessagePack);
    let in_cbor = pack(&value, Cbor);
    assert_eq!(wamp2::read(Json, message.as_bytes()).as_ref(), Ok(expected));
    assert_eq!(wamp2::read(MessagePack, &in_message_pack).as_ref(), Ok(expected));
    assert_eq!(wamp2::read(Cbor, &in_cbor).as_ref(), Ok(expected));
}

/// Encodes a value with the longer forms of lengths, which servers may use.
fn pack(value: &Value, serializer: Serializer) -> Vec<u8> {
    let mut out = Vec::new();
    match value {
        Value::Array(list) => {
            let count = u16::try_from(list.len()).unwrap().to_be_bytes();
            out.push(if serializer == Cbor { 0x99 } else { 0xdc });
            out.extend(count);
            out.extend(list.iter().flat_map(|it| pack(it, serializer)));
        }
        Value::Object(map) => {
            let count = u16::try_from(map.len()).unwrap().to_be_bytes();
            out.push(if serializer == Cbor { 0xb9 } else { 0xde });
            out.extend(count);
            for (key, value) in map {
                out.extend(pack(&Value::from(key.as_str()), serializer));
                out.extend(pack(value, serializer));
            }
        }
        Value::String(_) | Value::Number(_) => encode::encode(serializer, &mut out, value),
        Value::Null => out.push(if serializer == Cbor { 0xf6 } else { 0xc0 }),
        Value::Bool(yes) => out.push(if serializer == Cbor { 0xf4 } else { 0xc2 } + u8::from(*yes)),
    }
    out
}

#[test]
fn reads_messages_of_wamp_v2() {
    let done = |request, id| ServerMessage::Done { request: Some(request), id };
    check(r#"[36,7,9007199254740992,{},["text"]]"#, &ServerMessage::Event(b"text"));
    let details = r#"{"topic":"a\"]","publisher":7,"x":[null,{"y":[true,"\\"]}]}"#;
    check(&format!(r#"[36, 7, 8, {details}, ["text"], {{}}]"#), &ServerMessage::Event(b"text"));
    check("[17,3,88]", &done(3, None));
    check("[33,4,99]", &done(4, Some(99)));
    check("[35,5]", &done(5, None));
    for result in ["", r#",["a\"]",[null]]"#, r#",[],{"k":{"n":[7]}}"#] {
        check(&format!("[50,6,{{}}{result}]"), &done(6, None));
    }
    let refusal = RequestError { request: Some(7), topic: None, text: "a.b: no".to_owned() };
    check(r#"[8,48,7,{},"a.b",["no"],{"k":1}]"#, &ServerMessage::Refused(refusal));
    check(r#"[2,12,{"roles":{}}]"#, &ServerMessage::Welcome);
    check(r#"[3,{"message":"no such"},"wamp.error.no_such_realm"]"#, &{
        ServerMessage::Ended("wamp.error.no_such_realm: no such".to_owned())
    });
    check(r#"[6,{},"wamp.close.system_shutdown"]"#, &{
        ServerMessage::Ended("wamp.close.system_shutdown".to_owned())
    });
    for (details, arguments) in [("{}", r#",["no route"]"#), (r#"{"message":"no route"}"#, "")] {
        let refusal =
            RequestError { request: Some(6), topic: None, text: "a.b: no route".to_owned() };
        check(&format!(r#"[8,32,6,{details},"a.b"{arguments}]"#), &ServerMessage::Refused(refusal));
    }
    check("[65,5,98]", &done(5, Some(98)));
    check(r#"[68,7,98,{"procedure":"p"},["text"]]"#, &{
        ServerMessage::Invocation { request: 7, text: b"text" }
    });
    check("[69,1,{}]", &ServerMessage::Nothing);
}

#[test]
fn reads_cbor_with_tags_and_indefinite_length() {
    let tags = [&[0xd9, 0xd9, 0xf7, 0x85, 0x18, 0x24, 7, 8, 0xa0, 0x81][..], &vec![0xc1; 100_000]];
    let message = [&tags.concat()[..], b"\x64text"].concat();
    assert_eq!(wamp2::read(Cbor, &message), Ok(ServerMessage::Event(b"text")));
    let message = b"\x9f\x18\x24\x07\x08\xbf\x61a\x9f\x01\xff\xff\x81\x64text\xff";
    assert_eq!(wamp2::read(Cbor, message), Ok(ServerMessage::Event(b"text")));
}

#[test]
fn rejects_broken_messages_without_panic() {
    let whole = r#"[36,7,8,{"a":["b"]},["text"]]"#;
    let value: Value = serde_json::from_str(whole).unwrap();
    for (serializer, message) in [
        (Json, whole.as_bytes().to_vec()),
        (MessagePack, pack(&value, MessagePack)),
        (Cbor, pack(&value, Cbor)),
    ] {
        // The scanner ignores JSON's last bracket.
        for end in 0..message.len() - 2 {
            assert!(wamp2::read(serializer, &message[..end]).is_err(), "{serializer:?} {end}");
        }
    }
    let deep = format!("[36,1,2,{}", "[".repeat(100_000));
    assert!(wamp2::read(Json, deep.as_bytes()).is_err());
    assert!(
        wamp2::read(Cbor, &[&b"\x85\x18\x24\x01\x02"[..], &vec![0x81; 100_000]].concat()).is_err()
    );
    let error = decode(Dialect::Wamp2(Json), b"\xff[").unwrap_err().to_string();
    assert_eq!(error, "the server sent a message that cannot be decoded: \\xff[");
}

#[test]
fn reads_messages_of_wamp_v1() {
    let event = r#"[8,"a/\"b\"",  "text"]"#;
    assert_eq!(wamp1::read(event.as_bytes()), Ok(ServerMessage::Event(b"text")));
    assert_eq!(wamp1::read(br#"[0,"1234",1,"x"]"#), Ok(ServerMessage::Welcome));
    for result in ["null", r#""a\"]""#, r#"{"3":["x"]}"#] {
        let message = format!(r#"[3, "70",{result}]"#);
        let done = ServerMessage::Done { request: Some(70), id: None };
        assert_eq!(wamp1::read(message.as_bytes()), Ok(done), "{result}");
    }
    for (broken, what) in [(r#"[3,"x",1]"#, "a CALLRESULT"), ("[3]", "a CALLRESULT")] {
        assert_eq!(wamp1::read(broken.as_bytes()), Err(what), "{broken}");
    }
    let refusal = RequestError {
        request: None,
        topic: Some("t0".to_owned()),
        text: "jackfield.error.no_route: no route".to_owned(),
    };
    let error = br#"[4,"t0","jackfield.error.no_route","no route",{"topic":"t0"}]"#;
    assert_eq!(wamp1::read(error), Ok(ServerMessage::Refused(refusal)));
}

#[test]
fn reads_frames_split_anywhere() {
    let message = br#"[36,1,2,{},["text"]]"#;
    let mut bytes = framed(0x81, message);
    // One message in three frames, with a ping between them.
    bytes.extend(framed(0x01, &message[..5]));
    bytes.extend(framed(0x89, b"alive?"));
    bytes.extend(framed(0x00, &message[5..9]));
    bytes.extend(framed(0x80, &message[9..]));
    bytes.extend(framed(0x8a, &7_u64.to_be_bytes()));
    bytes.extend(framed(0x88, b"\x03\xe9bye"));
    for size in [1, 2, 3, 7, 50, bytes.len()] {
        let mut protocol = ClientProtocol::new(Dialect::Wamp2(Json), false);
        let mut replies = Vec::new();
        let heard: Vec<String> = bytes
            .chunks(size)
            .flat_map(|piece| receive(&mut protocol, piece, &mut replies))
            .collect();
        assert_eq!(
            heard,
            ["event text", "event text", "Ended(\"1001 bye\")"],
            "{size}: the pong was never asked for"
        );
        assert_eq!(sent(&replies), [(10, b"alive?".to_vec())], "{size}");
    }
}

#[test]
fn reads_compressed_messages() {
    let message = format!(r#"[36,1,2,{{}},["{}"]]"#, "a text ".repeat(5_000));
    let mut compressor = flate2::Compress::new(flate2::Compression::fast(), false);
    let mut compressed = Vec::with_capacity(message.len());
    let flush = flate2::FlushCompress::Sync;
    compressor.compress_vec(message.as_bytes(), &mut compressed, flush).unwrap();
    compressed.truncate(compressed.len() - 4);
    let bytes = [framed(0xc1, &compressed), framed(0x81, message.as_bytes())].concat();
    for size in [100, 1_000, bytes.len()] {
        let mut protocol = ClientProtocol::new(Dialect::Wamp2(Json), false);
        let heard: Vec<String> =
            bytes.chunks(size).flat_map(|it| receive(&mut protocol, it, &mut Vec::new())).collect();
        assert_eq!(heard.len(), 2);
        assert_eq!(heard[0], heard[1], "{size}");
    }
}

#[test]
fn reads_nats_split_anywhere() {
    let stream = b"INFO {\"x\":1}\r\n+OK\r\nPONG\r\nMSG t0 1 4\r\nte\r\n\r\nPING\r\n\
        MSG t0 1 reply 4\r\ntext\r\n-ERR 'Permissions Violation for Subscription to \"t0\"'\r\n\
        -ERR 'Slow Consumer'\r\n";
    for size in [1, 2, 5, 33, stream.len()] {
        let mut protocol = ClientProtocol::new(Dialect::Nats, true);
        let mut replies = Vec::new();
        let mut heard = Vec::new();
        for piece in stream.chunks(size) {
            heard.extend(receive(&mut protocol, &framed(0x82, piece), &mut replies));
        }
        assert_eq!(
            heard,
            [
                "Nothing",
                "Done { request: None, id: None }",
                "Welcome",
                "event te\\r\\n",
                "event text",
                "Refused(RequestError { request: None, topic: Some(\"t0\"), text: \
                 \"Permissions Violation for Subscription to \\\"t0\\\"\" })",
                "Ended(\"Slow Consumer\")",
            ],
            "{size}"
        );
        assert_eq!(texts(&sent(&replies)), [(2, "PONG\r\n".to_owned())]);
    }
}

#[test]
fn pongs_are_answers_in_wamp_v1_only() {
    let pong = framed(0x8a, &7_u64.to_be_bytes());
    let heard = |dialect| receive(&mut ClientProtocol::new(dialect, true), &pong, &mut Vec::new());
    assert_eq!(heard(Dialect::Wamp1), ["Done { request: Some(7), id: None }"]);
    assert!(heard(Dialect::Wamp2(Json)).is_empty());
    assert!(heard(Dialect::Nats).is_empty());
}

#[test]
fn bounds_an_incomplete_message() {
    let mut held = vec![0; MAX_MESSAGE_BYTES - 1];
    assert_eq!(hold(&mut held, b"x"), Ok(()));
    assert!(hold(&mut held, b"x").unwrap_err().to_string().contains("64 MiB"));
}
