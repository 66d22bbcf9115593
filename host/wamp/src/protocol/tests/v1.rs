//! Tests of version 1: dialogues.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::codec::arbitrary::{encode, value};
use crate::value::Value;

#[test]
fn handles_subscribe_and_unsubscribe() {
    check_v1(
        r#"
        > [5,"oro/ping"]
        = subscribe oro/ping exact
        > ["5","oro/ping"]
        = subscribe oro/ping exact
        > [5,7]
        = subscribe 7 exact
        > [6,"oro/ping"]
        = unsubscribe oro/ping
        > [5,"no"]
        = subscribe no exact
        < [4,"no","wamp.error.not_authorized","not for you",{"topic":"no","event":"onSubscribe"}]
        > [7,"no",1]
        = publish no [1] {} +me
        < [4,"no","wamp.error.not_authorized","not from you",{"topic":"no","event":"onPublish"}]
        > !goodbye
        > [5,"oro/ping"]
        = nothing
        "#,
    );
    check_v1("> !revoke\n> !invoke\n> !interrupt\n> !unregister");
}

#[test]
fn parses_every_form_of_publish() {
    check_v1(
        r#"
        > [7,"t",{"a":[1]},[],[]]
        = publish t [{"a":[1]}] {} +me
        > [7,"t"]
        = publish t [null] {} +me
        > [7,"t", "x" ]
        = publish t ["x"] {} +me
        > [7,"t",[1,2]]
        = publish t [[1,2]] {} +me
        > [7,"t",1,true]
        = publish t [1] {}
        > [7,"t",1,false]
        = publish t [1] {} +me
        > [7,"t",1,null,null]
        = publish t [1] {} +me
        > [7,"t",1,["4711",12]]
        = publish t [1] {} +me exclude [12, 4711] eligible None
        > [7,"t",1,true,["4711"]]
        = publish t [1] {} exclude [] eligible Some([4711])
        > [7,"t",1,["nobody"],["nobody",{},[[]]]]
        = publish t [1] {} +me exclude [] eligible Some([])
        > [7,"t",1,["nobody"]]
        = publish t [1] {} +me
        "#,
    );
}

#[test]
fn expands_prefixes() {
    check_v1(
        r#"
        > [1,"calc","http://example.com/simple/calc#"]
        = nothing
        > [true,"p","test/z"]
        = nothing
        > [5,"calc:add"]
        = subscribe http://example.com/simple/calc#add exact
        > [7,"calc:a:b",1]
        = publish http://example.com/simple/calc#a:b [1] {} +me
        > [2,"x","p:/run"]
        = call x test/z/run [] {}
        < [4,"x","wamp.error.runtime_error","RPC Error",{"code":500}]
        > [1,"calc","other:"]
        = nothing
        > [6,"calc:add"]
        = unsubscribe other:add
        > [5,"http://example.com/a"]
        = subscribe http://example.com/a exact
        > [5,"unknown:a"]
        = subscribe unknown:a exact
        "#,
    );
}

#[test]
fn handles_calls() {
    check_v1(
        r#"
        > [2,"x1","sum"]
        = call x1 sum [] {}
        < [4,"x1","wamp.error.runtime_error","RPC Error",{"code":500}]
        > [2,"x1","sum",1]
        = call x1 sum [1] {}
        < [3,"x1",[1]]
        > [2,"x1","sum",false]
        = call x1 sum [false] {}
        < [4,"x1","wamp.error.runtime_error","RPC Error",{"code":500}]
        > [2,"x1","sum","0"]
        = call x1 sum ["0"] {}
        < [3,"x1",["0"]]
        > [2,"x1","sum",[[1,2]]]
        = call x1 sum [[1,2]] {}
        < [3,"x1",[1,2]]
        > [2,"x1","sum",[{"a":[]}]]
        = call x1 sum [{"a":[]}] {}
        < [3,"x1",{"a":[]}]
        > [2,"x1","sum",1,"a"]
        = call x1 sum [1,"a"] {}
        < [3,"x1",[1,"a"]]
        > [2,"x1","sum", [1, 2] ]
        = call x1 sum [1, 2] {}
        < [3,"x1",[1,2]]
        > [2,"x1","sum",{"a":1}]
        = call x1 sum [] {"a":1}
        < [3,"x1",{"a":1}]
        > [2,"x1","sum",[]]
        = call x1 sum [] {}
        < [4,"x1","wamp.error.runtime_error","RPC Error",{"code":500}]
        > [2,"x1","no"]
        = call x1 no [] {}
        < [4,"x1","wamp.error.not_authorized","not for you",{"code":401}]
        > [2,"x1","fail","why"]
        = call x1 fail ["why"] {}
        < [4,"x1","com.fail","why"]
        > [2,"x1","fail",1,2]
        = call x1 fail [1,2] {}
        < [4,"x1","com.fail","com.fail",[1,2]]
        > [2,"x1","fail"]
        = call x1 fail [] {}
        < [4,"x1","com.fail","com.fail"]
        "#,
    );
}

#[test]
fn reports_violations() {
    let check = |frame: &str, message: &str| {
        check_v1(&format!("> {frame}\n= violation: {message}\n> [5,\"a\"]\n= nothing"));
    };
    check("null", "a message must be a list, found null");
    check("hello", "the message is not well-formed JSON: an unexpected character at byte 0");
    check("{\"a\":1}", "a message must be a list, found a dictionary");
    check("[]", "a message must begin with its code, found nothing");
    check("[5]", "SUBSCRIBE ends before its element topic");
    check("[99,\"x\"]", "no message has the code 99");
    check("[\"x\",\"x\"]", "no message has the code \"x\"");
    check("[8,\"test/a\",1]", "only routers may send a message of the code 8");
    check("[0,\"x\",1,\"y\"]", "only routers may send a message of the code 0");
    check("[5,[\"x\"]]", "SUBSCRIBE.topic must be a string, found a list");
    check("[2,\"id\"]", "CALL ends before its element procedure");
    check("[7,\"t\",1,[],\"x\"]", "PUBLISH.eligible must be a list, found a string");
    check("[7,\"t\",1,[],[]", "the message is not well-formed JSON: an unexpected end at byte 14");
    check(
        "[5,\"a\"] [5,\"b\"]",
        "the message is not well-formed JSON: trailing data after the value at byte 8",
    );
}

#[test]
fn bounds_the_prefixes() {
    let mut session = Protocol::new(Dialect::V1);
    let mut say = |text: String| session.receive(Frame::Text(text.into()));
    for number in 0..100 {
        assert_eq!(say(format!("[1,\"p{number}\",\"uri\"]")), Input::Nothing);
    }
    assert_eq!(say("[1,\"p5\",\"other\"]".to_owned()), Input::Nothing, "known ones may change");
    let Input::Violation { message, farewell: None } = say("[1,\"new\",\"uri\"]".to_owned()) else {
        panic!()
    };
    assert_eq!(message, "the session has too many prefixes; at most 100 are allowed");
    let long = format!("[1,\"p\",\"{}\"]", "u".repeat(1024));
    let input = Protocol::new(Dialect::V1).receive(Frame::Text(long.into()));
    assert!(matches!(input, Input::Violation { .. }));
}

proptest! {
    #[test]
    fn arbitrary_lists_never_panic(code in 0u64..10, rest in vec(value(), 0..6)) {
        let mut list = vec![Value::UInt(code)];
        list.extend(rest);
        let frame = Frame::Text(encode(Codec::Json, &Value::List(list)));
        let input = Protocol::new(Dialect::V1).receive(frame);
        let is_client = matches!(code, 1 | 2 | 5 | 6 | 7);
        match input {
            Input::Violation { farewell, .. } => prop_assert_eq!(farewell, None),
            Input::Nothing => prop_assert_eq!(code, 1),
            Input::Request(_) | Input::Refused { .. } => prop_assert!(is_client),
            Input::Hello(_) | Input::Authenticate(_) | Input::Goodbye { .. } => {
                prop_assert!(false, "version 1 has no such thing");
            }
        }
    }
}
