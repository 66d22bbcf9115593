//! Elements of a list or dictionary, as a slice of the frame: the representation of a payload.

use bytes::Bytes;

use super::PayloadError;
use crate::codec::{
    CodecWriter, Container, Item, MAX_DEPTH, ReadError, ReadErrorKind, Reader, transcode,
    transcode_entry,
};
use crate::dialect::Codec;

/// A sequence of values (or entries), as inside a list (or dictionary).
#[derive(Clone, Debug, Default)]
pub(crate) struct Elements {
    pub(super) count: usize,
    pub(super) bytes: Bytes,
    /// JSON only: whether the bytes include the brackets around the elements.
    pub(super) is_enclosed: bool,
}

impl Elements {
    pub(crate) const fn none() -> Self {
        Self { count: 0, bytes: Bytes::new(), is_enclosed: false }
    }

    /// Creates the elements of one checked value.
    pub(crate) const fn one(value: Bytes) -> Self {
        Self { count: 1, bytes: value, is_enclosed: false }
    }

    /// Returns a copy with bytes of its own.
    pub(super) fn detached(&self) -> Self {
        Self { bytes: Bytes::copy_from_slice(&self.bytes), ..*self }
    }

    /// Takes the positional arguments, or with `is_map` the keyword arguments, after the reader has
    /// read `item`, their beginning at `start`. `None` if they have another type.
    ///
    /// PHP has one type for lists and dictionaries. It writes an empty dictionary as `[]`, and a
    /// list with a removed element as a dictionary with the indices as keys.
    pub(crate) fn of(
        reader: &mut Reader<'_>,
        frame: &Bytes,
        start: usize,
        item: Item<'_>,
        is_map: bool,
        depth: usize,
    ) -> Result<Option<Self>, ReadError> {
        match (item, is_map) {
            (Item::List(list), false) => {
                Self::take(reader, frame, start, list, false, depth).map(Some)
            }
            (Item::Map(map), true) => Self::take(reader, frame, start, map, true, depth).map(Some),
            (Item::List(mut list), true) => Ok((!reader.more(&mut list)?).then(Self::none)),
            (Item::Map(map), false) => Self::take_values(reader, frame, map, depth),
            _ => Ok(None),
        }
    }

    /// Takes the elements of a list or dictionary whose beginning, at `start`, the reader has read.
    fn take(
        reader: &mut Reader<'_>,
        frame: &Bytes,
        start: usize,
        mut container: Container,
        is_map: bool,
        depth: usize,
    ) -> Result<Self, ReadError> {
        let is_enclosed = reader.codec() == Codec::Json;
        let start = if is_enclosed { start } else { reader.position() };
        let mut count = 0;
        let mut end = start;
        while reader.more(&mut container)? {
            if is_map {
                reader.key()?;
            }
            reader.skip(depth.saturating_sub(1))?;
            count += 1;
            end = reader.position();
        }
        if count == 0 {
            return Ok(Self::none());
        }
        let end = if is_enclosed { reader.position() } else { end };
        Ok(Self { count, bytes: frame.slice(start..end), is_enclosed })
    }

    /// Takes the values of a dictionary whose keys are all integers, as a list. `None` if it has
    /// another key.
    fn take_values(
        reader: &mut Reader<'_>,
        frame: &Bytes,
        mut map: Container,
        depth: usize,
    ) -> Result<Option<Self>, ReadError> {
        let mut bytes = Vec::new();
        let mut count = 0;
        let mut writer = CodecWriter::new(reader.codec(), &mut bytes);
        while reader.more(&mut map)? {
            let is_index = match reader.key()? {
                Item::UInt(_) => true,
                Item::Text(key) => !key.is_empty() && key.bytes().all(|it| it.is_ascii_digit()),
                _ => false,
            };
            if !is_index {
                return Ok(None);
            }
            let start = reader.position();
            reader.skip(depth.saturating_sub(1))?;
            writer.raw(frame.get(start..reader.position()).unwrap_or_default());
            count += 1;
        }
        Ok(Some(Self { count, bytes: bytes.into(), is_enclosed: false }))
    }

    /// Takes the rest of a list, from the element at the reader's position. The caller has called
    /// [`Reader::more`] for it.
    pub(crate) fn take_rest(
        reader: &mut Reader<'_>,
        frame: &Bytes,
        list: &mut Container,
        depth: usize,
    ) -> Result<Self, ReadError> {
        let start = reader.position();
        let mut count = 0;
        let mut end = start;
        loop {
            reader.skip(depth.saturating_sub(1))?;
            count += 1;
            end = end.max(reader.position());
            if !reader.more(list)? {
                return Ok(Self { count, bytes: frame.slice(start..end), is_enclosed: false });
            }
        }
    }

    /// Takes the one element at the reader's position.
    pub(crate) fn take_one(
        reader: &mut Reader<'_>,
        frame: &Bytes,
        depth: usize,
    ) -> Result<Self, ReadError> {
        let start = reader.position();
        reader.skip(depth.saturating_sub(1))?;
        Ok(Self { count: 1, bytes: frame.slice(start..reader.position()), is_enclosed: false })
    }

    /// Version 1: a single argument that is a list or a dictionary represents all arguments.
    /// Returns positional and keyword arguments.
    pub(crate) fn spread(self, depth: usize) -> Result<(Self, Self), ReadError> {
        if self.count != 1 {
            return Ok((self, Self::none()));
        }
        let mut reader = Reader::new(Codec::Json, &self.bytes);
        let item = match reader.item() {
            // A foreign value here is a number.
            Err(error) if error.kind == ReadErrorKind::Foreign => return Ok((self, Self::none())),
            item => item?,
        };
        Ok(match item {
            Item::List(list) => {
                (Self::take(&mut reader, &self.bytes, 0, list, false, depth)?, Self::none())
            }
            Item::Map(map) => {
                (Self::none(), Self::take(&mut reader, &self.bytes, 0, map, true, depth)?)
            }
            Item::Null
            | Item::Bool(_)
            | Item::UInt(_)
            | Item::Int(_)
            | Item::Float(_)
            | Item::Text(_)
            | Item::Binary(_) => (self, Self::none()),
        })
    }

    pub(super) fn from_json(text: &str, is_map: bool, depth: usize) -> Result<Self, PayloadError> {
        let (part, expected) = if is_map {
            ("the keyword arguments", "a dictionary")
        } else {
            ("the arguments", "a list")
        };
        if text.is_empty() {
            return Ok(Self::none());
        }
        let refused = |fault: ReadError| match fault.kind {
            ReadErrorKind::Malformed => PayloadError::Malformed { part, fault },
            ReadErrorKind::Unsupported | ReadErrorKind::Foreign => {
                PayloadError::Unsupported { part, fault }
            }
        };
        let frame = Bytes::copy_from_slice(text.trim().as_bytes());
        let mut reader = Reader::new(Codec::Json, &frame);
        let item = reader.item().map_err(refused)?;
        let found = item.describe();
        let elements = Self::of(&mut reader, &frame, 0, item, is_map, depth).map_err(refused)?;
        let elements = elements.ok_or(PayloadError::WrongType { part, expected, found })?;
        reader.finish().map_err(refused)?;
        reader.take_foreign().map_or(Ok(elements), |foreign| Err(refused(foreign)))
    }

    pub(super) fn body(&self) -> &[u8] {
        if self.is_enclosed {
            self.bytes.get(1..self.bytes.len().saturating_sub(1)).unwrap_or_default()
        } else {
            &self.bytes
        }
    }

    pub(super) fn transcode(
        &self,
        from: Codec,
        is_map: bool,
        to: &mut CodecWriter<'_>,
    ) -> Result<(), ReadError> {
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
