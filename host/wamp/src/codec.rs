//! Reading and writing JSON, MessagePack and CBOR, one value at a time: the only place that knows
//! how the three look. Messages, payloads and events are written against [`Reader`] and [`Writer`].
//!
//! Why not serde: a router passes most bytes on without looking. It needs exact offsets (to slice
//! arguments out of a frame without copying), a bounded depth in every codec, "undefined" (an ext
//! type in MessagePack, a simple value in CBOR), and integers and keys as they came. Data models
//! that serve structs lose all of these. The tests hold this module against well-known libraries.
//!
//! No value is rounded (`docs/decisions/0024-values-that-every-codec-carries.md`). One that not
//! every codec carries exactly is *foreign*: [`Reader::skip`] passes over it and remembers it, so
//! that its bytes reach receivers of the same codec, and whatever needs its value is refused it
//! ([`ReadErrorKind::Foreign`]):
//! - whole numbers are exact in 64 bits; beyond them, those that a double holds exactly are doubles,
//!   and others are foreign;
//! - a JSON number with a fraction or an exponent is a double; one outside of its range is foreign;
//! - NaN and the infinities are foreign, as JSON has none;
//! - text is Unicode: half a surrogate pair is refused, and so are bytes that are not UTF-8;
//! - a CBOR tag is passed over where the content says the same without it, and foreign elsewhere;
//!   one inside of a tag is refused;
//! - MessagePack ext type 0 and CBOR undefined are null; other ext types and CBOR's unassigned
//!   simple values are foreign;
//! - keys of dictionaries may be anything but lists, dictionaries and foreign values; in JSON they
//!   become texts.

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
pub(crate) use writer::Writer;

/// How many lists and dictionaries may lie inside each other, as a setting may allow it at most:
/// values are read by recursion, on a stack of 2 MiB. The arguments' own list is the first.
pub const MAX_DEPTH: usize = 512;

/// How many may where no setting says so: the parsers of most languages stop there.
pub const DEFAULT_DEPTH: usize = 128;

/// Text that is not Unicode, in any codec.
const NOT_UNICODE: &str =
    "text that is not Unicode (half a surrogate pair, or bytes that are not UTF-8)";
/// A number that would have to be rounded.
const NOT_EXACT: &str = "a number that not every codec can carry exactly";
/// A level beyond the bound.
const TOO_DEEP: &str = "lists or dictionaries nested too deep";

/// Why bytes are not read as a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} at byte {at}")]
pub struct ReadError {
    /// Offset in the frame, or in the payload.
    pub at: usize,
    /// What is wrong there.
    pub what: &'static str,
    /// Whether the codec's rules are broken.
    pub kind: ReadErrorKind,
}

/// Whether the rest of a message can still be made out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadErrorKind {
    /// The bytes break the codec's rules.
    Malformed,
    /// They follow them, and hold a value that is not taken.
    Unsupported,
    /// They follow them, and hold a value that other codecs do not have.
    Foreign,
}

impl ReadError {
    const fn malformed(at: usize, what: &'static str) -> Self {
        Self { at, what, kind: ReadErrorKind::Malformed }
    }

    const fn unsupported(at: usize, what: &'static str) -> Self {
        Self { at, what, kind: ReadErrorKind::Unsupported }
    }

    const fn foreign(at: usize, what: &'static str) -> Self {
        Self { at, what, kind: ReadErrorKind::Foreign }
    }
}

/// The beginning of a value; a whole value where it is no container.
#[derive(Debug, PartialEq)]
pub(crate) enum Item<'a> {
    Null,
    Bool(bool),
    UInt(u64),
    /// Negative.
    Int(i64),
    Float(f64),
    Text(Cow<'a, str>),
    Binary(Cow<'a, [u8]>),
    List(Container),
    Map(Container),
}

impl Item<'_> {
    /// What an error message calls it.
    pub(crate) fn describe(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::UInt(_) => "a whole number",
            Self::Int(_) => "a negative number",
            Self::Float(_) => "a fraction",
            Self::Text(_) => "a string",
            Self::Binary(_) => "binary",
            Self::List(_) => "a list",
            Self::Map(_) => "a dictionary",
        }
    }
}

/// How far the reading of one list or dictionary has come. The reader keeps no stack of them: they
/// live in the frames of whoever reads, whose depth is bounded.
#[derive(Debug, PartialEq)]
pub(crate) enum Container {
    /// So many elements (or entries) are left.
    Counted(u64),
    /// Elements follow up to a byte that ends them, or to the end of the input.
    Until { close: Option<u8>, first: bool },
}

/// A number of a binary codec, if JSON has it too.
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

    /// Where the next byte is. After [`Reader::more`] has said yes, the element begins here.
    pub(crate) const fn position(&self) -> usize {
        match self {
            Self::Json(reader) => reader.position(),
            Self::MessagePack(reader) => reader.input.at,
            Self::Cbor(reader) => reader.input.at,
        }
    }

    /// The next value; of a container only its beginning. One that is foreign has been passed over
    /// when the error is returned, but for the content of a CBOR tag.
    pub(crate) fn item(&mut self) -> Result<Item<'a>, ReadError> {
        match self {
            Self::Json(reader) => reader.item(),
            Self::MessagePack(reader) => reader.item(),
            Self::Cbor(reader) => reader.item(),
        }
    }

    /// Whether the container has another element or entry; its end is consumed.
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
                    // All of MessagePack's containers are counted.
                    Self::MessagePack(_) => false,
                };
                if !more {
                    // Asking again must not read beyond the end.
                    *container = Container::Counted(0);
                }
                Ok(more)
            }
        }
    }

    /// The key of a dictionary's entry, a text in JSON only. Lists and dictionaries are no keys:
    /// WAMP's are texts, and as texts in JSON, nested keys would grow with every escape.
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

    /// A container without brackets around it: so many values, one behind the other.
    pub(crate) const fn bare(&self, count: u64) -> Container {
        match self {
            Self::Json(_) => Container::Until { close: None, first: true },
            Self::MessagePack(_) | Self::Cbor(_) => Container::Counted(count),
        }
    }

    /// Passes over one value, checking all of it. `depth` is how many containers it may nest.
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

    /// Passes over what is left of a foreign value, and remembers it.
    fn skip_foreign(&mut self, error: ReadError, depth: usize) -> Result<(), ReadError> {
        self.foreign_mut().get_or_insert(error);
        match self {
            Self::Cbor(reader) if reader.is_tag(error.at) => self.skip(depth),
            Self::Json(_) | Self::MessagePack(_) | Self::Cbor(_) => Ok(()),
        }
    }

    /// The first foreign value that was passed over, if any was since this was last asked.
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

    /// Passes over what follows an item that was read.
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

    /// The depth that is left inside of one more container.
    pub(crate) fn descend(&self, depth: usize) -> Result<usize, ReadError> {
        depth.checked_sub(1).ok_or(ReadError::unsupported(self.position(), TOO_DEEP))
    }

    /// Nothing may follow the value that was read.
    pub(crate) fn finish(&mut self) -> Result<(), ReadError> {
        let is_done = match self {
            Self::Json(reader) => reader.is_done(),
            Self::MessagePack(reader) => reader.input.is_done(),
            Self::Cbor(reader) => reader.input.is_done(),
        };
        if is_done {
            Ok(())
        } else {
            Err(ReadError::malformed(self.position(), "something after the value's end"))
        }
    }
}

/// A slice and how far it has been read; the binary codecs are read through it.
#[derive(Clone, Debug)]
pub(crate) struct Input<'a> {
    bytes: &'a [u8],
    at: usize,
    /// The first foreign value that was passed over.
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
        let byte = self.peek().ok_or(ReadError::malformed(self.at, "an early end"))?;
        self.at += 1;
        Ok(byte)
    }

    fn take(&mut self, len: u64) -> Result<&'a [u8], ReadError> {
        let end = usize::try_from(len).ok().and_then(|len| self.at.checked_add(len));
        let slice = end.and_then(|end| self.bytes.get(self.at..end));
        let slice = slice.ok_or(ReadError::malformed(self.at, "an early end"))?;
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
        let array = *slice.ok_or(ReadError::malformed(self.at, "an early end"))?;
        self.at += N;
        Ok(array)
    }
}
