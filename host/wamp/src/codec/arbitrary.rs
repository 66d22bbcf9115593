//! Generators of values and payloads for property tests.

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;

use super::{CodecWriter, Reader};
use crate::dialect::Codec;
use crate::payload::Payload;
use crate::value::{Dict, Value};

pub(crate) const CODECS: [Codec; 3] = [Codec::Json, Codec::MessagePack, Codec::Cbor];

pub(crate) fn codec() -> impl Strategy<Value = Codec> {
    proptest::sample::select(&CODECS)
}

/// Texts with letters that need escapes or more than one byte, but without `\0`, which begins
/// binary in JSON.
pub(crate) fn text() -> impl Strategy<Value = String> {
    "[a-z./\"\\\\\u{1}\n\u{7f}é€😀]{0,40}"
}

pub(crate) fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<u64>().prop_map(Value::UInt),
        (0u64..300).prop_map(Value::UInt),
        any::<i64>().prop_map(Value::from),
        (-300i64..0).prop_map(Value::Int),
        proptest::num::f64::NORMAL.prop_map(Value::Float),
        (-9i32..9).prop_map(|number| Value::Float(number.into())),
        text().prop_map(Value::Text),
        vec(any::<u8>(), 0..300).prop_map(|bytes| Value::Binary(bytes.into())),
    ];
    leaf.prop_recursive(4, 60, 20, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..20).prop_map(Value::List),
            vec((text(), inner), 0..20).prop_map(|entries| Value::Map(Dict::from_iter(entries))),
        ]
    })
}

pub(crate) fn dict() -> impl Strategy<Value = Dict> {
    vec((text(), value()), 0..4).prop_map(Dict::from_iter)
}

pub(crate) fn payload(codec: Codec) -> impl Strategy<Value = Payload> {
    (vec(value(), 0..4), dict()).prop_map(move |(args, kwargs)| payload_of(codec, &args, &kwargs))
}

/// Decodes the payload out of a message, as sessions do.
pub(crate) fn payload_of(codec: Codec, args: &[Value], kwargs: &Dict) -> Payload {
    let mut frame = Vec::new();
    let mut writer = CodecWriter::new(codec, &mut frame);
    writer.begin_list(5);
    for number in [70, 1] {
        writer.uint(number);
    }
    writer.dict(&Dict::new());
    writer.value(&Value::List(args.to_vec()));
    writer.dict(kwargs);
    writer.end_list();
    match crate::message::Message::decode(codec, &frame.into()).unwrap() {
        crate::message::Message::Yield(answer) => answer.payload,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn encode(codec: Codec, value: &Value) -> Bytes {
    let mut out = Vec::new();
    CodecWriter::new(codec, &mut out).value(value);
    out.into()
}

pub(crate) fn decode(codec: Codec, bytes: &[u8]) -> Result<Value, super::ReadError> {
    let mut reader = Reader::new(codec, bytes);
    let item = reader.item()?;
    let value = super::tree::value(item, &mut reader, super::MAX_DEPTH)?;
    reader.finish()?;
    Ok(value)
}

/// Translates a value into another codec.
pub(crate) fn recode(bytes: &[u8], from: Codec, to: Codec) -> Result<Vec<u8>, super::ReadError> {
    let mut out = Vec::new();
    let mut reader = Reader::new(from, bytes);
    super::transcode(&mut reader, &mut CodecWriter::new(to, &mut out), super::MAX_DEPTH)?;
    reader.finish()?;
    Ok(out)
}
