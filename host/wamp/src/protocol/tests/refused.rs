//! Tests of requests with an unsupported value: each is answered, and the session continues.

use super::*;

/// Half of a surrogate pair, as a string in each codec.
const HALF: [(Codec, &[u8]); 3] = [
    (Codec::Json, br#""\ud800""#),
    (Codec::MessagePack, b"\xa3\xed\xa0\x80"),
    (Codec::Cbor, b"\x63\xed\xa0\x80"),
];

/// Placeholder for such a value in a message.
const MARK: &str = "@";

const NOT_UNICODE: &str = "text that is not Unicode";

/// Returns a message in a codec, with `value` in place of the text `@`.
fn with(codec: Codec, json: &str, value: &[u8]) -> Bytes {
    let bytes = recode(json.as_bytes(), Codec::Json, codec).unwrap();
    let mark = recode(format!("\"{MARK}\"").as_bytes(), Codec::Json, codec).unwrap();
    let at = bytes.windows(mark.len()).position(|it| it == mark).unwrap();
    [&bytes[..at], value, &bytes[at + mark.len()..]].concat().into()
}

/// Sends one message in an open session, and checks that a further request is accepted.
fn send(dialect: Dialect, json: &str, value: &[u8]) -> Input {
    let mut session = Protocol::new(dialect);
    session.welcome(&WELCOME);
    let codec = dialect.codec();
    let mut say = |bytes: Bytes| {
        session.receive(if dialect.is_binary() { Frame::Binary(bytes) } else { Frame::Text(bytes) })
    };
    let input = say(with(codec, json, value));
    if !matches!(input, Input::Violation { .. }) {
        let next = if dialect == Dialect::V1 { r#"[5,"t"]"# } else { r#"[32,1,{},"t"]"# };
        let next = say(recode(next.as_bytes(), Codec::Json, codec).unwrap().into());
        assert!(matches!(next, Input::Request(_)), "{next:?} after {json}");
    }
    input
}

/// Returns the reply as JSON; `-` for none.
fn reply(dialect: Dialect, json: &str, value: &[u8], why: &str) -> String {
    match send(dialect, json, value) {
        Input::Refused { message, reply: None } => {
            assert!(message.contains(why), "{message}");
            "-".to_owned()
        }
        Input::Refused { message, reply: Some(reply) } => {
            assert!(message.contains(why), "{message}");
            let json = recode(&reply, dialect.codec(), Codec::Json).unwrap();
            String::from_utf8(json).unwrap().replace(&message, "…")
        }
        other => panic!("{json}: {other:?}"),
    }
}

#[test]
fn refuses_half_a_surrogate_pair_in_every_codec() {
    let check = |json: &str, expect: &str| {
        for (codec, value) in HALF {
            let found = reply(Dialect::V2(codec), json, value, NOT_UNICODE);
            assert_eq!(found, expect, "{codec:?} {json}");
        }
    };
    let error =
        |kind: u8| format!(r#"[8,{kind},5,{{"message":"…"}},"wamp.error.invalid_argument",["…"]]"#);
    // In a payload, a topic, an option and a key. Requests that expect no answer get none.
    check(r#"[16,5,{"acknowledge":true},"t",["@"]]"#, &error(16));
    check(r#"[16,5,{"acknowledge":true},"t",[],{"k":["@"]}]"#, &error(16));
    check(r#"[16,5,{"acknowledge":true},"t",[],{"@":1}]"#, &error(16));
    check(r#"[16,5,{"acknowledge":true},"@"]"#, &error(16));
    check(r#"[16,5,{"acknowledge":true,"x":"@"},"t"]"#, &error(16));
    check(r#"[16,5,{},"t",["@"]]"#, "-");
    check(r#"[16,5,{},"@"]"#, "-");
    check(r#"[32,5,{},"@"]"#, &error(32));
    check(r#"[32,5,{"match":"@"},"t"]"#, &error(32));
    check(r#"[48,5,{},"@"]"#, &error(48));
    check(r#"[48,5,{},"p",[["@"]]]"#, &error(48));
    check(r#"[49,5,{"mode":"@"}]"#, &error(49));
    check(r#"[64,5,{},"@"]"#, &error(64));
    check(r#"[34,5,7,"@"]"#, &error(34));
}

#[test]
fn refuses_half_a_surrogate_pair_in_version_1() {
    let check = |json: &str, expect: &str| {
        let found = reply(Dialect::V1, json, HALF[0].1, NOT_UNICODE);
        assert_eq!(found, expect, "{json}");
    };
    let publish = r#"[4,"t","wamp.error.invalid_argument","…",{"topic":"t","event":"onPublish"}]"#;
    check(r#"[7,"t","@"]"#, publish);
    check(r#"[7,"t",{"@":1}]"#, publish);
    check(r#"[7,"t",1,["@"]]"#, publish);
    check(r#"[7,"@",1]"#, &publish.replace("\"t\"", "\"\u{fffd}\""));
    let subscribe = publish.replace("onPublish", "onSubscribe").replace("\"t\"", "\"\u{fffd}\"");
    check(r#"[5,"@"]"#, &subscribe);
    check(r#"[6,"@"]"#, "-");
    check(r#"[2,"id","p","@"]"#, r#"[4,"id","wamp.error.invalid_argument","…",{"code":400}]"#);
    check(r#"[2,"id","@"]"#, r#"[4,"id","wamp.error.invalid_argument","…",{"code":400}]"#);
}

/// A callee's invalid answer fails its call, so that the caller does not wait forever.
#[test]
fn a_bad_result_fails_the_call() {
    for (codec, value) in HALF {
        for json in [r#"[70,5,{},["@"]]"#, r#"[8,68,5,{},"e.x",["@"]]"#, r#"[8,68,5,{},"@"]"#] {
            match send(Dialect::V2(codec), json, value) {
                Input::Request(Request::InvocationError(error)) => {
                    assert_eq!(
                        (error.request_type, error.request.get()),
                        (MessageKind::Invocation, 5)
                    );
                    assert_eq!(error.uri, error_uri::INVALID_ARGUMENT);
                    assert!(error.payload.only_text().unwrap().contains(NOT_UNICODE));
                }
                other => panic!("{codec:?} {json}: {other:?}"),
            }
        }
    }
}

/// Without a readable request there is nothing that an answer could refer to.
#[test]
fn ends_the_session_when_no_request_id_can_be_read() {
    for (codec, value) in HALF {
        for json in [
            r#"["@"]"#,
            r#"[16,"@",{},"t"]"#,
            r#"[16,5,{"x":"@","acknowledge":true},"t"]"#,
            r#"[6,{},"@"]"#,
            r#"[8,48,5,{},"@"]"#,
            r#"[68,5,1,{},["@"]]"#,
        ] {
            let input = send(Dialect::V2(codec), json, value);
            assert!(
                matches!(input, Input::Violation { farewell: Some(_), .. }),
                "{json}: {input:?}"
            );
        }
    }
    for json in [r#"["@"]"#, r#"[2,"@","p"]"#, r#"[1,"@","uri"]"#] {
        let input = send(Dialect::V1, json, HALF[0].1);
        assert!(matches!(input, Input::Violation { .. }), "{json}: {input:?}");
    }
}

/// At any depth: nothing overflows, and the request is answered.
#[test]
fn refuses_messages_nested_too_deep() {
    let open: [(Codec, &[u8]); 3] =
        [(Codec::Json, b"["), (Codec::MessagePack, b"\x91"), (Codec::Cbor, b"\x81")];
    for (codec, open) in open {
        let value = |depth: usize| {
            let close = if codec == Codec::Json { b"]".repeat(depth) } else { Vec::new() };
            let middle: &[u8] = if codec == Codec::Json { b"1" } else { b"\x01" };
            [&open.repeat(depth), middle, &close].concat()
        };
        let dialect = Dialect::V2(codec);
        for depth in [DEFAULT_DEPTH, 1000, 1 << 19] {
            for (json, kind) in [(r#"[48,5,{},"p",["@"]]"#, 48), (r#"[48,5,{"x":["@"]},"p"]"#, 48)]
            {
                let found = reply(dialect, json, &value(depth), "nested too deep");
                assert!(found.starts_with(&format!("[8,{kind},5,")), "{found}");
            }
        }
        let input = send(dialect, r#"[48,5,{},"p",["@"]]"#, &value(DEFAULT_DEPTH - 1));
        assert!(matches!(input, Input::Request(Request::Call(_))), "{codec:?} {input:?}");
    }
    let deep = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    let found =
        reply(Dialect::V1, r#"[2,"id","p","@"]"#, deep(1 << 19).as_bytes(), "nested too deep");
    assert!(found.starts_with(r#"[4,"id","#), "{found}");
}

#[test]
fn the_depth_is_configurable() {
    for (allowed, depth, is_taken) in
        [(1, 1, true), (1, 2, false), (300, 300, true), (300, 301, false)]
    {
        let frame = format!("[48,5,{{}},\"p\",{}{}]", "[".repeat(depth), "]".repeat(depth));
        let mut session = Protocol::with_depth(Dialect::V2(Codec::Json), allowed);
        session.welcome(&WELCOME);
        let input = session.receive(Frame::Text(frame.into()));
        assert_eq!(matches!(input, Input::Request(_)), is_taken, "{allowed} {depth} {input:?}");
    }
}

/// Messages with options of payload passthru mode, and the place of the options.
const PACKED: [(&str, &str); 5] = [
    (r#"[16,1,{OPTIONS},"t",["p"]]"#, "PUBLISH.Options"),
    (r#"[16,1,{"acknowledge":true,OPTIONS},"t",["p"]]"#, "PUBLISH.Options"),
    (r#"[48,1,{OPTIONS},"t",["p"]]"#, "CALL.Options"),
    (r#"[70,1,{OPTIONS},["p"]]"#, "YIELD.Options"),
    (r#"[8,68,1,{OPTIONS},"e.x",["p"]]"#, "ERROR.Details"),
];

fn check_violation(message: &str, why: &str) {
    let quoted = why.replace('"', "\\\"");
    check_open(&format!(
        "> {message}\n= violation: {why}\n\
         < [3,{{\"message\":\"{quoted}\"}},\"wamp.error.protocol_violation\"]"
    ));
}

#[test]
fn packed_payloads_are_checked() {
    let long = format!(r#""ppt_scheme":"x_{}""#, "y".repeat(254));
    for (message, place) in PACKED {
        let scheme = r#""wamp", "mqtt" or a name that begins with "x_""#;
        let text = "a string of at most 255 bytes";
        for (options, key, why) in [
            (r#""ppt_cipher":"x""#, "ppt_scheme", format!("{scheme}, found nothing")),
            (r#""ppt_scheme":"own""#, "ppt_scheme", format!("{scheme}, found \"own\"")),
            (r#""ppt_scheme":"x_""#, "ppt_scheme", format!("{scheme}, found \"x_\"")),
        ] {
            let message = message.replace("OPTIONS", options);
            check_violation(&message, &format!("{place}.{key} must be {why}"));
        }
        for wrong in [&long, r#""ppt_scheme":"wamp","ppt_keyid":7"#, r#""ppt_scheme":["wamp"]"#] {
            let bytes = message.replace("OPTIONS", wrong).into_bytes();
            let error = Message::decode(Codec::Json, &bytes.into()).unwrap_err().to_string();
            assert!(error.starts_with(&format!("{place}.ppt_")), "{error}");
            assert!(error.contains(text), "{error}");
        }
        for payload in [r#"["p",1]"#, r#"["p"],{"k":1}"#, "[]"] {
            let message = message.replace("OPTIONS", r#""ppt_scheme":"wamp""#);
            let message = message.replace(r#"["p"]"#, payload);
            let kind = place.split('.').next().unwrap();
            let why = "must be one item in payload passthru mode, without ArgumentsKw";
            check_violation(&message, &format!("{kind}.Arguments {why}"));
        }
        // HELLO has not announced the mode.
        let message = message.replace("OPTIONS", r#""ppt_scheme":"wamp""#);
        let bytes = message.clone().into_bytes();
        Message::decode(Codec::Json, &bytes.into()).unwrap();
        let kind = place.split('.').next().unwrap();
        let role = match kind {
            "PUBLISH" => "publisher",
            "CALL" => "caller",
            _ => "callee",
        };
        let why = format!(
            "{kind} has `ppt_scheme`, and HELLO.Details.roles.{role} lacks `payload_passthru_mode`"
        );
        check_violation(&message, &why);
    }
}

#[test]
fn payload_transparency_is_a_violation() {
    for key in ["enc_algo", "enc_key", "enc_serializer"] {
        for (message, place) in PACKED {
            let message = message.replace("OPTIONS", &format!("\"{key}\":\"x\""));
            let what = "an option of payload transparency, which this router does not announce";
            check_violation(&message, &format!("{place}.{key} is {what}"));
        }
    }
    for key in ["ppt_scheme", "ppt_serializer", "ppt_cipher", "ppt_keyid", "enc_algo"] {
        // Unused options: some clients write all options that they know.
        let unused = format!(r#"[48,1,{{"{key}":null}},"p"]"#);
        for codec in CODECS {
            for text in [&unused, &unused.replace("null", "\"\"")] {
                let bytes = recode(text.as_bytes(), Codec::Json, codec).unwrap();
                let message = Message::decode(codec, &bytes.into()).unwrap();
                assert!(matches!(message, Message::Call(_)));
            }
        }
    }
}
