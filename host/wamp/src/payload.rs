//! The arguments of a message as they arrived: undecoded bytes of one codec, slices of the frame.
//!
//! They are checked when they are taken, so that they can be written again in any codec without
//! failing: well-formed, UTF-8 where they are text, nested no deeper than [`MAX_DEPTH`]. The
//! session takes them, the broker carries them, events and plugins get them.
//!
//! Empty arguments are normalised, as most routers do: `[]` alone and `{}` count as absent, so that
//! they are never sent (WAMP v2 specification, section "Message Definitions").

use std::borrow::Cow;

use bytes::Bytes;

pub use crate::codec::MAX_DEPTH;
use crate::codec::{Container, Item, Malformed, Reader, Writer, transcode, transcode_entry};
use crate::dialect::Codec;

/// Positional and keyword arguments of a message, undecoded. Cloning shares the bytes.
#[derive(Clone, Debug, PartialEq)]
pub struct Payload {
    codec: Codec,
    args: Elements,
    kwargs: Elements,
}

/// Why a plugin's answer is no payload.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PayloadError {
    /// The text is not JSON, or nested too deep.
    #[error("{part} are not well-formed JSON: {fault}")]
    Malformed {
        /// "the arguments" or "the keyword arguments".
        part: &'static str,
        /// What is wrong, and where in the text.
        fault: Malformed,
    },
    /// The text is JSON of another type.
    #[error("{part} must be {expected}, found {found}")]
    WrongType {
        /// "the arguments" or "the keyword arguments".
        part: &'static str,
        /// What they must be.
        expected: &'static str,
        /// What they are.
        found: &'static str,
    },
}

impl Payload {
    /// No arguments.
    pub fn empty(codec: Codec) -> Self {
        Self { codec, args: Elements::default(), kwargs: Elements::default() }
    }

    /// One text as the only argument: what errors carry for people.
    pub fn text(codec: Codec, text: &str) -> Self {
        let mut bytes = Vec::new();
        Writer::new(codec, &mut bytes).text(text);
        Self::single(codec, bytes.into())
    }

    /// A JSON array and a JSON object, as plugins give them; `""` stands for none of each.
    pub fn from_json(args: &str, kwargs: &str) -> Result<Self, PayloadError> {
        Ok(Self {
            codec: Codec::Json,
            args: Elements::from_json(args, false)?,
            kwargs: Elements::from_json(kwargs, true)?,
        })
    }

    /// The positional arguments as a JSON array. Borrowed where they arrived as one.
    pub fn args_json(&self) -> Cow<'_, str> {
        self.json(&self.args, "[]", Self::write_args)
    }

    /// The keyword arguments as a JSON object, `{}` when there are none. Borrowed where they
    /// arrived as one.
    pub fn kwargs_json(&self) -> Cow<'_, str> {
        self.json(&self.kwargs, "{}", Self::write_kwargs)
    }

    /// The codec in which the arguments arrived.
    pub const fn codec(&self) -> Codec {
        self.codec
    }

    /// The size of the arguments as they arrived, in bytes.
    pub fn len(&self) -> usize {
        self.args.bytes.len() + self.kwargs.bytes.len()
    }

    /// Whether there are neither positional nor keyword arguments.
    pub const fn is_empty(&self) -> bool {
        self.args.count == 0 && self.kwargs.count == 0
    }

    /// One value, checked already, as the only argument.
    pub(crate) const fn single(codec: Codec, value: Bytes) -> Self {
        Self { codec, args: Elements::one(value), kwargs: Elements::none() }
    }

    pub(crate) const fn new(codec: Codec, args: Elements, kwargs: Elements) -> Self {
        Self { codec, args, kwargs }
    }

    /// How many elements [`Payload::write_trailing`] adds to a message.
    pub(crate) const fn trailing_len(&self) -> usize {
        match (self.args.count, self.kwargs.count) {
            (0, 0) => 0,
            (_, 0) => 1,
            _ => 2,
        }
    }

    /// Writes the last elements of a message of version 2: nothing, Args, or Args and Kwargs.
    pub(crate) fn write_trailing(&self, writer: &mut Writer<'_>) {
        let len = self.trailing_len();
        if len > 0 {
            self.write_args(writer);
        }
        if len > 1 {
            self.write_kwargs(writer);
        }
    }

    /// Writes the one value that stands for all arguments in version 1: the only positional one,
    /// null for none, the list of several, the keyword arguments, or both under their names.
    pub(crate) fn write_single(&self, writer: &mut Writer<'_>) {
        match (self.args.count, self.kwargs.count) {
            (0, 0) => writer.null(),
            (1, 0) => self.write_elements(&self.args, false, writer),
            (_, 0) => self.write_args(writer),
            (0, _) => self.write_kwargs(writer),
            _ => {
                writer.begin_map(2);
                writer.key("args");
                self.write_args(writer);
                writer.key("kwargs");
                self.write_kwargs(writer);
                writer.end_map();
            }
        }
    }

    /// The text, if it is the only argument.
    pub(crate) fn only_text(&self) -> Option<String> {
        if (self.args.count, self.kwargs.count) != (1, 0) {
            return None;
        }
        match Reader::new(self.codec, self.args.body()).item() {
            Ok(Item::Text(text)) => Some(text.into_owned()),
            Ok(_) | Err(_) => None,
        }
    }

    fn write_args(&self, writer: &mut Writer<'_>) {
        writer.begin_list(self.args.count);
        self.write_elements(&self.args, false, writer);
        writer.end_list();
    }

    fn write_kwargs(&self, writer: &mut Writer<'_>) {
        writer.begin_map(self.kwargs.count);
        self.write_elements(&self.kwargs, true, writer);
        writer.end_map();
    }

    /// Writes the elements without what encloses them.
    fn write_elements(&self, elements: &Elements, is_map: bool, writer: &mut Writer<'_>) {
        if writer.codec() == self.codec {
            return writer.raw(elements.body());
        }
        let start = writer.mark();
        if elements.transcode(self.codec, is_map, writer).is_err() {
            // What was checked cannot fail; if it did, the message must still have its length.
            writer.rewind(&start);
            for index in 0..elements.count {
                if is_map {
                    writer.key(&index.to_string());
                }
                writer.null();
            }
        }
    }

    fn json<'a>(
        &self,
        elements: &'a Elements,
        empty: &'static str,
        write: impl Fn(&Self, &mut Writer<'_>),
    ) -> Cow<'a, str> {
        if elements.count == 0 {
            return Cow::Borrowed(empty);
        }
        if self.codec == Codec::Json && elements.is_enclosed {
            return String::from_utf8_lossy(&elements.bytes);
        }
        let mut text = Vec::new();
        write(self, &mut Writer::new(Codec::Json, &mut text));
        Cow::Owned(String::from_utf8_lossy(&text).into_owned())
    }
}

/// Values (or entries) one behind the other, as they stand inside a list (or dictionary).
#[derive(Clone, Debug, Default)]
pub(crate) struct Elements {
    count: usize,
    bytes: Bytes,
    /// JSON only: whether the bytes include the brackets around the elements.
    is_enclosed: bool,
}

impl Elements {
    pub(crate) const fn none() -> Self {
        Self { count: 0, bytes: Bytes::new(), is_enclosed: false }
    }

    /// One value, checked already.
    pub(crate) const fn one(value: Bytes) -> Self {
        Self { count: 1, bytes: value, is_enclosed: false }
    }

    /// Takes the elements of a list or dictionary whose beginning the reader has just passed;
    /// `start` is where it began.
    pub(crate) fn take(
        reader: &mut Reader<'_>,
        frame: &Bytes,
        start: usize,
        mut container: Container,
        is_map: bool,
    ) -> Result<Self, Malformed> {
        let is_enclosed = reader.codec() == Codec::Json;
        let start = if is_enclosed { start } else { reader.position() };
        let mut count = 0;
        let mut end = start;
        while reader.more(&mut container)? {
            if is_map {
                let key = reader.key()?;
                reader.skip_rest(key, MAX_DEPTH - 1)?;
            }
            reader.skip(MAX_DEPTH - 1)?;
            count += 1;
            end = reader.position();
        }
        if count == 0 {
            return Ok(Self::none());
        }
        let end = if is_enclosed { reader.position() } else { end };
        Ok(Self { count, bytes: frame.slice(start..end), is_enclosed })
    }

    /// Takes what is left of a list, from the element that begins at the reader's place. The
    /// caller has asked [`Reader::more`] for it.
    pub(crate) fn take_rest(
        reader: &mut Reader<'_>,
        frame: &Bytes,
        list: &mut Container,
    ) -> Result<Self, Malformed> {
        let start = reader.position();
        let mut count = 0;
        let mut end = start;
        loop {
            reader.skip(MAX_DEPTH - 1)?;
            count += 1;
            end = end.max(reader.position());
            if !reader.more(list)? {
                return Ok(Self { count, bytes: frame.slice(start..end), is_enclosed: false });
            }
        }
    }

    /// Takes the one element that begins at the reader's place.
    pub(crate) fn take_one(reader: &mut Reader<'_>, frame: &Bytes) -> Result<Self, Malformed> {
        let start = reader.position();
        reader.skip(MAX_DEPTH - 1)?;
        Ok(Self { count: 1, bytes: frame.slice(start..reader.position()), is_enclosed: false })
    }

    /// Version 1: a single argument that is a list or a dictionary stands for all arguments.
    /// Gives positional and keyword ones.
    pub(crate) fn spread(self) -> Result<(Self, Self), Malformed> {
        if self.count != 1 {
            return Ok((self, Self::none()));
        }
        let mut reader = Reader::new(Codec::Json, &self.bytes);
        Ok(match reader.item()? {
            Item::List(list) => {
                (Self::take(&mut reader, &self.bytes, 0, list, false)?, Self::none())
            }
            Item::Map(map) => (Self::none(), Self::take(&mut reader, &self.bytes, 0, map, true)?),
            Item::Null
            | Item::Bool(_)
            | Item::UInt(_)
            | Item::Int(_)
            | Item::Float(_)
            | Item::Text(_)
            | Item::Binary(_) => (self, Self::none()),
        })
    }

    fn from_json(text: &str, is_map: bool) -> Result<Self, PayloadError> {
        let (part, expected) = if is_map {
            ("the keyword arguments", "a dictionary")
        } else {
            ("the arguments", "a list")
        };
        if text.is_empty() {
            return Ok(Self::none());
        }
        let malformed = |fault| PayloadError::Malformed { part, fault };
        let frame = Bytes::copy_from_slice(text.trim().as_bytes());
        let mut reader = Reader::new(Codec::Json, &frame);
        let container = match reader.item().map_err(malformed)? {
            Item::List(container) if !is_map => container,
            Item::Map(container) if is_map => container,
            item => {
                return Err(PayloadError::WrongType { part, expected, found: item.describe() });
            }
        };
        let elements = Self::take(&mut reader, &frame, 0, container, is_map).map_err(malformed)?;
        reader.finish().map_err(malformed)?;
        Ok(elements)
    }

    fn body(&self) -> &[u8] {
        if self.is_enclosed {
            self.bytes.get(1..self.bytes.len().saturating_sub(1)).unwrap_or_default()
        } else {
            &self.bytes
        }
    }

    fn transcode(&self, from: Codec, is_map: bool, to: &mut Writer<'_>) -> Result<(), Malformed> {
        let mut reader = Reader::new(from, self.body());
        let mut container = reader.bare(self.count as u64);
        while reader.more(&mut container)? {
            if is_map {
                transcode_entry(&mut reader, to, MAX_DEPTH - 1)?;
            } else {
                transcode(&mut reader, to, MAX_DEPTH - 1)?;
            }
        }
        Ok(())
    }
}

impl PartialEq for Elements {
    fn eq(&self, other: &Self) -> bool {
        self.count == other.count && self.body() == other.body()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::arbitrary::{CODECS, payload_of};
    use crate::value::{Dict, Value};

    /// The JSON of the arguments, the keyword arguments, and of the one value of version 1.
    fn check(args: &str, kwargs: &str, expect: [&str; 3]) {
        let json = Payload::from_json(args, kwargs).unwrap();
        for codec in CODECS {
            // There and back through a message of the codec.
            let mut frame = Vec::new();
            let mut writer = Writer::new(codec, &mut frame);
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
            answer.payload.write_single(&mut Writer::new(Codec::Json, &mut single));
            let single = String::from_utf8(single).unwrap();
            let found = [&*answer.payload.args_json(), &*answer.payload.kwargs_json(), &*single];
            assert_eq!(found, expect, "{args} {kwargs} {codec:?}");
        }
    }

    #[test]
    fn shapes() {
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
        check(
            "[18446744073709551615]",
            "",
            ["[18446744073709551615]", "{}", "18446744073709551615"],
        );
    }

    #[test]
    fn plugins_are_checked() {
        let check = |args: &str, kwargs: &str, expect: &str| {
            assert_eq!(Payload::from_json(args, kwargs).unwrap_err().to_string(), expect);
        };
        check("{}", "", "the arguments must be a list, found a dictionary");
        check("5", "", "the arguments must be a list, found a whole number");
        check("", "[]", "the keyword arguments must be a dictionary, found a list");
        check(
            "[1",
            "",
            "the arguments are not well-formed JSON: no comma between elements at byte 2",
        );
        check(
            "[1] x",
            "",
            "the arguments are not well-formed JSON: something after the value's end at byte 4",
        );
        check(
            &"[".repeat(200),
            "",
            "the arguments are not well-formed JSON: lists or dictionaries nested too deep at byte 128",
        );
    }

    #[test]
    fn json_is_borrowed() {
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
    fn space_around_elements_is_kept() {
        let payload = Payload::from_json(" [ 1 , 2 ] ", "{ }").unwrap();
        assert_eq!(payload.args_json(), "[ 1 , 2 ]");
        assert_eq!(payload.kwargs_json(), "{}");
        assert_eq!(payload.only_text(), None);
        assert_eq!(Payload::text(Codec::Cbor, "a\"b").only_text().as_deref(), Some("a\"b"));
        assert_eq!(Payload::text(Codec::MessagePack, "a\"b").args_json(), "[\"a\\\"b\"]");
    }
}
