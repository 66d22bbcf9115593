//! MessagePack reader, after the specification's table of first bytes.

use std::borrow::Cow;

use super::{Container, Input, Item, ReadError, float};

/// Reads MessagePack values.
#[derive(Clone, Debug)]
pub(crate) struct MessagePack<'a> {
    pub(super) input: Input<'a>,
}

impl<'a> MessagePack<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { input: Input::new(bytes) }
    }

    pub(super) fn item(&mut self) -> Result<Item<'a>, ReadError> {
        let at = self.input.at;
        let first = self.input.byte()?;
        Ok(match first {
            0x00..=0x7f => Item::UInt(first.into()),
            0x80..=0x8f => Item::Map(Container::Counted(u64::from(first & 0x0f))),
            0x90..=0x9f => Item::List(Container::Counted(u64::from(first & 0x0f))),
            0xa0..=0xbf => self.text(u64::from(first & 0x1f))?,
            0xc0 => Item::Null,
            0xc1 => {
                return Err(ReadError::malformed(at, "the byte c1, which MessagePack never uses"));
            }
            0xc2 => Item::Bool(false),
            0xc3 => Item::Bool(true),
            0xc4..=0xc6 => {
                let len = self.number(1 << (first - 0xc4))?;
                Item::Binary(Cow::Borrowed(self.input.take(len)?))
            }
            0xc7..=0xc9 => {
                let len = self.number(1 << (first - 0xc7))?;
                self.ext(len, at)?
            }
            0xca => float(f32::from_be_bytes(self.input.array()?).into(), at)?,
            0xcb => float(f64::from_be_bytes(self.input.array()?), at)?,
            0xcc..=0xcf => Item::UInt(self.number(1 << (first - 0xcc))?),
            0xd0 => signed(i8::from_be_bytes(self.input.array()?).into()),
            0xd1 => signed(i16::from_be_bytes(self.input.array()?).into()),
            0xd2 => signed(i32::from_be_bytes(self.input.array()?).into()),
            0xd3 => signed(i64::from_be_bytes(self.input.array()?)),
            0xd4..=0xd8 => self.ext(1 << (first - 0xd4), at)?,
            0xd9..=0xdb => {
                let len = self.number(1 << (first - 0xd9))?;
                self.text(len)?
            }
            0xdc..=0xdd => Item::List(Container::Counted(self.number(2 << (first - 0xdc))?)),
            0xde..=0xdf => Item::Map(Container::Counted(self.number(2 << (first - 0xde))?)),
            0xe0..=0xff => Item::Int(i8::from_be_bytes([first]).into()),
        })
    }

    /// Reads a number of 1, 2, 4 or 8 bytes.
    fn number(&mut self, width: u8) -> Result<u64, ReadError> {
        let bytes = self.input.take(width.into())?;
        Ok(bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    fn text(&mut self, len: u64) -> Result<Item<'a>, ReadError> {
        Ok(Item::Text(Cow::Borrowed(self.input.text(len)?)))
    }

    fn ext(&mut self, len: u64, at: usize) -> Result<Item<'a>, ReadError> {
        let kind = self.input.byte()?;
        // JavaScript's encoders write "undefined" as ext type 0.
        if let (0, [] | [0]) = (kind, self.input.take(len)?) {
            return Ok(Item::Null);
        }
        let problem = "a MessagePack extension type that has no equivalent in the other codecs";
        Err(ReadError::foreign(at, problem))
    }
}

fn signed<'a>(number: i64) -> Item<'a> {
    u64::try_from(number).map_or(Item::Int(number), Item::UInt)
}
