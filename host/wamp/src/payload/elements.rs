//! The bytes between the brackets of a list or dictionary: what a payload keeps of its frame.

use bytes::Bytes;

use super::PayloadError;
use crate::codec::{
    Container, Item, MAX_DEPTH, Malformed, Reader, Writer, transcode, transcode_entry,
};
use crate::dialect::Codec;

/// Values (or entries) one behind the other, as they stand inside a list (or dictionary).
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
                reader.key()?;
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

    pub(super) fn from_json(text: &str, is_map: bool) -> Result<Self, PayloadError> {
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
        to: &mut Writer<'_>,
    ) -> Result<(), Malformed> {
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
