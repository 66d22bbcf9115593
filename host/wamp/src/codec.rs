//! Codecs: pull parsers and writers for JSON, MessagePack and CBOR, one value at a time. Messages,
//! payloads and events are written against [`Reader`] and [`CodecWriter`]; no other module knows the
//! three formats.
//!
//! Why not serde: a router passes most bytes on undecoded. It needs exact offsets (to slice
//! arguments out of a frame without copying), a bounded depth in every codec, "undefined" (an ext
//! type in MessagePack, a simple value in CBOR), and integers and keys unchanged. Data models for
//! structs lose all of these. The tests compare this module with well-known libraries.
//!
//! No value is rounded (`docs/decisions/0024-values-that-every-codec-carries.md`). A value that not
//! every codec carries exactly is *foreign*. [`Reader::skip`] skips it and remembers it, so that
//! its bytes reach receivers of the same codec; reading its value is an error
//! ([`ReadErrorKind::Foreign`]):
//! - integers are exact in 64 bits; beyond that, integers that a double holds exactly are doubles,
//!   and others are foreign;
//! - a JSON number with a fraction or an exponent is a double; it is foreign outside of a double's
//!   range;
//! - NaN and the infinities are foreign, as JSON has none;
//! - text is Unicode: half a surrogate pair and bytes that are not UTF-8 are errors;
//! - a CBOR tag is skipped if its content means the same without it, and foreign otherwise; a tag
//!   inside of a tag is an error;
//! - MessagePack ext type 0 and CBOR undefined are null; other ext types and CBOR's unassigned
//!   simple values are foreign;
//! - a key is any value except a list, a dictionary or a foreign value; in JSON, keys become texts.

use std::borrow::Cow;

use crate::dialect::Codec;

#[cfg(test)]
pub(crate) mod arbitrary;
mod cbor;
mod json;
mod message_pack;
#[cfg(test)]
mod tests;
mod transcode;
mod tree;
mod writer;

pub(crate) use transcode::{transcode, transcode_entry};
pub(crate) use tree::dict;
pub(crate) use writer::CodecWriter;

/// Highest nesting of lists and dictionaries that a setting may allow: values are read by
/// recursion, on a stack of 2 MiB. The arguments' own list is the first level.
pub const MAX_DEPTH: usize = 512;

/// Nesting without a setting; the parsers of most languages have this limit.
pub const DEFAULT_DEPTH: usize = 128;

const NOT_UNICODE: &str =
    "text that is not Unicode (half a surrogate pair, or bytes that are not UTF-8)";
/// Error text for a number that would have to be rounded.
const NOT_EXACT: &str = "a number that not every codec can carry exactly";
/// Error text for nesting beyond the bound.
const TOO_DEEP: &str = "lists or dictionaries nested too deep";

/// A value cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{problem} at byte {at}")]
pub struct ReadError {
    /// Offset in the frame, or in the payload.
    pub at: usize,
    /// The error as a noun phrase.
    pub problem: &'static str,
    /// The kind of error.
    pub kind: ReadErrorKind,
}

/// Kinds of read errors. After the last two the rest of a message can still be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadErrorKind {
    /// The bytes break the codec's rules.
    Malformed,
    /// The bytes are well-formed, with a value that is not supported.
    Unsupported,
    /// The bytes are well-formed, with a value that not every codec carries exactly.
    Foreign,
}

impl ReadError {
    const fn malformed(at: usize, problem: &'static str) -> Self {
        Self { at, problem, kind: ReadErrorKind::Malformed }
    }

    const fn unsupported(at: usize, problem: &'static str) -> Self {
        Self { at, problem, kind: ReadErrorKind::Unsupported }
    }

    const fn foreign(at: usize, problem: &'static str) -> Self {
        Self { at, problem, kind: ReadErrorKind::Foreign }
    }
}

/// A token: a whole scalar, or the beginning of a list or dictionary.
#[derive(Debug, PartialEq)]
pub(crate) enum Item<'a> {
    Null,
    Bool(bool),
    UInt(u64),
    /// A negative integer.
    Int(i64),
    Float(f64),
    Text(Cow<'a, str>),
    Binary(Cow<'a, [u8]>),
    List(Container),
    Map(Container),
}

impl Item<'_> {
    /// Returns the type's name for error messages.
    pub(crate) fn describe(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::UInt(_) => "an integer",
            Self::Int(_) => "a negative integer",
            Self::Float(_) => "a float",
            Self::Text(_) => "a string",
            Self::Binary(_) => "binary",
            Self::List(_) => "a list",
            Self::Map(_) => "a dictionary",
        }
    }
}

/// Cursor of one list or dictionary. The reader keeps no stack of them: they live in the stack
/// frames of its callers, whose depth is bounded.
#[derive(Debug, PartialEq)]
pub(crate) enum Container {
    /// The number of elements (or entries) left.
    Counted(u64),
    /// Elements follow up to a byte that ends them, or to the end of the input.
    Until { close: Option<u8>, first: bool },
}

/// Returns a float of a binary codec. NaN and the infinities are foreign.
const fn float<'a>(number: f64, at: usize) -> Result<Item<'a>, ReadError> {
    if number.is_finite() {
        Ok(Item::Float(number))
    } else {
        Err(ReadError::foreign(at, NOT_EXACT))
    }
}

/// Reads values of one codec from a slice.
#[derive(Clone, Debug)]
pub(crate) enum Reader<'a> {
    Json(json::Json<'a>),
    MessagePack(message_pack::MessagePack<'a>),
    Cbor(cbor::Cbor<'a>),
}

impl<'a> Reader<'a> {
    pub(crate) fn new(codec: Codec, bytes: &'a [u8]) -> Self {
        match codec {
            Codec::Json => Self::Json(json::Json::new(bytes)),
            Codec::MessagePack => Self::MessagePack(message_pack::MessagePack::new(bytes)),
            Codec::Cbor => Self::Cbor(cbor::Cbor::new(bytes)),
        }
    }

    pub(crate) const fn codec(&self) -> Codec {
        match self {
            Self::Json(_) => Codec::Json,
            Self::MessagePack(_) => Codec::MessagePack,
            Self::Cbor(_) => Codec::Cbor,
        }
    }

    /// Offset of the next byte. After [`Reader::more`] returns true, the element begins here.
    pub(crate) const fn position(&self) -> usize {
        match self {
            Self::Json(reader) => reader.position(),
            Self::MessagePack(reader) => reader.input.at,
            Self::Cbor(reader) => reader.input.at,
        }
    }

    /// Reads the next value; of a container only its beginning. A foreign value has been skipped
    /// when its error is returned, except for the content of a CBOR tag.
    pub(crate) fn item(&mut self) -> Result<Item<'a>, ReadError> {
        match self {
            Self::Json(reader) => reader.item(),
            Self::MessagePack(reader) => reader.item(),
            Self::Cbor(reader) => reader.item(),
        }
    }

    /// Returns whether the container has another element or entry. Consumes the container's end.
    pub(crate) fn more(&mut self, container: &mut Container) -> Result<bool, ReadError> {
        match container {
            Container::Counted(0) => Ok(false),
            Container::Counted(left) => {
                *left -= 1;
                Ok(true)
            }
            Container::Until { close, first } => {
                let first = std::mem::replace(first, false);
                let more = match self {
                    Self::Json(reader) => reader.more(*close, first)?,
                    Self::Cbor(reader) => reader.more()?,
                    // All containers of MessagePack are counted.
                    Self::MessagePack(_) => false,
                };
                if !more {
                    // A further call must not read beyond the end.
                    *container = Container::Counted(0);
                }
                Ok(more)
            }
        }
    }

    /// Reads the key of a dictionary's entry; in JSON always a text. Lists and dictionaries are
    /// errors as keys: WAMP's keys are texts, and nested keys, written as JSON texts, would grow
    /// with every escape.
    pub(crate) fn key(&mut self) -> Result<Item<'a>, ReadError> {
        let at = self.position();
        let key = match self {
            Self::Json(reader) => return reader.key(),
            Self::MessagePack(reader) => reader.item(),
            Self::Cbor(reader) => reader.item(),
        };
        let key = key.map_err(|error| match error.kind {
            ReadErrorKind::Foreign => ReadError { kind: ReadErrorKind::Unsupported, ..error },
            ReadErrorKind::Malformed | ReadErrorKind::Unsupported => error,
        })?;
        match key {
            Item::List(_) | Item::Map(_) => {
                Err(ReadError::malformed(at, "a key that is a list or a dictionary"))
            }
            key => Ok(key),
        }
    }

    /// Returns a container without brackets: `count` values in sequence.
    pub(crate) const fn bare(&self, count: u64) -> Container {
        match self {
            Self::Json(_) => Container::Until { close: None, first: true },
            Self::MessagePack(_) | Self::Cbor(_) => Container::Counted(count),
        }
    }

    /// Skips one value and checks all of it. `depth` is the allowed nesting.
    pub(crate) fn skip(&mut self, depth: usize) -> Result<(), ReadError> {
        if let Self::Json(reader) = self {
            return reader.skip(depth);
        }
        match self.item() {
            Ok(item) => self.skip_rest(item, depth),
            Err(error) if error.kind == ReadErrorKind::Foreign => self.skip_foreign(error, depth),
            Err(error) => Err(error),
        }
    }

    /// Skips the rest of a foreign value, and remembers its error.
    fn skip_foreign(&mut self, error: ReadError, depth: usize) -> Result<(), ReadError> {
        self.foreign_mut().get_or_insert(error);
        match self {
            Self::Cbor(reader) if reader.is_tag(error.at) => self.skip(depth),
            Self::Json(_) | Self::MessagePack(_) | Self::Cbor(_) => Ok(()),
        }
    }

    /// Takes the first foreign value skipped since the last call.
    pub(crate) fn take_foreign(&mut self) -> Option<ReadError> {
        self.foreign_mut().take()
    }

    const fn foreign_mut(&mut self) -> &mut Option<ReadError> {
        match self {
            Self::Json(reader) => &mut reader.foreign,
            Self::MessagePack(reader) => &mut reader.input.foreign,
            Self::Cbor(reader) => &mut reader.input.foreign,
        }
    }

    /// Skips the elements of an item whose beginning was read.
    pub(crate) fn skip_rest(&mut self, item: Item<'a>, depth: usize) -> Result<(), ReadError> {
        let (mut container, is_map) = match item {
            Item::List(container) => (container, false),
            Item::Map(container) => (container, true),
            Item::Null
            | Item::Bool(_)
            | Item::UInt(_)
            | Item::Int(_)
            | Item::Float(_)
            | Item::Text(_)
            | Item::Binary(_) => return Ok(()),
        };
        let depth = self.descend(depth)?;
        while self.more(&mut container)? {
            if is_map {
                self.key()?;
            }
            self.skip(depth)?;
        }
        Ok(())
    }

    /// Returns the depth left inside of one more container.
    pub(crate) fn descend(&self, depth: usize) -> Result<usize, ReadError> {
        depth.checked_sub(1).ok_or(ReadError::unsupported(self.position(), TOO_DEEP))
    }

    /// Checks that nothing follows the value.
    pub(crate) fn finish(&mut self) -> Result<(), ReadError> {
        let is_done = match self {
            Self::Json(reader) => reader.is_done(),
            Self::MessagePack(reader) => reader.input.is_done(),
            Self::Cbor(reader) => reader.input.is_done(),
        };
        if is_done {
            Ok(())
        } else {
            Err(ReadError::malformed(self.position(), "trailing data after the value"))
        }
    }
}

/// Cursor over a slice, for the binary codecs.
#[derive(Clone, Debug)]
pub(crate) struct Input<'a> {
    bytes: &'a [u8],
    at: usize,
    /// The first foreign value skipped.
    foreign: Option<ReadError>,
}

impl<'a> Input<'a> {
    const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, foreign: None }
    }

    const fn is_done(&self) -> bool {
        self.at >= self.bytes.len()
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn byte(&mut self) -> Result<u8, ReadError> {
        let byte = self.peek().ok_or(ReadError::malformed(self.at, "an unexpected end"))?;
        self.at += 1;
        Ok(byte)
    }

    fn take(&mut self, len: u64) -> Result<&'a [u8], ReadError> {
        let end = usize::try_from(len).ok().and_then(|len| self.at.checked_add(len));
        let slice = end.and_then(|end| self.bytes.get(self.at..end));
        let slice = slice.ok_or(ReadError::malformed(self.at, "an unexpected end"))?;
        self.at += slice.len();
        Ok(slice)
    }

    fn text(&mut self, len: u64) -> Result<&'a str, ReadError> {
        let at = self.at;
        let bytes = self.take(len)?;
        std::str::from_utf8(bytes)
            .map_err(|error| ReadError::unsupported(at + error.valid_up_to(), NOT_UNICODE))
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], ReadError> {
        let slice = self.bytes.get(self.at..).and_then(<[u8]>::first_chunk::<N>);
        let array = *slice.ok_or(ReadError::malformed(self.at, "an unexpected end"))?;
        self.at += N;
        Ok(array)
    }
}
