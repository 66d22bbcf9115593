//! Undecoded arguments of a message: bytes of one codec, slices of the frame.
//!
//! They are checked once, when they are taken from the frame: well-formed, Unicode, nested no
//! deeper than [`MAX_DEPTH`]. Writing them in their own codec cannot fail, nor in another codec
//! after [`Payload::check_translatable`].
//!
//! Empty arguments are normalised, as in most routers: `[]` alone and `{}` count as absent and are
//! never sent (WAMP v2 specification, section "Message Definitions").

use std::borrow::Cow;

use bytes::Bytes;

use crate::codec::{CodecWriter, Item, ReadError, Reader};
pub use crate::codec::{DEFAULT_DEPTH, MAX_DEPTH};
use crate::dialect::Codec;
use crate::passthru::Passthru;

mod elements;
#[cfg(test)]
mod tests;

pub(crate) use elements::Elements;

/// Positional and keyword arguments of a message, undecoded. Cloning shares the bytes.
#[derive(Clone, Debug, PartialEq)]
pub struct Payload {
    codec: Codec,
    args: Elements,
    kwargs: Elements,
    /// The first value that not every codec carries.
    foreign: Option<ReadError>,
    /// How the clients have packed the only argument.
    passthru: Option<Box<Passthru>>,
}

/// A payload holds a value that a receiver's codec cannot carry exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the message holds a value that is not supported by a receiver of it: {0}")]
pub struct Untranslatable(ReadError);

/// Kind of the single value that represents all arguments in version 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SingleKind {
    /// Null, false, or no arguments at all.
    Nothing,
    /// A text, a number, or true.
    Plain,
    /// A list or a dictionary.
    Structured,
}

/// A plugin's answer is not a valid payload.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PayloadError {
    /// The text is not JSON.
    #[error("{part} are not well-formed JSON: {fault}")]
    Malformed {
        /// "the arguments" or "the keyword arguments".
        part: &'static str,
        /// The error and its place in the text.
        fault: ReadError,
    },
    /// The JSON has a value that is not supported: nested too deep, a number that would have to be
    /// rounded, half a surrogate pair.
    #[error("{part} hold a value that is not supported: {fault}")]
    Unsupported {
        /// "the arguments" or "the keyword arguments".
        part: &'static str,
        /// The value and its place in the text.
        fault: ReadError,
    },
    /// The JSON has another type.
    #[error("{part} must be {expected}, found {found}")]
    WrongType {
        /// "the arguments" or "the keyword arguments".
        part: &'static str,
        /// The required type.
        expected: &'static str,
        /// The type of the value.
        found: &'static str,
    },
}

/// Checks that bytes are JSON with supported values only, up to an envelope around the arguments.
///
/// # Errors
/// The first error.
pub fn check_json(bytes: &[u8]) -> Result<(), ReadError> {
    let mut reader = Reader::new(Codec::Json, bytes);
    reader.skip(MAX_DEPTH + ENVELOPE_DEPTH)?;
    reader.finish()?;
    reader.take_foreign().map_or(Ok(()), Err)
}

/// Levels of an envelope around arguments: an object, a list, and one object per element.
const ENVELOPE_DEPTH: usize = 3;

impl Payload {
    /// Creates a payload without arguments.
    pub fn empty(codec: Codec) -> Self {
        Self::new(codec, Elements::none(), Elements::none(), None)
    }

    /// Returns a copy with bytes of its own: those of a message are a part of its frame, and keep all
    /// of it.
    #[must_use]
    pub fn detached(&self) -> Self {
        let Self { codec, args, kwargs, foreign, passthru } = self;
        let (args, kwargs) = (args.detached(), kwargs.detached());
        Self { codec: *codec, args, kwargs, foreign: *foreign, passthru: passthru.clone() }
    }

    /// Creates a payload with one text as the only argument, as in errors.
    pub fn text(codec: Codec, text: &str) -> Self {
        let mut bytes = Vec::new();
        CodecWriter::new(codec, &mut bytes).text(text);
        Self::single(codec, bytes.into())
    }

    /// Creates a payload from a JSON array and a JSON object, as plugins return them; `""` means
    /// none.
    pub fn from_json(args: &str, kwargs: &str) -> Result<Self, PayloadError> {
        Self::from_json_within(args, kwargs, MAX_DEPTH)
    }

    /// [`Payload::from_json`] with at most `depth` nested lists and dictionaries.
    pub fn from_json_within(args: &str, kwargs: &str, depth: usize) -> Result<Self, PayloadError> {
        let args = Elements::from_json(args, false, depth)?;
        let kwargs = Elements::from_json(kwargs, true, depth)?;
        Ok(Self::new(Codec::Json, args, kwargs, None))
    }

    /// Checks that a receiver of this codec can get every value exactly. In the payload's own codec
    /// it gets the bytes.
    ///
    /// # Errors
    /// The first value that cannot be translated.
    pub fn check_translatable(&self, to: Codec) -> Result<(), Untranslatable> {
        if to == self.codec { Ok(()) } else { self.check_portable() }
    }

    /// Checks that every codec carries the values exactly. Hooks need it: their JSON must be
    /// readable in any language.
    ///
    /// # Errors
    /// The first value that not every codec carries.
    pub fn check_portable(&self) -> Result<(), Untranslatable> {
        self.foreign.map_or(Ok(()), |foreign| Err(Untranslatable(foreign)))
    }

    /// Returns the positional arguments as a JSON array; borrowed if they arrived as one.
    pub fn args_json(&self) -> Cow<'_, str> {
        self.json(&self.args, "[]", Self::write_args)
    }

    /// Returns the keyword arguments as a JSON object, `{}` without any; borrowed if they arrived
    /// as one.
    pub fn kwargs_json(&self) -> Cow<'_, str> {
        self.json(&self.kwargs, "{}", Self::write_kwargs)
    }

    /// Returns the codec in which the arguments arrived.
    pub const fn codec(&self) -> Codec {
        self.codec
    }

    /// Returns the size of the arguments as they arrived, in bytes.
    pub fn len(&self) -> usize {
        self.args.bytes.len() + self.kwargs.bytes.len()
    }

    /// Returns whether there are neither positional nor keyword arguments.
    pub const fn is_empty(&self) -> bool {
        self.args.count == 0 && self.kwargs.count == 0
    }

    /// Creates a payload with one checked value as the only argument.
    pub(crate) const fn single(codec: Codec, value: Bytes) -> Self {
        Self::new(codec, Elements::one(value), Elements::none(), None)
    }

    /// Creates a payload from arguments and their first foreign value.
    pub(crate) const fn new(
        codec: Codec,
        args: Elements,
        kwargs: Elements,
        foreign: Option<ReadError>,
    ) -> Self {
        Self { codec, args, kwargs, foreign, passthru: None }
    }

    /// Returns the attributes of payload passthru mode, in which the clients have packed the only
    /// argument.
    pub fn passthru(&self) -> Option<&Passthru> {
        self.passthru.as_deref()
    }

    /// Marks the payload as packed. `None` if it is not one argument.
    pub(crate) fn packed(self, passthru: Passthru) -> Option<Self> {
        let is_one = (self.args.count, self.kwargs.count) == (1, 0);
        is_one.then(|| Self { passthru: Some(Box::new(passthru)), ..self })
    }

    /// Returns the number of elements that [`Payload::write_trailing`] adds.
    pub(crate) const fn trailing_len(&self) -> usize {
        match (self.args.count, self.kwargs.count) {
            (0, 0) => 0,
            (_, 0) => 1,
            _ => 2,
        }
    }

    /// Writes the last elements of a message of version 2: nothing, Args, or Args and Kwargs.
    pub(crate) fn write_trailing(&self, writer: &mut CodecWriter<'_>) {
        let len = self.trailing_len();
        if len > 0 {
            self.write_args(writer);
        }
        if len > 1 {
            self.write_kwargs(writer);
        }
    }

    /// Writes the single value that represents all arguments in version 1: the only positional one,
    /// null for none, a list of several, the keyword arguments, or both under their names.
    pub(crate) fn write_single(&self, writer: &mut CodecWriter<'_>) {
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

    /// Returns the kind of the value that [`Payload::write_single`] writes.
    pub(crate) fn single_kind(&self) -> SingleKind {
        match (self.args.count, self.kwargs.count) {
            (0, 0) => SingleKind::Nothing,
            (1, 0) => match Reader::new(self.codec, self.args.body()).item() {
                Ok(Item::Null | Item::Bool(false)) => SingleKind::Nothing,
                Ok(Item::List(_) | Item::Map(_)) => SingleKind::Structured,
                Ok(_) | Err(_) => SingleKind::Plain,
            },
            _ => SingleKind::Structured,
        }
    }

    /// Returns the text, if it is the only argument.
    pub(crate) fn only_text(&self) -> Option<String> {
        if (self.args.count, self.kwargs.count) != (1, 0) {
            return None;
        }
        match Reader::new(self.codec, self.args.body()).item() {
            Ok(Item::Text(text)) => Some(text.into_owned()),
            Ok(_) | Err(_) => None,
        }
    }

    fn write_args(&self, writer: &mut CodecWriter<'_>) {
        writer.begin_list(self.args.count);
        self.write_elements(&self.args, false, writer);
        writer.end_list();
    }

    fn write_kwargs(&self, writer: &mut CodecWriter<'_>) {
        writer.begin_map(self.kwargs.count);
        self.write_elements(&self.kwargs, true, writer);
        writer.end_map();
    }

    /// Writes the elements without their brackets.
    fn write_elements(&self, elements: &Elements, is_map: bool, writer: &mut CodecWriter<'_>) {
        if writer.codec() == self.codec {
            return writer.raw(elements.body());
        }
        let start = writer.mark();
        if elements.transcode(self.codec, is_map, writer).is_err() {
            // Writing checked elements cannot fail; if it did, the message must still have its
            // length.
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
        write: impl Fn(&Self, &mut CodecWriter<'_>),
    ) -> Cow<'a, str> {
        if elements.count == 0 {
            return Cow::Borrowed(empty);
        }
        if self.codec == Codec::Json && elements.is_enclosed {
            return String::from_utf8_lossy(&elements.bytes);
        }
        let mut text = Vec::new();
        write(self, &mut CodecWriter::new(Codec::Json, &mut text));
        Cow::Owned(String::from_utf8_lossy(&text).into_owned())
    }
}
