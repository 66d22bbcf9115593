//! Element reader: reads a message up to its payload, with errors that name the message and the
//! element. Both protocol versions decode through it.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use bytes::Bytes;

use crate::codec::{self, Container, Item, ReadError, ReadErrorKind, Reader};
use crate::dialect::Codec;
use crate::id::SessionId;
use crate::message::DecodeError;
use crate::passthru::SHORT_TEXT;
use crate::payload::{Elements, Payload};
use crate::position::Since;
use crate::value::{Dict, Value};

/// Reader of a message whose list has been entered.
pub(crate) struct MessageReader<'a> {
    pub(crate) reader: Reader<'a>,
    pub(crate) frame: &'a Bytes,
    pub(crate) list: Container,
    /// The message's name in errors.
    pub(crate) message: &'static str,
    /// Allowed nesting in an element.
    pub(crate) depth: usize,
}

/// The value of one known option.
pub(crate) struct OptionValue<'r, 'a> {
    reader: &'r mut Reader<'a>,
    message: &'static str,
    element: &'static str,
    /// Allowed nesting in the value.
    depth: usize,
    pub(crate) key: &'r str,
}

impl<'a> MessageReader<'a> {
    /// Enters the message's list.
    pub(crate) fn enter(codec: Codec, frame: &'a Bytes, depth: usize) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(codec, frame);
        match reader.item().map_err(|fault| malformed(codec, fault))? {
            Item::List(list) => Ok(Self { reader, frame, list, message: "a message", depth }),
            item => Err(DecodeError::NotAList { found: item.describe() }),
        }
    }

    /// Reads the first element, the message's code.
    pub(crate) fn first(&mut self) -> Result<Item<'a>, DecodeError> {
        match self.item("code") {
            Err(DecodeError::Short { .. }) => Err(DecodeError::NoCode { found: "nothing" }),
            result => result,
        }
    }

    /// Returns whether there is another element, which is read next.
    pub(crate) fn more(&mut self) -> Result<bool, DecodeError> {
        let codec = self.reader.codec();
        self.reader.more(&mut self.list).map_err(|fault| malformed(codec, fault))
    }

    /// Reads the next element, which must exist.
    pub(crate) fn item(&mut self, element: &'static str) -> Result<Item<'a>, DecodeError> {
        if self.more()? {
            let codec = self.reader.codec();
            self.reader.item().map_err(|fault| malformed(codec, fault))
        } else {
            Err(DecodeError::Short { message: self.message, element })
        }
    }

    /// Reads a non-negative integer that `make` accepts.
    pub(crate) fn id<T>(
        &mut self,
        element: &'static str,
        make: impl Fn(u64) -> Option<T>,
    ) -> Result<T, DecodeError> {
        let item = self.item(element)?;
        match whole(&item) {
            Some(number) => make(number)
                .ok_or_else(|| DecodeError::OutOfRange { place: self.place(element), number }),
            None => Err(self.wrong(element, "an id", &item)),
        }
    }

    pub(crate) fn text(&mut self, element: &'static str) -> Result<String, DecodeError> {
        match self.item(element)? {
            Item::Text(text) => Ok(text.into_owned()),
            item => Err(self.wrong(element, "a string", &item)),
        }
    }

    /// Decodes a dictionary as a whole.
    pub(crate) fn dict(&mut self, element: &'static str) -> Result<Dict, DecodeError> {
        let container = self.map(element)?;
        codec::dict(container, &mut self.reader, self.depth).map_err(|fault| self.malformed(fault))
    }

    /// Enters a dictionary. PHP writes an empty dictionary as an empty list.
    fn map(&mut self, element: &'static str) -> Result<Container, DecodeError> {
        match self.item(element)? {
            Item::Map(map) => Ok(map),
            Item::List(mut list) => {
                let is_empty = self.reader.more(&mut list).map(|more| !more);
                if is_empty.map_err(|fault| self.malformed(fault))? {
                    return Ok(Container::Counted(0));
                }
                Err(self.wrong(element, "a dictionary", &Item::List(list)))
            }
            item => Err(self.wrong(element, "a dictionary", &item)),
        }
    }

    /// Reads a dictionary of options. `take` reads or ignores each.
    pub(crate) fn options(
        &mut self,
        element: &'static str,
        mut take: impl FnMut(OptionValue<'_, 'a>) -> Result<(), DecodeError>,
    ) -> Result<(), DecodeError> {
        let mut container = self.map(element)?;
        let codec = self.reader.codec();
        let fail = |fault| malformed(codec, fault);
        let (message, depth) = (self.message, self.depth.saturating_sub(1));
        while self.reader.more(&mut container).map_err(fail)? {
            let reader = &mut self.reader;
            match reader.key().map_err(fail)? {
                Item::Text(key) => {
                    take(OptionValue { reader, message, element, depth, key: &key })?;
                }
                _ => reader.skip(depth).map_err(fail)?,
            }
        }
        Ok(())
    }

    /// Reads the arguments at the message's end. Null counts as absent.
    pub(crate) fn payload(&mut self) -> Result<Payload, DecodeError> {
        // Foreign values in unknown options are dropped and not forwarded.
        let _passed = self.reader.take_foreign();
        let args = self.elements("Arguments", false)?;
        let kwargs = self.elements("ArgumentsKw", true)?;
        Ok(Payload::new(self.reader.codec(), args, kwargs, self.reader.take_foreign()))
    }

    /// Ignores extra elements (extensions add them), and checks that nothing follows the list.
    pub(crate) fn finish(mut self) -> Result<(), DecodeError> {
        let codec = self.reader.codec();
        let fail = |fault| malformed(codec, fault);
        while self.more()? {
            self.reader.skip(self.depth).map_err(fail)?;
        }
        self.reader.finish().map_err(fail)
    }

    pub(crate) fn wrong(
        &self,
        element: &'static str,
        expected: &'static str,
        found: &Item<'_>,
    ) -> DecodeError {
        DecodeError::WrongType { place: self.place(element), expected, found: found.describe() }
    }

    pub(crate) fn malformed(&self, fault: ReadError) -> DecodeError {
        malformed(self.reader.codec(), fault)
    }

    fn place(&self, element: &'static str) -> String {
        format!("{}.{element}", self.message)
    }

    fn elements(&mut self, element: &'static str, is_map: bool) -> Result<Elements, DecodeError> {
        if !self.more()? {
            return Ok(Elements::none());
        }
        let start = self.reader.position();
        let item = self.reader.item().map_err(|fault| self.malformed(fault))?;
        if item == Item::Null {
            return Ok(Elements::none());
        }
        let found = item.describe();
        let elements = Elements::of(&mut self.reader, self.frame, start, item, is_map, self.depth);
        elements.map_err(|fault| self.malformed(fault))?.ok_or_else(|| {
            let expected = if is_map { "a dictionary" } else { "a list" };
            DecodeError::WrongType { place: self.place(element), expected, found }
        })
    }
}

impl<'a> OptionValue<'_, 'a> {
    /// Skips an unknown option.
    pub(crate) fn ignore(self) -> Result<(), DecodeError> {
        self.reader.skip(self.depth).map_err(|fault| malformed(self.reader.codec(), fault))
    }

    /// Reads a boolean. Null keeps the default.
    pub(crate) fn flag(mut self, flag: &mut bool) -> Result<(), DecodeError> {
        match self.item()? {
            Item::Null => Ok(()),
            Item::Bool(value) => {
                *flag = value;
                Ok(())
            }
            item => Err(self.wrong("a boolean", &item)),
        }
    }

    pub(crate) fn number(mut self) -> Result<Option<u64>, DecodeError> {
        match self.item()? {
            Item::Null => Ok(None),
            item => match whole(&item) {
                Some(number) => Ok(Some(number)),
                None => Err(self.wrong("an integer", &item)),
            },
        }
    }

    /// Reads an integer in `1..=u32::MAX`. Null is none.
    pub(crate) fn positive(mut self) -> Result<Option<NonZeroU32>, DecodeError> {
        match self.item()? {
            Item::Null => Ok(None),
            item => {
                let number = whole(&item).and_then(|it| u32::try_from(it).ok());
                match number.and_then(NonZeroU32::new) {
                    Some(number) => Ok(Some(number)),
                    None => Err(self.wrong("a positive integer", &item)),
                }
            }
        }
    }

    pub(crate) fn text(mut self) -> Result<Option<String>, DecodeError> {
        match self.item()? {
            Item::Null => Ok(None),
            Item::Text(text) => Ok(Some(text.into_owned())),
            item => Err(self.wrong("a string", &item)),
        }
    }

    /// Reads a position in the history of a topic. Null is none. A part of another type counts as
    /// missing: an unknown position is answered and not refused.
    pub(crate) fn since(mut self) -> Result<Option<Since>, DecodeError> {
        let codec = self.reader.codec();
        let fail = |fault| malformed(codec, fault);
        let map = match self.item()? {
            Item::Null => return Ok(None),
            Item::Map(map) => map,
            Item::List(mut list) => {
                // PHP writes an empty dictionary as an empty list.
                if self.reader.more(&mut list).map_err(fail)? {
                    return Err(self.wrong("a dictionary", &Item::List(list)));
                }
                return Ok(Some(Since::default()));
            }
            item => return Err(self.wrong("a dictionary", &item)),
        };
        let dict = codec::dict(map, self.reader, self.depth).map_err(fail)?;
        let epoch = dict.get("epoch").and_then(Value::as_text).map(str::to_owned);
        let number = |value: &Value| match value {
            Value::UInt(number) => Some(*number),
            // See `whole`.
            Value::Float(number) => whole(&Item::Float(*number)),
            _ => None,
        };
        let offset = dict.get("offset").and_then(number);
        let latest = dict.get("latest") == Some(&Value::Bool(true));
        // PHP writes an empty dictionary as an empty list.
        let at = dict.get("at").map(|at| {
            let numbers = at.as_map().into_iter().flat_map(Dict::iter);
            let numbers = numbers
                .map(|(node, value)| Some((u64::from_str_radix(node, 16).ok()?, number(value)?)));
            numbers.flatten().collect::<BTreeMap<_, _>>()
        });
        Ok(Some(Since { epoch, offset, latest, at }))
    }

    /// Reads a text with few valid values. Null keeps the default.
    pub(crate) fn choice<T>(
        mut self,
        choice: &mut T,
        expected: &'static str,
        from_name: impl Fn(&str) -> Option<T>,
    ) -> Result<(), DecodeError> {
        match self.item()? {
            Item::Null => Ok(()),
            Item::Text(name) => match from_name(&name) {
                Some(value) => {
                    *choice = value;
                    Ok(())
                }
                None => Err(self.wrong(expected, &Item::Text(name))),
            },
            item => Err(self.wrong(expected, &item)),
        }
    }

    /// Reads a text of a limited length. Null and the empty text are none.
    pub(crate) fn short_text(mut self, max_bytes: usize) -> Result<Option<String>, DecodeError> {
        match self.item()? {
            Item::Null => Ok(None),
            Item::Text(text) if text.is_empty() => Ok(None),
            Item::Text(text) if text.len() <= max_bytes => Ok(Some(text.into_owned())),
            item => Err(self.wrong(SHORT_TEXT, &item)),
        }
    }

    /// Reads an option of payload transparency: an error unless it is null or empty.
    pub(crate) fn transparency(mut self) -> Result<(), DecodeError> {
        match self.item()? {
            Item::Null => Ok(()),
            Item::Text(text) if text.is_empty() => Ok(()),
            _ => Err(DecodeError::Transparency {
                place: format!("{}.{}.{}", self.message, self.element, self.key),
            }),
        }
    }

    pub(crate) fn sessions(self) -> Result<Vec<SessionId>, DecodeError> {
        self.list("a list of session ids", |item| whole(item).and_then(SessionId::new))
    }

    pub(crate) fn texts(self) -> Result<Vec<String>, DecodeError> {
        self.list("a list of strings", |item| match item {
            Item::Text(text) => Some(text.as_ref().to_owned()),
            _ => None,
        })
    }

    /// Reads a list. Null is the empty list. A dictionary is the list of its values: PHP writes a
    /// list with a removed element as a dictionary.
    fn list<T>(
        self,
        expected: &'static str,
        make: impl Fn(&Item<'_>) -> Option<T>,
    ) -> Result<Vec<T>, DecodeError> {
        let codec = self.reader.codec();
        let mut list = Vec::new();
        let item = self.reader.item().map_err(|fault| malformed(codec, fault))?;
        let (mut container, is_map) = match item {
            Item::Null => return Ok(list),
            Item::List(container) => (container, false),
            Item::Map(container) => (container, true),
            item => return Err(self.wrong(expected, &item)),
        };
        while self.reader.more(&mut container).map_err(|fault| malformed(codec, fault))? {
            if is_map {
                self.reader.key().map_err(|fault| malformed(codec, fault))?;
            }
            let item = self.reader.item().map_err(|fault| malformed(codec, fault))?;
            match make(&item) {
                Some(value) => list.push(value),
                None => return Err(self.wrong_inside(expected, &item)),
            }
        }
        Ok(list)
    }

    fn item(&mut self) -> Result<Item<'a>, DecodeError> {
        let codec = self.reader.codec();
        self.reader.item().map_err(|fault| malformed(codec, fault))
    }

    fn wrong(&self, expected: &'static str, found: &Item<'_>) -> DecodeError {
        let found = match found {
            Item::Text(text) if text.len() <= 64 => format!("{text:?}"),
            item => item.describe().to_owned(),
        };
        DecodeError::WrongOption {
            place: format!("{}.{}.{}", self.message, self.element, self.key),
            expected,
            found,
        }
    }

    fn wrong_inside(&self, expected: &'static str, found: &Item<'_>) -> DecodeError {
        DecodeError::WrongOption {
            place: format!("{}.{}.{}", self.message, self.element, self.key),
            expected,
            found: format!("{} in the list", found.describe()),
        }
    }
}

/// Reads a non-negative integer. JavaScript's binary encoders write integers above 2^32 as floats,
/// ids among them: floats without a fraction, up to 2^53, are accepted.
pub(crate) fn whole(item: &Item<'_>) -> Option<u64> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    match item {
        Item::UInt(number) => Some(*number),
        Item::Float(number) if number.fract() == 0.0 && (0.0..=EXACT).contains(number) =>
        {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "it has no fraction and is in 0..=2^53"
            )]
            Some(*number as u64)
        }
        Item::Null
        | Item::Bool(_)
        | Item::Int(_)
        | Item::Float(_)
        | Item::Text(_)
        | Item::Binary(_)
        | Item::List(_)
        | Item::Map(_) => None,
    }
}

const fn malformed(codec: Codec, fault: ReadError) -> DecodeError {
    match fault.kind {
        ReadErrorKind::Malformed => DecodeError::Malformed { codec: codec_name(codec), fault },
        ReadErrorKind::Unsupported | ReadErrorKind::Foreign => DecodeError::Unsupported { fault },
    }
}

const fn codec_name(codec: Codec) -> &'static str {
    match codec {
        Codec::Json => "JSON",
        Codec::MessagePack => "MessagePack",
        Codec::Cbor => "CBOR",
    }
}
