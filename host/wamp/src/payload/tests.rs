//! Tests of payloads: translation between codecs, their single value in version 1, and answers of
//! plugins.

use super::*;
use crate::codec::arbitrary::{CODECS, payload_of};
use crate::value::{Dict, Value};

/// Checks the JSON of the arguments, of the keyword arguments, and of version 1's single value.
fn check(args: &str, kwargs: &str, expect: [&str; 3]) {
    let json = Payload::from_json(args, kwargs).unwrap();
    for codec in CODECS {
        // Encoded in a message of the codec, and decoded again.
        let mut frame = Vec::new();
        let mut writer = CodecWriter::new(codec, &mut frame);
        writer.begin_list(3 + json.trailing_len());
        writer.uint(70);
        writer.uint(1);
        writer.dict(&Dict::new());
        json.write_trailing(&mut writer);
        writer.end_list();
        let Ok(crate::message::Message::Yield(answer)) =
            crate::message::Message::decode(codec, &frame.into())
        else {
            panic!("{args} {kwargs}")
        };
        let mut single = Vec::new();
        answer.payload.write_single(&mut CodecWriter::new(Codec::Json, &mut single));
        let single = String::from_utf8(single).unwrap();
        let found = [&*answer.payload.args_json(), &*answer.payload.kwargs_json(), &*single];
        assert_eq!(found, expect, "{args} {kwargs} {codec:?}");
    }
}

#[test]
fn converts_shapes_of_payloads() {
    check("", "", ["[]", "{}", "null"]);
    check("[]", "{}", ["[]", "{}", "null"]);
    check("[5]", "", ["[5]", "{}", "5"]);
    check("[[5]]", "", ["[[5]]", "{}", "[5]"]);
    check("[null]", "", ["[null]", "{}", "null"]);
    check("[{\"a\":1}]", "{}", ["[{\"a\":1}]", "{}", "{\"a\":1}"]);
    check("[1,\"x,y\"]", "", ["[1,\"x,y\"]", "{}", "[1,\"x,y\"]"]);
    check("[]", "{\"b\":1,\"a\":2}", ["[]", "{\"b\":1,\"a\":2}", "{\"b\":1,\"a\":2}"]);
    let both = "{\"args\":[1],\"kwargs\":{\"k\":[]}}";
    check("[1]", "{\"k\":[]}", ["[1]", "{\"k\":[]}", both]);
    check("[\"\\u0000AQI=\"]", "", ["[\"\\u0000AQI=\"]", "{}", "\"\\u0000AQI=\""]);
    check("[18446744073709551615]", "", ["[18446744073709551615]", "{}", "18446744073709551615"]);
}

#[test]
fn checks_payloads_of_plugins() {
    let check = |args: &str, kwargs: &str, expect: &str| {
        assert_eq!(Payload::from_json(args, kwargs).unwrap_err().to_string(), expect);
    };
    check("{\"a\":1}", "", "the arguments must be a list, found a dictionary");
    check("{\"0\":1,\"-1\":1}", "", "the arguments must be a list, found a dictionary");
    check("5", "", "the arguments must be a list, found an integer");
    check("", "[1]", "the keyword arguments must be a dictionary, found a list");
    check("[1", "", "the arguments are not well-formed JSON: an unexpected end at byte 2");
    check(
        "[1] x",
        "",
        "the arguments are not well-formed JSON: trailing data after the value at byte 4",
    );
    check(
        &"[".repeat(1000),
        "",
        "the arguments hold a value that is not supported: lists or dictionaries nested too deep at \
         byte 512",
    );
    let deep = "[".repeat(9) + &"]".repeat(9);
    assert!(Payload::from_json_within(&deep, "", 9).is_ok());
    assert!(Payload::from_json_within(&deep, "", 8).is_err());
}

/// PHP has one type for lists and dictionaries.
#[test]
fn takes_lists_and_dictionaries_as_php_writes_them() {
    check("{}", "[]", ["[]", "{}", "null"]);
    check("{\"1\":\"a\",\"3\":{\"x\":[]}}", "", ["[\"a\",{\"x\":[]}]", "{}", "[\"a\",{\"x\":[]}]"]);
}

#[test]
fn borrows_json() {
    let payload = payload_of(
        Codec::Json,
        &[Value::UInt(1), Value::UInt(2)],
        &Dict::from_iter([("k", Value::Null)]),
    );
    assert!(matches!(payload.args_json(), Cow::Borrowed("[1,2]")));
    assert!(matches!(payload.kwargs_json(), Cow::Borrowed("{\"k\":null}")));
    assert!(matches!(Payload::empty(Codec::Cbor).args_json(), Cow::Borrowed("[]")));
}

#[test]
fn keeps_space_around_elements() {
    let payload = Payload::from_json(" [ 1 , 2 ] ", "{ }").unwrap();
    assert_eq!(payload.args_json(), "[ 1 , 2 ]");
    assert_eq!(payload.kwargs_json(), "{}");
    assert_eq!(payload.only_text(), None);
    assert_eq!(Payload::text(Codec::Cbor, "a\"b").only_text().as_deref(), Some("a\"b"));
    assert_eq!(Payload::text(Codec::MessagePack, "a\"b").args_json(), "[\"a\\\"b\"]");
}
