//! Tests of the codecs against tables, against each other, and against other libraries.

use proptest::prelude::*;

use super::arbitrary::{CODECS, codec, decode, encode, recode, value};
use super::{MAX_DEPTH, ReadError, ReadErrorKind, Reader, TOO_DEEP};
use crate::dialect::Codec::{self, Cbor, Json, MessagePack};
use crate::value::Value;

mod exact;

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

fn skip(codec: Codec, bytes: &[u8]) -> Result<(), ReadError> {
    let mut reader = Reader::new(codec, bytes);
    reader.skip(MAX_DEPTH)?;
    reader.finish()
}

/// Returns whether every codec carries the value.
fn is_portable(codec: Codec, bytes: &[u8]) -> bool {
    let mut reader = Reader::new(codec, bytes);
    reader.skip(MAX_DEPTH).unwrap();
    reader.take_foreign().is_none()
}

/// Checks the JSON translation of MessagePack or CBOR.
fn becomes(codec: Codec, bytes: &str, expect: &str) {
    let json = recode(&hex(bytes), codec, Json).unwrap();
    assert_eq!(String::from_utf8(json).unwrap(), expect, "{codec:?} {bytes}");
    assert_eq!(skip(codec, &hex(bytes)), Ok(()), "{codec:?} {bytes}");
}

#[test]
fn converts_message_pack_to_json() {
    let check = |bytes: &str, expect: &str| becomes(MessagePack, bytes, expect);
    check("00", "0");
    check("7f", "127");
    check("cc ff", "255");
    check("cd ffff", "65535");
    check("ce ffffffff", "4294967295");
    check("cf ffffffffffffffff", "18446744073709551615");
    check("ff", "-1");
    check("e0", "-32");
    check("d0 80", "-128");
    check("d1 8000", "-32768");
    check("d2 80000000", "-2147483648");
    check("d3 8000000000000000", "-9223372036854775808");
    check("d3 0000000000000001", "1");
    check("ca 3fc00000", "1.5");
    check("cb 3ff0000000000000", "1.0");
    check("c0", "null");
    check("c2", "false");
    check("a161", "\"a\"");
    check("d9 01 61", "\"a\"");
    check("da 0001 61", "\"a\"");
    check("db 00000001 61", "\"a\"");
    check("a3 220a 01", "\"\\\"\\n\\u0001\"");
    check("c4 02 beef", "\"\\u0000vu8=\"");
    check("c5 0000", "\"\\u0000\"");
    check("dc 0001 01", "[1]");
    check("dd 00000001 01", "[1]");
    check("de 0001 a161 01", "{\"a\":1}");
    check("df 00000001 a161 01", "{\"a\":1}");
    // Undefined, as JavaScript's encoders write it.
    check("d4 00 00", "null");
    check("c7 00 00", "null");
    // Keys that are not texts.
    check(
        "84 01a0 ffa0 c3a0 c40101a0",
        "{\"1\":\"\",\"-1\":\"\",\"true\":\"\",\"\\u0000AQ==\":\"\"}",
    );
}

#[test]
fn converts_cbor_to_json() {
    let check = |bytes: &str, expect: &str| becomes(Cbor, bytes, expect);
    check("00", "0");
    check("17", "23");
    check("1818", "24");
    check("1903e8", "1000");
    check("1a000f4240", "1000000");
    check("1bffffffffffffffff", "18446744073709551615");
    // Integers in 64 bits, and larger ones that a double holds exactly.
    check("c243010000", "65536");
    check("c24a0000ffffffffffffffff", "18446744073709551615");
    check("c249010000000000000000", "1.8446744073709552e19");
    check("c3430fffff", "-1048576");
    check("c34800ffffffffffffff", "-72057594037927936");
    check("c348ffffffffffffffff", "-1.8446744073709552e19");
    check("20", "-1");
    check("3903e7", "-1000");
    check("3b7fffffffffffffff", "-9223372036854775808");
    check("3bffffffffffffffff", "-1.8446744073709552e19");
    check("f90000", "0.0");
    check("f98000", "-0.0");
    check("f93c00", "1.0");
    check("f93e00", "1.5");
    check("f97bff", "65504.0");
    check("f90001", "5.960464477539063e-8");
    check("f90400", "6.103515625e-5");
    check("fa47c35000", "100000.0");
    check("fb3ff199999999999a", "1.1");
    check("f4", "false");
    check("f5", "true");
    check("f6", "null");
    check("f7", "null");
    check("c074323031332d30332d32315432303a30343a30305a", "\"2013-03-21T20:04:00Z\"");
    check("c1fb41d452d9ec200000", "1363896240.5");
    check("c11a514b67b0", "1363896240");
    check("d82063612f62", "\"a/b\"");
    check("d9d9f781c101", "[1]");
    check("d9d9f7c101", "1");
    check("4401020304", "\"\\u0000AQIDBA==\"");
    check("5f42010243030405ff", "\"\\u0000AQIDBAU=\"");
    check("6449455446", "\"IETF\"");
    check("7f657374726561646d696e67ff", "\"streaming\"");
    check("9fff", "[]");
    check("9f018202039f0405ffff", "[1,[2,3],[4,5]]");
    check("bf61610161629f0203ffff", "{\"a\":1,\"b\":[2,3]}");
    check("a201020304", "{\"1\":2,\"3\":4}");
}

#[test]
fn converts_json_to_binary_codecs() {
    let check = |json: &str, codec: Codec, expect: &str| {
        assert_eq!(recode(json.as_bytes(), Json, codec), Ok(hex(expect)), "{json} {codec:?}");
    };
    check("9007199254740993", MessagePack, "cf0020000000000001");
    check("9007199254740993", Cbor, "1b0020000000000001");
    check("-9223372036854775808", MessagePack, "d38000000000000000");
    check("-9223372036854775808", Cbor, "3b7fffffffffffffff");
    check("1.0", MessagePack, "cb3ff0000000000000");
    // Doubles beyond 64 bits, as Python and JavaScript write them.
    check("18446744073709551616", MessagePack, "cb43f0000000000000");
    check("18446744073709552000", Cbor, "fb43f0000000000000");
    check("-18446744073709552000", Cbor, "fbc3f0000000000000");
    check("100000000000000000000", MessagePack, "cb4415af1d78b58c40");
    check("1e308", MessagePack, "cb7fe1ccf385ebc8a0");
    check("5e-324", MessagePack, "cb0000000000000001");
    check("0e999", MessagePack, "cb0000000000000000");
    check("-0", MessagePack, "cb8000000000000000");
    check("-0.0", Cbor, "fb8000000000000000");
    check("\"\\u0000vu8=\"", MessagePack, "c402beef");
    check("\"\\u0000vu8\"", Cbor, "42beef");
    check("\"\\u0000no!\"", Cbor, "64006e6f21");
    check("\"\\ud83d\\ude00\"", Cbor, "64f09f9880");
    check("\"\\uD83D\\uDE00\"", MessagePack, "a4f09f9880");
    check("\"\\ud7ff\\ue000\"", MessagePack, "a6ed9fbfee8080");
    check("\"\\u0000\\uffff\"", MessagePack, "a400efbfbf");
    check("\"\\/\\b\\f\\n\\r\\t\\\"\\\\\"", Cbor, "682f080c0a0d09225c");
    check(" [ 1 , { \"a\" : [ ] } ] ", MessagePack, "9201 81a16190");
    check(
        "[0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,[0]]",
        MessagePack,
        "dc0010 000000000000000000000000000000 9100",
    );
    let long = format!("[{}0]", "0,".repeat(70_000));
    let bytes = recode(long.as_bytes(), Json, MessagePack).unwrap();
    assert_eq!(bytes[..5], hex("dd00011171"));
    assert_eq!(recode(&bytes, MessagePack, Json).unwrap(), long.as_bytes());
}

/// Texts that are not JSON.
const NOT_JSON: &[&str] = &[
    "",
    " ",
    "[",
    "]",
    "[1",
    "[1,",
    "[1,]",
    "[,1]",
    "[1 2]",
    "{",
    "{\"a\"",
    "{\"a\":",
    "{\"a\":1",
    "{\"a\":1,}",
    "{a:1}",
    "{1:1}",
    "{\"a\" 1}",
    "[}",
    "{]",
    "\"",
    "\"\\\"",
    "\"\\x\"",
    "\"\\u12\"",
    "\"\\u12g4\"",
    "\"\n\"",
    "\"\u{1}\"",
    "tru",
    "nul",
    "True",
    "01",
    "-",
    "+1",
    "1.",
    ".5",
    "1e",
    "1e+",
    "0x1",
    "NaN",
    "Infinity",
    "1 2",
    "[]]",
    "\u{feff}1",
    "'a'",
    "\u{a0}1",
];

/// Bytes that are not MessagePack, in hexadecimal.
const NOT_MESSAGE_PACK: &str = "
    , c1, 91, 81, 81a161, a2 61, d9, d9 01, cc, cf 00, c4 02 00, c7 01 00, d4,
    dc 0001, dd ffffffff, df ffffffff, db ffffffff, 01 01, ca 0000, 81 90 01,
    81 80 01
";

/// Bytes that are not CBOR, in hexadecimal.
const NOT_CBOR: &str = "
    , 18, 1c, 1f, 3f, 42 00, 62 61, 7f 41 00 ff, 7f 7f ff ff, 7f 61 61,
    5f 61 61 ff, 81, 9f, 9f 01, a1, a1 01, bf 01 ff, bf 01, c0, df, f8 00, f8 1f, f8,
    fc, ff, 9b ffffffffffffffff, bb ffffffffffffffff, 7b ffffffffffffffff,
    5b ffffffffffffffff, 00 00, a1 80 01, a1 a0 01,
    bf 9fff 01 ff
";

#[test]
fn rejects_malformed_input() {
    let check = |codec: Codec, bytes: &[u8]| {
        let read = decode(codec, bytes);
        assert!(read.is_err(), "{codec:?} {bytes:x?} was read as {read:?}");
        assert!(skip(codec, bytes).is_err(), "{codec:?} {bytes:x?} was passed over");
    };
    for text in NOT_JSON {
        check(Json, text.as_bytes());
    }
    for bytes in NOT_MESSAGE_PACK.split(',') {
        check(MessagePack, &hex(bytes));
    }
    for bytes in NOT_CBOR.split(',') {
        check(Cbor, &hex(bytes));
    }
}

#[test]
fn bounds_the_depth() {
    let check = |codec: Codec, open: &[u8], middle: &[u8], close: &[u8]| {
        let nested = |depth| [open.repeat(depth).as_slice(), middle, &close.repeat(depth)].concat();
        assert_eq!(skip(codec, &nested(MAX_DEPTH)), Ok(()), "{codec:?}");
        for to in CODECS {
            assert!(recode(&nested(MAX_DEPTH), codec, to).is_ok(), "{codec:?} to {to:?}");
            assert!(recode(&nested(MAX_DEPTH + 1), codec, to).is_err(), "{codec:?} to {to:?}");
        }
        for depth in [MAX_DEPTH + 1, 1 << 20] {
            let fault = skip(codec, &nested(depth)).unwrap_err();
            assert_eq!(
                (fault.problem, fault.kind),
                (TOO_DEEP, ReadErrorKind::Unsupported),
                "{codec:?}"
            );
            assert!(decode(codec, &nested(depth)).is_err());
        }
    };
    check(Json, b"[", b"1", b"]");
    check(Json, b"{\"a\":", b"1", b"}");
    check(Json, b" [ 0 , ", b"1", b" ] ");
    check(MessagePack, b"\x91", b"\x01", b"");
    check(MessagePack, b"\x81\x01", b"\x01", b"");
    check(Cbor, b"\x81", b"\x01", b"");
    check(Cbor, b"\x9f", b"\x01", b"\xff");
    check(Cbor, b"\xbf\x01", b"\x01", b"\xff");
    // Nested keys, where a container could begin too, and incomplete input.
    assert!(skip(MessagePack, &b"\x81".repeat(1 << 20)).is_err());
    assert!(skip(Cbor, &b"\xa1".repeat(1 << 20)).is_err());
    assert!(skip(Json, &b"[".repeat(1 << 20)).is_err());
    // Tags do not nest, including the tag "this is CBOR".
    for tag in [&b"\xc1"[..], b"\xc6", b"\xd9\xd9\xf7"] {
        assert!(skip(Cbor, &[&tag.repeat(1 << 18), &b"\x01"[..]].concat()).is_err());
        assert!(skip(Cbor, &[&tag.repeat(3), &b"\x01"[..]].concat()).is_err());
    }
}

/// Strings are compared in chunks: a special byte is found at each place of one.
#[test]
fn finds_special_bytes_at_every_place_of_a_string() {
    for length in 0..50 {
        for place in 0..=length {
            for special in
                ["", "\\\"", "\\\\", "\\n", "\\u00e9", "é", "\u{1f980}", "\u{7f}", "\u{1}"]
            {
                let (before, after) = ("x".repeat(place), "y".repeat(length - place));
                let json = format!("[\"{before}{special}{after}\",1]");
                let expected = serde_json::from_str::<serde_json::Value>(&json);
                let decoded = decode(Json, json.as_bytes());
                match &expected {
                    Ok(value) => assert_eq!(serde_value(&decoded.unwrap()), *value, "{json:?}"),
                    Err(_) => assert_eq!(decoded.unwrap_err().at, place + 2, "{json:?}"),
                }
                assert_eq!(skip(Json, json.as_bytes()).is_ok(), expected.is_ok(), "{json:?}");
                if let Ok(value) = &expected {
                    let written = encode(Json, &decode(Json, json.as_bytes()).unwrap());
                    let again: serde_json::Value = serde_json::from_slice(&written).unwrap();
                    assert_eq!(again, *value, "{json:?}");
                }
            }
        }
    }
}

/// Decodes our JSON with another library.
fn serde_value(value: &Value) -> serde_json::Value {
    serde_json::from_slice(&encode(Json, value)).unwrap()
}

fn rmpv_value(value: &Value) -> rmpv::Value {
    match value {
        Value::Null => rmpv::Value::Nil,
        Value::Bool(value) => (*value).into(),
        Value::Int(number) => (*number).into(),
        Value::UInt(number) => (*number).into(),
        Value::Float(number) => (*number).into(),
        Value::Text(text) => text.as_str().into(),
        Value::Binary(bytes) => rmpv::Value::Binary(bytes.to_vec()),
        Value::List(list) => rmpv::Value::Array(list.iter().map(rmpv_value).collect()),
        Value::Map(dict) => rmpv::Value::Map(
            dict.iter().map(|(key, value)| (key.into(), rmpv_value(value))).collect(),
        ),
    }
}

fn ciborium_value(value: &Value) -> ciborium::Value {
    match value {
        Value::Null => ciborium::Value::Null,
        Value::Bool(value) => (*value).into(),
        Value::Int(number) => (*number).into(),
        Value::UInt(number) => (*number).into(),
        Value::Float(number) => (*number).into(),
        Value::Text(text) => text.as_str().into(),
        Value::Binary(bytes) => ciborium::Value::Bytes(bytes.to_vec()),
        Value::List(list) => ciborium::Value::Array(list.iter().map(ciborium_value).collect()),
        Value::Map(dict) => ciborium::Value::Map(
            dict.iter().map(|(key, value)| (key.into(), ciborium_value(value))).collect(),
        ),
    }
}

proptest! {
    #[test]
    fn a_value_survives_each_codec(value in value(), codec in codec()) {
        prop_assert_eq!(decode(codec, &encode(codec, &value)).unwrap(), value);
    }

    #[test]
    fn a_value_survives_the_change_of_codec(value in value(), from in codec(), to in codec()) {
        let there = recode(&encode(from, &value), from, to).unwrap();
        prop_assert_eq!(&there, &encode(to, &value).to_vec(), "the same as written directly");
        let back = recode(&there, to, from).unwrap();
        prop_assert_eq!(back, encode(from, &value).to_vec());
    }

    #[test]
    fn agrees_with_serde_json(value in value()) {
        let theirs = serde_value(&value).to_string();
        let ours = decode(Json, theirs.as_bytes()).unwrap();
        prop_assert_eq!(serde_value(&ours), serde_value(&value));
    }

    #[test]
    fn agrees_with_rmpv(value in value()) {
        let expect = rmpv_value(&value);
        let theirs = rmpv::decode::read_value(&mut &encode(MessagePack, &value)[..]).unwrap();
        prop_assert_eq!(&theirs, &expect);
        let mut bytes = Vec::new();
        rmpv::encode::write_value(&mut bytes, &expect).unwrap();
        prop_assert_eq!(decode(MessagePack, &bytes).unwrap(), value);
    }

    #[test]
    fn agrees_with_ciborium(value in value()) {
        let expect = ciborium_value(&value);
        let theirs: ciborium::Value = ciborium::from_reader(&encode(Cbor, &value)[..]).unwrap();
        prop_assert_eq!(&theirs, &expect);
        let mut bytes = Vec::new();
        ciborium::into_writer(&expect, &mut bytes).unwrap();
        prop_assert_eq!(decode(Cbor, &bytes).unwrap(), value);
    }

    #[test]
    fn accepts_the_same_texts_as_serde_json(text in "[\\[\\]{}\",:0-2eE+\\-.tn\\\\u é]{0,12}|(\\[|\\{|\\]|\\}|,|:|\"a\"|\"\\\\u00e9\"|-?[0-9]{1,3}|1\\.5|2e-3|null|true| ){0,9}") {
        let theirs = serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok();
        prop_assert_eq!(skip(Json, text.as_bytes()).is_ok(), theirs, "{:?}", text);
        // A number that would be rounded, such as 2e-324, is well-formed, and refused.
        let is_portable = theirs && is_portable(Json, text.as_bytes());
        prop_assert_eq!(decode(Json, text.as_bytes()).is_ok(), is_portable, "{:?}", text);
    }

    #[test]
    fn portable_input_converts_to_every_codec(bytes in proptest::collection::vec(any::<u8>(), 0..40), from in codec()) {
        if skip(from, &bytes).is_ok() && (from != Json || std::str::from_utf8(&bytes).is_ok()) {
            let is_portable = is_portable(from, &bytes);
            prop_assert_eq!(decode(from, &bytes).is_ok(), is_portable);
            for to in CODECS.into_iter().filter(|_| is_portable) {
                let there = recode(&bytes, from, to).unwrap();
                prop_assert_eq!(skip(to, &there), Ok(()));
            }
        }
    }
}
