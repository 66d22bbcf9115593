//! MessagePack scanner. The format's specification, section "Formats".

use serde_json::{Map, Number, Value};

use super::scan::{MAX_DEPTH, Scan};

/// The rest of a message.
#[derive(Debug)]
pub(crate) struct MessagePack<'a> {
    rest: &'a [u8],
    /// Elements left in the list entered last.
    left: u64,
}

/// Head of a value.
enum Head<'a> {
    Null,
    Bool(bool),
    Number(u64),
    Negative(i64),
    Float(f64),
    Text(&'a [u8]),
    Binary,
    List(u64),
    Map(u64),
}

impl<'a> MessagePack<'a> {
    pub(crate) const fn new(message: &'a [u8]) -> Self {
        Self { rest: message, left: 0 }
    }

    fn bytes(&mut self, count: u64) -> Option<&'a [u8]> {
        let (bytes, rest) = self.rest.split_at_checked(usize::try_from(count).ok()?)?;
        self.rest = rest;
        Some(bytes)
    }

    fn big_endian(&mut self, count: u64) -> Option<u64> {
        Some(self.bytes(count)?.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    /// Reads a signed number of `count` bytes, sign-extended.
    fn signed(&mut self, count: u32) -> Option<Head<'a>> {
        let shift = 64 - 8 * count;
        let number = self.big_endian(u64::from(count))?.wrapping_shl(shift).cast_signed() >> shift;
        Some(u64::try_from(number).map_or(Head::Negative(number), Head::Number))
    }

    fn head(&mut self) -> Option<Head<'a>> {
        let (code, rest) = self.rest.split_first()?;
        self.rest = rest;
        let code = *code;
        Some(match code {
            0x00..=0x7f => Head::Number(u64::from(code)),
            0x80..=0x8f => Head::Map(u64::from(code & 0x0f)),
            0x90..=0x9f => Head::List(u64::from(code & 0x0f)),
            0xa0..=0xbf => Head::Text(self.bytes(u64::from(code & 0x1f))?),
            0xc0 => Head::Null,
            0xc2 => Head::Bool(false),
            0xc3 => Head::Bool(true),
            0xc4..=0xc6 => {
                let length = self.big_endian(1 << (code - 0xc4))?;
                self.bytes(length)?;
                Head::Binary
            }
            0xca => Head::Float(f32::from_bits(u32::try_from(self.big_endian(4)?).ok()?).into()),
            0xcb => Head::Float(f64::from_bits(self.big_endian(8)?)),
            0xcc..=0xcf => Head::Number(self.big_endian(1 << (code - 0xcc))?),
            0xd0..=0xd3 => self.signed(1 << (code - 0xd0))?,
            0xd9..=0xdb => {
                let length = self.big_endian(1 << (code - 0xd9))?;
                Head::Text(self.bytes(length)?)
            }
            0xdc | 0xdd => Head::List(self.big_endian(2 << (code - 0xdc))?),
            0xde | 0xdf => Head::Map(self.big_endian(2 << (code - 0xde))?),
            0xe0..=0xff => Head::Negative(i64::from(code.cast_signed())),
            // WAMP has no extensions.
            0xc1 | 0xc7..=0xc9 | 0xd4..=0xd8 => return None,
        })
    }

    fn build(&mut self, depth: usize) -> Option<Value> {
        if depth > MAX_DEPTH {
            return None;
        }
        Some(match self.head()? {
            Head::Null | Head::Binary => Value::Null,
            Head::Bool(bool) => Value::Bool(bool),
            Head::Number(number) => Value::from(number),
            Head::Negative(number) => Value::from(number),
            Head::Float(number) => Number::from_f64(number).map_or(Value::Null, Value::Number),
            Head::Text(text) => Value::String(String::from_utf8_lossy(text).into_owned()),
            Head::List(count) => {
                (0..count).map(|_| self.build(depth + 1)).collect::<Option<Vec<_>>>()?.into()
            }
            Head::Map(count) => {
                let mut map = Map::new();
                for _ in 0..count {
                    let key = match self.build(depth + 1)? {
                        Value::String(key) => key,
                        other => other.to_string(),
                    };
                    map.insert(key, self.build(depth + 1)?);
                }
                map.into()
            }
        })
    }
}

impl<'a> Scan<'a> for MessagePack<'a> {
    fn list(&mut self) -> Option<()> {
        let Head::List(count) = self.head()? else { return None };
        self.left = count;
        Some(())
    }

    fn next(&mut self) -> Option<()> {
        self.left = self.left.checked_sub(1)?;
        Some(())
    }

    fn number(&mut self) -> Option<u64> {
        match self.head()? {
            Head::Number(number) => Some(number),
            _ => None,
        }
    }

    fn text(&mut self) -> Option<&'a [u8]> {
        match self.head()? {
            Head::Text(text) => Some(text),
            _ => None,
        }
    }

    fn value(&mut self) -> Option<Value> {
        self.build(0)
    }

    fn skip(&mut self) -> Option<()> {
        let mut left: u64 = 1;
        while left > 0 {
            left -= 1;
            match self.head()? {
                Head::List(count) => left = left.checked_add(count)?,
                Head::Map(count) => left = left.checked_add(count.checked_mul(2)?)?,
                Head::Null
                | Head::Bool(_)
                | Head::Number(_)
                | Head::Negative(_)
                | Head::Float(_)
                | Head::Text(_)
                | Head::Binary => {}
            }
        }
        Some(())
    }
}
