//! Tests of values that not every codec carries exactly: numbers never change.

use proptest::prelude::*;

use super::super::arbitrary::{codec, decode, recode};
use super::super::{MAX_DEPTH, NOT_EXACT, NOT_UNICODE, ReadErrorKind, Reader};
use super::{hex, skip};
use crate::dialect::Codec::{self, Cbor, Json, MessagePack};
use crate::value::Value;

/// Checks that a value is an error in every codec, for reading and for skipping.
#[track_caller]
fn refused(codec: Codec, bytes: &[u8], problem: &str) {
    for found in [decode(codec, bytes).err(), skip(codec, bytes).err()] {
        let found = found.unwrap_or_else(|| panic!("{codec:?} {bytes:x?} was taken"));
        assert_eq!(
            (found.problem, found.kind),
            (problem, ReadErrorKind::Unsupported),
            "{bytes:x?}"
        );
    }
}

/// Checks that a value is foreign: skipped and remembered, and an error for reading.
#[track_caller]
fn foreign(codec: Codec, bytes: &[u8], problem: &str) {
    let mut reader = Reader::new(codec, bytes);
    reader.skip(MAX_DEPTH).and_then(|()| reader.finish()).unwrap();
    let passed = reader.take_foreign();
    let mut others = vec![decode(codec, bytes).err()];
    others.extend([Json, MessagePack, Cbor].map(|to| recode(bytes, codec, to).err()));
    for found in [passed].into_iter().chain(others) {
        let found = found.unwrap_or_else(|| panic!("{codec:?} {bytes:x?} is not foreign"));
        assert_eq!((found.problem, found.kind), (problem, ReadErrorKind::Foreign), "{bytes:x?}");
    }
    assert_eq!(reader.take_foreign(), None);
    // Among other values; the first foreign value is remembered.
    let (before, between, after): (&[u8], &[u8], &[u8]) = match codec {
        Json => (b"[1,", b",", b",2]"),
        MessagePack => (b"\x94\x01", b"", b"\x02"),
        Cbor => (b"\x84\x01", b"", b"\x02"),
    };
    let list = [before, bytes, between, bytes, after].concat();
    let mut reader = Reader::new(codec, &list);
    reader.skip(MAX_DEPTH).and_then(|()| reader.finish()).unwrap();
    let at = passed.map(|passed| passed.at + before.len());
    assert_eq!(reader.take_foreign().map(|first| first.at), at, "{bytes:x?}");
}

#[test]
fn reports_values_that_other_codecs_lack() {
    for number in [
        "18446744073709551617",
        "-9223372036854775809",
        "36893488147419103233",
        "123456789012345678901234567890",
        "1e400",
        "-1e400",
        "1e-400",
        "0.1e-999",
    ] {
        foreign(Json, number.as_bytes(), NOT_EXACT);
        foreign(Json, format!("[{{\"a\":{number} }}]").as_bytes(), NOT_EXACT);
    }
    foreign(Json, format!("1{}", "0".repeat(400)).as_bytes(), NOT_EXACT);
    foreign(Json, format!("1{}.5", "0".repeat(400)).as_bytes(), NOT_EXACT);
    foreign(Json, format!("0.{}1", "0".repeat(400)).as_bytes(), NOT_EXACT);
    for (codec, bytes) in [
        (MessagePack, "cb 7ff0000000000000"),
        (MessagePack, "cb 7ff8000000000000"),
        (MessagePack, "ca ff800000"),
        (Cbor, "f97c00"),
        (Cbor, "f97e00"),
        (Cbor, "fa7f800000"),
        (Cbor, "fb7ff8000000000000"),
        // 2^64 + 1, 10^30, -2^64 + 1 …
        (Cbor, "c249010000000000000001"),
        (Cbor, "c24d0c9f2c9cd04674edea40000000"),
        (Cbor, "c2510100000000000000000000000000000000"),
        (Cbor, "c349010000000000000000"),
        (Cbor, "3bfffffffffffffffe"),
        // … and within tags.
        (Cbor, "c1f97e00"),
        (Cbor, "d9d9f7f97e00"),
        (Cbor, "d9d9f7c249010000000000000001"),
    ] {
        foreign(codec, &hex(bytes), NOT_EXACT);
    }
    let problem = "a MessagePack extension type that has no equivalent in the other codecs";
    // Timestamps of all sizes, and application-specific types.
    for bytes in [
        "d6 ff 00000000",
        "d7 ff 0000000000000000",
        "c7 0c ff 000000000000000000000000",
        "d4 01 00",
        "d4 00 01",
        "c7 02 00 0000",
    ] {
        foreign(MessagePack, &hex(bytes), problem);
    }
    let problem = "a CBOR tag that has no equivalent in the other codecs";
    // Decimals, big floats, a UUID, a set, a text that is not a time, and a time that is a list.
    for bytes in [
        "c48221196ab3",
        "c482213bfffffffffffffffe",
        "c5822003",
        "d82540",
        "d9010280",
        "c001",
        "c180",
        "c2 01",
        "d87f01",
    ] {
        foreign(Cbor, &hex(bytes), problem);
    }
    for bytes in ["f0", "e0", "f820", "f8ff"] {
        let problem = "a CBOR simple value that has no equivalent in the other codecs";
        foreign(Cbor, &hex(bytes), problem);
    }
}

#[test]
fn refuses_values_that_no_codec_carries() {
    for half in
        [r"\ud800", r"\udfff", r"\uD83Dx", r"\ud83d\n", r"\ud83d\ud83d\ude00", r"\ude00\ud83d"]
    {
        refused(Json, format!("\"{half}\"").as_bytes(), NOT_UNICODE);
        refused(Json, format!("{{\"{half}\":1}}").as_bytes(), NOT_UNICODE);
    }
    // Half a surrogate pair, as encoders of UTF-16 write it.
    for (codec, bytes) in [
        (MessagePack, "a3 eda080"),
        (MessagePack, "d903 eda080"),
        (MessagePack, "81 a1ff 01"),
        (Cbor, "63 eda080"),
        (Cbor, "7f 61ff ff"),
        (Cbor, "a1 61ff 01"),
    ] {
        refused(codec, &hex(bytes), NOT_UNICODE);
    }
    let nested = "a CBOR tag inside of a tag";
    for bytes in ["c0c060", "d82ad82a01", "c4c48221196ab3", "d9d9f7c1c101"] {
        refused(Cbor, &hex(bytes), nested);
    }
    // Keys.
    refused(Cbor, &hex("a1f97e0001"), NOT_EXACT);
    refused(MessagePack, &hex("81cb7ff800000000000001"), NOT_EXACT);
}

proptest! {
    /// A number is received as it was sent, or it is an error; its value never changes.
    #[test]
    fn a_number_is_exact_or_refused(
        digits in "-?(0|[1-9][0-9]{0,40})(\\.[0-9]{1,20})?(e[+-]?[0-9]{1,3})?",
        to in codec(),
    ) {
        if let Ok(there) = recode(digits.as_bytes(), Json, to) {
            let sent: f64 = digits.parse().unwrap();
            match decode(to, &there).unwrap() {
                Value::UInt(number) => prop_assert_eq!(number.to_string(), digits),
                Value::Int(number) => prop_assert_eq!(number.to_string(), digits),
                Value::Float(number) => prop_assert_eq!(number.to_bits(), sent.to_bits()),
                other => prop_assert!(false, "{:?}", other),
            }
            prop_assert!(sent.is_finite());
        }
    }

    #[test]
    fn a_big_number_is_exact_or_refused(number: u128, is_negative: bool, to in codec()) {
        let tag = if is_negative { 0xc3 } else { 0xc2 };
        let cbor = [&[tag, 0x50][..], &number.to_be_bytes()].concat();
        if let Ok(there) = recode(&cbor, Cbor, to) {
            let size = if is_negative { number + 1 } else { number };
            let found = match decode(to, &there).unwrap() {
                Value::UInt(number) => number.to_string(),
                Value::Int(number) => number.to_string(),
                Value::Float(number) => format!("{number:.0}"),
                other => format!("{other:?}"),
            };
            prop_assert_eq!(found.trim_start_matches('-'), size.to_string());
            prop_assert_eq!(found.starts_with('-'), is_negative);
        }
    }
}
