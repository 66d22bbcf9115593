//! Serializations of WAMP v2, by libraries that the server does not use. Values are JSON values
//! everywhere; binary is a string that begins with NUL, followed by base64 (WAMP v2 specification,
//! "Binary support in JSON").

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Number, Value};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    Json,
    MsgPack,
    Cbor,
}

/// The payload of a WebSocket message.
pub enum Frame {
    Text(String),
    Binary(Vec<u8>),
}

impl Codec {
    pub const ALL: [Self; 3] = [Self::Json, Self::MsgPack, Self::Cbor];

    /// Returns the serializer's name in subprotocols and on the peers' command lines.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::MsgPack => "msgpack",
            Self::Cbor => "cbor",
        }
    }

    pub fn subprotocol(self) -> String {
        format!("wamp.2.{}", self.name())
    }

    pub fn encode(self, value: &Value) -> Frame {
        let mut bytes = Vec::new();
        match self {
            Self::Json => return Frame::Text(value.to_string()),
            Self::MsgPack => rmpv::encode::write_value(&mut bytes, &to_msgpack(value)).unwrap(),
            Self::Cbor => ciborium::into_writer(&to_cbor(value), &mut bytes).unwrap(),
        }
        Frame::Binary(bytes)
    }

    /// Decodes exactly one message of this serialization; anything else fails the test.
    #[track_caller]
    pub fn decode(self, frame: Frame) -> Value {
        match (self, frame) {
            (Self::Json, Frame::Text(text)) => serde_json::from_str(&text)
                .unwrap_or_else(|error| panic!("not JSON ({error}): {text}")),
            (Self::MsgPack, Frame::Binary(bytes)) => {
                let mut rest = bytes.as_slice();
                let value = rmpv::decode::read_value(&mut rest)
                    .unwrap_or_else(|error| panic!("not MessagePack ({error}): {bytes:02x?}"));
                assert!(rest.is_empty(), "more than one MessagePack value: {bytes:02x?}");
                from_msgpack(value)
            }
            (Self::Cbor, Frame::Binary(bytes)) => {
                let mut rest = bytes.as_slice();
                let value = ciborium::from_reader(&mut rest)
                    .unwrap_or_else(|error| panic!("not CBOR ({error}): {bytes:02x?}"));
                assert!(rest.is_empty(), "more than one CBOR value: {bytes:02x?}");
                from_cbor(value)
            }
            (_, Frame::Text(text)) => panic!("a text frame under {self:?}: {text}"),
            (_, Frame::Binary(bytes)) => panic!("a binary frame under {self:?}: {bytes:02x?}"),
        }
    }
}

/// Returns a binary value in the tests' notation.
pub fn binary(bytes: &[u8]) -> Value {
    Value::String(format!("\0{}", STANDARD.encode(bytes)))
}

fn as_binary(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text.strip_prefix('\0')?).ok()
}

fn to_msgpack(value: &Value) -> rmpv::Value {
    match value {
        Value::Null => rmpv::Value::Nil,
        Value::Bool(value) => rmpv::Value::Boolean(*value),
        Value::Number(number) => match (number.as_u64(), number.as_i64()) {
            (Some(number), _) => rmpv::Value::from(number),
            (None, Some(number)) => rmpv::Value::from(number),
            (None, None) => rmpv::Value::F64(number.as_f64().unwrap()),
        },
        Value::String(text) => match as_binary(text) {
            Some(bytes) => rmpv::Value::Binary(bytes),
            None => rmpv::Value::from(text.as_str()),
        },
        Value::Array(items) => rmpv::Value::Array(items.iter().map(to_msgpack).collect()),
        Value::Object(map) => {
            let pair = |(key, value): (&String, _)| (rmpv::Value::from(&**key), to_msgpack(value));
            rmpv::Value::Map(map.iter().map(pair).collect())
        }
    }
}

fn from_msgpack(value: rmpv::Value) -> Value {
    match value {
        rmpv::Value::Nil => Value::Null,
        rmpv::Value::Boolean(value) => Value::Bool(value),
        rmpv::Value::Integer(number) => match (number.as_u64(), number.as_i64()) {
            (Some(number), _) => number.into(),
            (None, number) => number.unwrap().into(),
        },
        rmpv::Value::F32(number) => float(number.into()),
        rmpv::Value::F64(number) => float(number),
        rmpv::Value::String(text) => Value::String(text.into_str().expect("text is UTF-8")),
        rmpv::Value::Binary(bytes) => binary(&bytes),
        rmpv::Value::Array(items) => items.into_iter().map(from_msgpack).collect(),
        rmpv::Value::Map(pairs) => {
            let pairs = pairs.into_iter().map(|(key, value)| (from_msgpack(key), value));
            Value::Object(pairs.map(|(key, value)| (text(key), from_msgpack(value))).collect())
        }
        // The tests' clients send no extensions, so none may be received.
        rmpv::Value::Ext(kind, bytes) => panic!("a MessagePack extension {kind}: {bytes:02x?}"),
    }
}

fn to_cbor(value: &Value) -> ciborium::Value {
    match value {
        Value::Null => ciborium::Value::Null,
        Value::Bool(value) => ciborium::Value::Bool(*value),
        Value::Number(number) => match (number.as_u64(), number.as_i64()) {
            (Some(number), _) => number.into(),
            (None, Some(number)) => number.into(),
            (None, None) => number.as_f64().unwrap().into(),
        },
        Value::String(text) => match as_binary(text) {
            Some(bytes) => ciborium::Value::Bytes(bytes),
            None => ciborium::Value::Text(text.clone()),
        },
        Value::Array(items) => ciborium::Value::Array(items.iter().map(to_cbor).collect()),
        Value::Object(map) => {
            let pair = |(key, value): (&String, _)| (key.as_str().into(), to_cbor(value));
            ciborium::Value::Map(map.iter().map(pair).collect())
        }
    }
}

fn from_cbor(value: ciborium::Value) -> Value {
    match value {
        ciborium::Value::Null => Value::Null,
        ciborium::Value::Bool(value) => Value::Bool(value),
        ciborium::Value::Integer(number) => match u64::try_from(number) {
            Ok(number) => number.into(),
            Err(_) => i64::try_from(number).expect("an integer of 64 bits").into(),
        },
        ciborium::Value::Float(number) => float(number),
        ciborium::Value::Text(text) => Value::String(text),
        ciborium::Value::Bytes(bytes) => binary(&bytes),
        ciborium::Value::Array(items) => items.into_iter().map(from_cbor).collect(),
        ciborium::Value::Map(pairs) => {
            let pairs = pairs.into_iter().map(|(key, value)| (from_cbor(key), value));
            Value::Object(pairs.map(|(key, value)| (text(key), from_cbor(value))).collect())
        }
        other => panic!("a CBOR value that no client of ours sends: {other:?}"),
    }
}

fn float(number: f64) -> Value {
    Value::Number(Number::from_f64(number).expect("a float that JSON can say"))
}

fn text(key: Value) -> String {
    match key {
        Value::String(key) => key,
        other => panic!("a key that is not text: {other}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_codec_decodes_its_own_output() {
        let values = json!([
            null, true, 0, 127, 128, 65_536, 9_007_199_254_740_992_u64, u64::MAX, -1, i64::MIN, 1.5,
            "", "é", [], {}, {"k": [1, {"n": null}]}, binary(&[0, 255, 10]),
        ]);
        for codec in Codec::ALL {
            assert_eq!(codec.decode(codec.encode(&values)), values, "{codec:?}");
        }
    }

    #[test]
    fn codecs_write_the_bytes_of_their_specifications() {
        let check = |codec: Codec, expect: &[u8]| match codec.encode(&json!([1, binary(&[7])])) {
            Frame::Text(text) => assert_eq!(text.as_bytes(), expect, "{codec:?}"),
            Frame::Binary(bytes) => assert_eq!(bytes, expect, "{codec:?}"),
        };
        check(Codec::Json, br#"[1,"\u0000Bw=="]"#);
        check(Codec::MsgPack, &[0x92, 0x01, 0xc4, 0x01, 0x07]);
        check(Codec::Cbor, &[0x82, 0x01, 0x41, 0x07]);
    }
}
