//! Tests of version 2: dialogues.

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::codec::arbitrary::{codec, decode, dict, encode, text, value};
use crate::value::Value;

#[test]
fn a_session_from_hello_to_goodbye() {
    check_open(
        r#"
        > [32,1,{},"com.a"]
        = subscribe com.a exact
        < [33,1,7]
        > [32,2,{"match":"prefix"},"com."]
        = subscribe com. prefix
        < [33,2,7]
        > [16,3,{},"com.a",[1]]
        = publish com.a [1] {}
        > [16,4,{"acknowledge":true,"exclude_me":false,"exclude":[5],"eligible":[6]},"com.a",[],{"k":1}]
        = publish com.a [] {"k":1} +me exclude [5] eligible Some([6])
        < [17,4,8]
        > [34,5,7]
        = unsubscribe 7
        < [35,5]
        > [6,{},"wamp.close.normal"]
        = goodbye wamp.close.normal
        < [6,{},"wamp.close.goodbye_and_out"]
        > [16,6,{},"com.a"]
        = nothing
        > [99]
        = nothing
        "#,
    );
}

#[test]
fn writes_refusals() {
    check_open(
        r#"
        > [32,1,{},"no"]
        = subscribe no exact
        < [8,32,1,{"message":"not for you"},"wamp.error.not_authorized",["not for you"]]
        > [16,2,{"acknowledge":true},"no"]
        = publish no [] {}
        < [8,16,2,{"message":"not from you"},"wamp.error.not_authorized",["not from you"]]
        > [48,3,{},"no"]
        = call 3 no [] {}
        < [8,48,3,{"message":"not for you"},"wamp.error.not_authorized",["not for you"]]
        > !revoke
        < [35,0,{"subscription":7,"reason":"com.gone"}]
        "#,
    );
}

#[test]
fn handles_calls_and_registrations() {
    check_open(
        r#"
        > [64,1,{"invoke":"roundrobin"},"com.add"]
        = register com.add
        < [65,1,9]
        > [48,2,{},"com.add",[1,2]]
        = call 2 com.add [1,2] {}
        < [50,2,{},[1,2]]
        > [48,3,{},"fail",["why"],{"k":1}]
        = call 3 fail ["why"] {"k":1}
        < [8,48,3,{},"com.fail",["why"],{"k":1}]
        > !invoke
        < [68,5,9,{},[1]]
        > !interrupt
        < [69,5,{"mode":"kill","reason":"wamp.error.canceled"}]
        > [70,5,{},[3]]
        = yield 5 [3]
        > [8,68,5,{},"com.bad"]
        = failed 5 com.bad
        > [49,2,{"mode":"kill"}]
        = cancel 2 kill
        > [66,4,9]
        = unregister 9
        < [67,4]
        > !unregister
        < [67,0,{"registration":9,"reason":"com.gone"}]
        "#,
    );
}

#[test]
fn handles_hello_and_authenticate() {
    check_v2(
        r#"
        > [1,"ticket",{"roles":{"caller":{}},"authid":"joe"}]
        = hello ticket
        < [4,"ticket",{}]
        > [5,"secret",{}]
        = authenticate secret
        < [3,{},"wamp.error.authentication_denied"]
        > [5,"other",{}]
        = nothing
        "#,
    );
    check_v2(
        r#"
        > [1,"nowhere",{"roles":{"caller":{}}}]
        = hello nowhere
        < [3,{"message":"no such realm"},"wamp.error.no_such_realm"]
        "#,
    );
    check_v2(
        r#"
        > [1,"ticket",{"roles":{"caller":{}}}]
        = hello ticket
        < [4,"ticket",{}]
        > [3,{},"wamp.error.no"]
        = goodbye wamp.error.no
        "#,
    );
    check_v2(
        r#"
        > [1,"ticket",{"roles":{"caller":{}}}]
        = hello ticket
        < [4,"ticket",{}]
        > !goodbye
        < [3,{"message":"restarting"},"wamp.close.system_shutdown"]
        > [5,"secret",{}]
        = nothing
        "#,
    );
}

#[test]
fn the_router_ends_the_session() {
    check_open(
        r#"
        > !goodbye
        < [6,{"message":"restarting"},"wamp.close.system_shutdown"]
        > !goodbye
        > [16,1,{"acknowledge":true},"com.a"]
        = nothing
        > [99]
        = nothing
        > [6,{},"wamp.close.goodbye_and_out"]
        = goodbye wamp.close.goodbye_and_out
        > [6,{},"wamp.close.goodbye_and_out"]
        = nothing
        "#,
    );
}

/// Checks that a frame, the first of a connection or of an open session, is a violation.
fn violation(open: bool, frame: &str, message: &str) {
    let quoted = message.replace('\\', "\\\\").replace('"', "\\\"");
    let abort = format!(r#"[3,{{"message":"{quoted}"}},"wamp.error.protocol_violation"]"#);
    let opening = if open { OPEN } else { "" };
    check_v2(&format!(
        "{opening}\n> {frame}\n= violation: {message}\n< {abort}\n> [32,1,{{}},\"com.a\"]\n= nothing"
    ));
}

#[test]
fn reports_violations() {
    let first = |frame: &str, message: &str| violation(false, frame, message);
    first(r#"[32,1,{},"com.a"]"#, "the first message must be HELLO, found SUBSCRIBE");
    first(r#"[6,{},"a"]"#, "the first message must be HELLO, found GOODBYE");
    first(r#"[1,"realm1",{}]"#, "HELLO.Details.roles is missing");
    first(r#"[1,"realm1",{"roles":null}]"#, "HELLO.Details.roles is missing");
    first(r#"[1,"realm1",{"roles":{}}]"#, "HELLO.Details.roles must name at least one role");
    first(r#"[1,"realm1",{"roles":[]}]"#, "HELLO.Details.roles must be a dictionary");
    for methods in [r#""ticket""#, "7", "[7]", r#"["ticket",null]"#, r#"[["ticket"]]"#] {
        let hello =
            format!(r#"[1,"realm1",{{"roles":{{"caller":{{}}}},"authmethods":{methods}}}]"#);
        first(&hello, "HELLO.Details.authmethods must be a list of strings");
    }
    first(r#"[1,"realm1"]"#, "HELLO ends before its element Details");
    first("[1,5,{}]", "HELLO.Realm must be a string, found an integer");
    first("[]", "a message must begin with its code, found nothing");
    first("{}", "a message must be a list, found a dictionary");
    let open = |frame: &str, message: &str| violation(true, frame, message);
    open(r#"[1,"realm1",{"roles":{"caller":{}}}]"#, "HELLO in an open session");
    open("[33,1,2]", "only routers may send SUBSCRIBED");
    open("[36,1,2,{}]", "only routers may send EVENT");
    open("[2,1,{}]", "only routers may send WELCOME");
    open(r#"[5,"x",{}]"#, "AUTHENTICATE without CHALLENGE");
    open(r#"[8,48,1,{},"com.a"]"#, "a client's ERROR must refer to an INVOCATION, found CALL");
    open("[99,1]", "no message has the code 99");
    open("[16,1]", "PUBLISH ends before its element Options");
    open(r#"[16,1,"x","com.a"]"#, "PUBLISH.Options must be a dictionary, found a string");
    open("[34,1,0]", "UNSUBSCRIBE.Subscription must be in 1..=2^53, found 0");
    open(
        r#"[32,1,{"match":"regex"},"com.a"]"#,
        r#"SUBSCRIBE.Options.match must be "exact", "prefix" or "wildcard", found "regex""#,
    );
}

#[test]
fn rejects_frames_of_the_wrong_kind() {
    let check = |dialect: Dialect, frame: Frame, expect: &str| match Protocol::new(dialect)
        .receive(frame)
    {
        Input::Violation { message, farewell } => {
            assert_eq!(message, expect);
            assert_eq!(farewell.is_some(), dialect != Dialect::V1);
        }
        other => panic!("{other:?}"),
    };
    let bytes = || Bytes::from_static(b"[5,\"a\"]");
    let json = Dialect::V2(Codec::Json);
    check(json, Frame::Binary(bytes()), "wamp.2.json needs text messages, found a binary message");
    check(Dialect::V1, Frame::Binary(bytes()), "wamp needs text messages, found a binary message");
    check(
        Dialect::V2(Codec::Cbor),
        Frame::Text(bytes()),
        "wamp.2.cbor needs binary messages, found a text message",
    );
    check(json, Frame::Text(Bytes::from_static(b"[\xff]")), "the text message is not UTF-8");
    let deep = Frame::Text("[".repeat(1 << 20).into());
    check(json, deep, "a message must begin with its code, found a list");
    let deep = Frame::Text(format!("[16,1,{{}},\"com.a\",{}", "[".repeat(1 << 20)).into());
    check(
        json,
        deep,
        "the message holds a value that is not supported: lists or dictionaries nested too deep \
         at byte 145",
    );
}

proptest! {
    #[test]
    fn ignores_messages_after_a_violation(frames in vec(frame(), 1..8), codec in codec()) {
        let mut session = Protocol::new(Dialect::V2(codec));
        let mut is_over = false;
        for frame in frames {
            let bytes = encode(codec, &Value::List(frame));
            let frame = if codec == Codec::Json { Frame::Text(bytes) } else { Frame::Binary(bytes) };
            match session.receive(frame) {
                Input::Nothing => prop_assert!(is_over),
                Input::Hello(_) => drop(session.welcome(&WELCOME)),
                Input::Violation { .. } | Input::Goodbye { .. } => {
                    prop_assert!(!is_over);
                    is_over = true;
                }
                Input::Request(_) | Input::Refused { .. } | Input::Authenticate(_) => {
                    prop_assert!(!is_over);
                }
            }
        }
    }
}

/// Generates lists that may be messages.
fn frame() -> impl Strategy<Value = Vec<Value>> {
    let hello = r#"[1,"realm1",{"roles":{"caller":{}}}]"#;
    let hello = decode(Codec::Json, hello.as_bytes()).unwrap().as_list().unwrap().to_vec();
    let code = prop_oneof![Just(32u64), Just(16), Just(34), Just(48), Just(6), 0u64..80];
    let request =
        (code, 1u64..9, dict(), text(), value()).prop_map(|(code, id, dict, text, value)| {
            vec![code.into(), id.into(), dict.into(), text.into(), Value::List(vec![value])]
        });
    prop_oneof![2 => Just(hello), 5 => request, 1 => vec(value(), 0..5)]
}
