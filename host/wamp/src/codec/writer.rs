//! Streaming writer of one codec, appending to a buffer.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::json::plain_length;
use crate::dialect::Codec;
use crate::value::{Dict, Value};

/// Writes values in sequence. Containers begin with their number of elements; the caller must write
/// exactly that many, as the binary codecs have no end marks.
pub(crate) struct CodecWriter<'o> {
    codec: Codec,
    out: &'o mut Vec<u8>,
    /// JSON: whether the next value needs a comma before it.
    comma: bool,
}

/// An open container whose length is not known yet.
pub(crate) struct Open {
    head: usize,
    is_map: bool,
}

impl<'o> CodecWriter<'o> {
    pub(crate) const fn new(codec: Codec, out: &'o mut Vec<u8>) -> Self {
        Self { codec, out, comma: false }
    }

    pub(crate) const fn codec(&self) -> Codec {
        self.codec
    }

    pub(crate) fn null(&mut self) {
        match self.codec {
            Codec::Json => self.json(b"null"),
            Codec::MessagePack => self.out.push(0xc0),
            Codec::Cbor => self.out.push(0xf6),
        }
    }

    pub(crate) fn bool(&mut self, value: bool) {
        match self.codec {
            Codec::Json => self.json(if value { b"true" } else { b"false" }),
            Codec::MessagePack => self.out.push(0xc2 + u8::from(value)),
            Codec::Cbor => self.out.push(0xf4 + u8::from(value)),
        }
    }

    pub(crate) fn uint(&mut self, number: u64) {
        match self.codec {
            Codec::Json => self.json_digits(number, false),
            Codec::MessagePack if number < 0x80 => self.low_byte(number),
            Codec::MessagePack => self.sized(number, [0xcc, 0xcd, 0xce, 0xcf]),
            Codec::Cbor => self.cbor_head(0, number),
        }
    }

    /// Writes a negative number; others go to [`CodecWriter::uint`].
    pub(crate) fn int(&mut self, number: i64) {
        let Ok(below) = u64::try_from(-1 - number) else {
            return self.uint(number.unsigned_abs());
        };
        match self.codec {
            Codec::Json => self.json_digits(number.unsigned_abs(), true),
            Codec::Cbor => self.cbor_head(1, below),
            Codec::MessagePack => {
                let [.., a, b, c, d] = number.to_be_bytes();
                if below < 0x20 {
                    self.out.push(d);
                } else if below < 0x80 {
                    self.out.extend_from_slice(&[0xd0, d]);
                } else if below < 0x8000 {
                    self.out.extend_from_slice(&[0xd1, c, d]);
                } else if below < 0x8000_0000 {
                    self.out.extend_from_slice(&[0xd2, a, b, c, d]);
                } else {
                    self.out.push(0xd3);
                    self.out.extend_from_slice(&number.to_be_bytes());
                }
            }
        }
    }

    /// Writes infinities and NaN as null in JSON, which has neither.
    pub(crate) fn float(&mut self, number: f64) {
        match self.codec {
            Codec::Json if !number.is_finite() => self.null(),
            // Rust's own shortest form, "1.0" or "1e-7", is also valid JSON.
            Codec::Json => self.json(format!("{number:?}").as_bytes()),
            Codec::MessagePack => {
                self.out.push(0xcb);
                self.out.extend_from_slice(&number.to_be_bytes());
            }
            Codec::Cbor => {
                self.out.push(0xfb);
                self.out.extend_from_slice(&number.to_be_bytes());
            }
        }
    }

    pub(crate) fn text(&mut self, text: &str) {
        let len = text.len() as u64;
        match self.codec {
            Codec::Json => {
                self.separate();
                self.out.push(b'"');
                escape(text, self.out);
                self.out.push(b'"');
                self.comma = true;
            }
            Codec::MessagePack => {
                if len < 0x20 {
                    self.low_byte(0xa0 | len);
                } else {
                    self.sized(len, [0xd9, 0xda, 0xdb, 0xdb]);
                }
                self.out.extend_from_slice(text.as_bytes());
            }
            Codec::Cbor => {
                self.cbor_head(3, len);
                self.out.extend_from_slice(text.as_bytes());
            }
        }
    }

    pub(crate) fn binary(&mut self, bytes: &[u8]) {
        let len = bytes.len() as u64;
        match self.codec {
            Codec::Json => self.json(format!("\"\\u0000{}\"", STANDARD.encode(bytes)).as_bytes()),
            Codec::MessagePack => {
                self.sized(len, [0xc4, 0xc5, 0xc6, 0xc6]);
                self.out.extend_from_slice(bytes);
            }
            Codec::Cbor => {
                self.cbor_head(2, len);
                self.out.extend_from_slice(bytes);
            }
        }
    }

    pub(crate) fn begin_list(&mut self, len: usize) {
        match self.codec {
            Codec::Json => self.json_open(b'['),
            Codec::MessagePack if len < 0x10 => self.low_byte(0x90 | len as u64),
            Codec::MessagePack => self.sized(len as u64, [0xdc, 0xdc, 0xdd, 0xdd]),
            Codec::Cbor => self.cbor_head(4, len as u64),
        }
    }

    pub(crate) fn end_list(&mut self) {
        self.json_close(b']');
    }

    pub(crate) fn begin_map(&mut self, len: usize) {
        match self.codec {
            Codec::Json => self.json_open(b'{'),
            Codec::MessagePack if len < 0x10 => self.low_byte(0x80 | len as u64),
            Codec::MessagePack => self.sized(len as u64, [0xde, 0xde, 0xdf, 0xdf]),
            Codec::Cbor => self.cbor_head(5, len as u64),
        }
    }

    pub(crate) fn end_map(&mut self) {
        self.json_close(b'}');
    }

    pub(crate) fn key(&mut self, key: &str) {
        self.text(key);
        self.end_key();
    }

    /// Ends a key that was written as a value.
    pub(crate) fn end_key(&mut self) {
        if let Codec::Json = self.codec {
            self.out.push(b':');
            self.comma = false;
        }
    }

    /// Begins a container; [`CodecWriter::close`] gets its length.
    pub(crate) fn open(&mut self, is_map: bool) -> Open {
        let head = self.out.len();
        if is_map {
            self.begin_map(0);
        } else {
            self.begin_list(0);
        }
        Open { head, is_map }
    }

    /// Ends a container. A length that needs a header of more than one byte moves the content up.
    pub(crate) fn close(&mut self, open: &Open, len: usize) {
        if let Codec::Json = self.codec {
            return if open.is_map { self.end_map() } else { self.end_list() };
        }
        let mut head = Vec::with_capacity(5);
        let mut writer = CodecWriter::new(self.codec, &mut head);
        if open.is_map {
            writer.begin_map(len);
        } else {
            writer.begin_list(len);
        }
        if let ([only], Some(byte)) = (head.as_slice(), self.out.get_mut(open.head)) {
            *byte = *only;
            return;
        }
        self.out.splice(open.head..=open.head, head);
    }

    /// Appends values (or entries) already encoded in this writer's codec.
    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.json_separate();
            self.out.extend_from_slice(bytes);
            self.comma = true;
        }
    }

    pub(crate) fn value(&mut self, value: &Value) {
        match value {
            Value::Null => self.null(),
            Value::Bool(value) => self.bool(*value),
            Value::Int(number) => self.int(*number),
            Value::UInt(number) => self.uint(*number),
            Value::Float(number) => self.float(*number),
            Value::Text(text) => self.text(text),
            Value::Binary(bytes) => self.binary(bytes),
            Value::List(list) => {
                self.begin_list(list.len());
                for value in list {
                    self.value(value);
                }
                self.end_list();
            }
            Value::Map(dict) => self.dict(dict),
        }
    }

    pub(crate) fn dict(&mut self, dict: &Dict) {
        self.begin_map(dict.len());
        for (key, value) in dict.iter() {
            self.key(key);
            self.value(value);
        }
        self.end_map();
    }

    /// Returns the current end of the buffer.
    pub(crate) const fn mark(&self) -> Mark {
        Mark { len: self.out.len(), comma: self.comma }
    }

    /// Removes everything after the mark.
    pub(crate) fn rewind(&mut self, mark: &Mark) {
        self.out.truncate(mark.len);
        self.comma = mark.comma;
    }

    fn separate(&mut self) {
        if self.comma {
            self.out.push(b',');
        }
    }

    fn json_separate(&mut self) {
        if let Codec::Json = self.codec {
            self.separate();
        }
    }

    fn json(&mut self, value: &[u8]) {
        self.separate();
        self.out.extend_from_slice(value);
        self.comma = true;
    }

    fn json_open(&mut self, bracket: u8) {
        self.separate();
        self.out.push(bracket);
        self.comma = false;
    }

    fn json_close(&mut self, bracket: u8) {
        if let Codec::Json = self.codec {
            self.out.push(bracket);
            self.comma = true;
        }
    }

    fn json_digits(&mut self, number: u64, is_negative: bool) {
        self.separate();
        if is_negative {
            self.out.push(b'-');
        }
        self.out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
        self.comma = true;
    }

    fn low_byte(&mut self, number: u64) {
        let [.., low] = number.to_be_bytes();
        self.out.push(low);
    }

    /// Writes the first byte for a number's width (1, 2, 4 or 8 bytes), then the number.
    fn sized(&mut self, number: u64, firsts: [u8; 4]) {
        let [one, two, four, eight] = firsts;
        let [.., a, b, c, d] = number.to_be_bytes();
        // MessagePack's containers have no one-byte form; their two-byte form takes its place.
        if number <= 0xff && one != two {
            self.out.extend_from_slice(&[one, d]);
        } else if number <= 0xffff {
            self.out.extend_from_slice(&[two, c, d]);
        } else if number <= 0xffff_ffff || four == eight {
            self.out.extend_from_slice(&[four, a, b, c, d]);
        } else {
            self.out.push(eight);
            self.out.extend_from_slice(&number.to_be_bytes());
        }
    }

    fn cbor_head(&mut self, major: u8, argument: u64) {
        let major = major << 5;
        if argument < 24 {
            self.low_byte(u64::from(major) | argument);
        } else {
            self.sized(argument, [24, 25, 26, 27].map(|width| major + width));
        }
    }
}

/// A position for [`CodecWriter::rewind`].
pub(crate) struct Mark {
    len: usize,
    comma: bool,
}

/// Appends a text with the fewest legal JSON escapes.
fn escape(text: &str, out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut rest = text.as_bytes();
    loop {
        let (plain, special) = rest.split_at(plain_length(rest));
        out.extend_from_slice(plain);
        let Some((byte, after)) = special.split_first() else { return };
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            _ => {
                let low = DIGITS.get(usize::from(byte & 0x0f)).copied().unwrap_or(b'0');
                out.extend_from_slice(b"\\u00");
                out.push(b'0' + (byte >> 4));
                out.push(low);
            }
        }
        rest = after;
    }
}
