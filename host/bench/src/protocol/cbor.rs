//! CBOR scanner. RFC 8949, section 3.

use serde_json::{Map, Number, Value};

use super::scan::{MAX_DEPTH, Scan};

/// The rest of a message.
#[derive(Debug)]
pub(crate) struct Cbor<'a> {
    rest: &'a [u8],
    /// Elements left in the list entered last; `None` if its length is indefinite.
    left: Option<u64>,
}

const UNSIGNED: u8 = 0;
const NEGATIVE: u8 = 1;
const BYTES: u8 = 2;
const TEXT: u8 = 3;
const LIST: u8 = 4;
const MAP: u8 = 5;
const TAG: u8 = 6;
const BREAK: u8 = 0xff;

/// Head of a value: major type, additional information, and argument; the argument is `None` for an
/// indefinite length.
#[derive(Clone, Copy)]
struct Head {
    major: u8,
    info: u8,
    argument: Option<u64>,
}

impl<'a> Cbor<'a> {
    pub(crate) const fn new(message: &'a [u8]) -> Self {
        Self { rest: message, left: Some(0) }
    }

    fn bytes(&mut self, count: u64) -> Option<&'a [u8]> {
        let (bytes, rest) = self.rest.split_at_checked(usize::try_from(count).ok()?)?;
        self.rest = rest;
        Some(bytes)
    }

    /// Reads a head. Tags are skipped.
    fn head(&mut self) -> Option<Head> {
        loop {
            let (first, rest) = self.rest.split_first()?;
            self.rest = rest;
            let (major, info) = (first >> 5, first & 0x1f);
            let argument = match info {
                0..24 => Some(u64::from(info)),
                24..28 => {
                    let bytes = self.bytes(1 << (info - 24))?;
                    Some(bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
                }
                31 => None,
                _ => return None,
            };
            if major != TAG {
                return Some(Head { major, info, argument });
            }
        }
    }

    /// Consumes a break, if there is one.
    fn ended(&mut self) -> Option<bool> {
        let ended = *self.rest.first()? == BREAK;
        if ended {
            self.rest = self.rest.get(1..)?;
        }
        Some(ended)
    }

    /// Returns whether a list or map has another element; `left` is the announced rest.
    fn more(&mut self, left: &mut Option<u64>) -> Option<bool> {
        match left {
            None => self.ended().map(|ended| !ended),
            Some(0) => Some(false),
            Some(count) => {
                *count -= 1;
                Some(true)
            }
        }
    }

    fn string(&mut self, length: Option<u64>) -> Option<Vec<u8>> {
        let Some(length) = length else {
            let mut text = Vec::new();
            while !self.ended()? {
                let length = self.head()?.argument?;
                text.extend_from_slice(self.bytes(length)?);
            }
            return Some(text);
        };
        self.bytes(length).map(<[u8]>::to_vec)
    }

    fn build(&mut self, depth: usize) -> Option<Value> {
        if depth > MAX_DEPTH {
            return None;
        }
        let Head { major, info, argument } = self.head()?;
        let mut left = argument;
        Some(match major {
            UNSIGNED => Value::from(argument?),
            NEGATIVE => Value::from(-1 - i64::try_from(argument?).ok()?),
            BYTES => self.string(argument).map(|_| Value::Null)?,
            TEXT => String::from_utf8_lossy(&self.string(argument)?).into_owned().into(),
            LIST => {
                let mut list = Vec::new();
                while self.more(&mut left)? {
                    list.push(self.build(depth + 1)?);
                }
                list.into()
            }
            MAP => {
                let mut map = Map::new();
                while self.more(&mut left)? {
                    let key = match self.build(depth + 1)? {
                        Value::String(key) => key,
                        other => other.to_string(),
                    };
                    map.insert(key, self.build(depth + 1)?);
                }
                map.into()
            }
            _ => simple(info, argument?),
        })
    }
}

/// Returns a float, a boolean or null.
fn simple(info: u8, argument: u64) -> Value {
    let number = match info {
        20 => return Value::Bool(false),
        21 => return Value::Bool(true),
        26 => u32::try_from(argument).map_or(f64::NAN, |bits| f32::from_bits(bits).into()),
        27 => f64::from_bits(argument),
        _ => return Value::Null,
    };
    Number::from_f64(number).map_or(Value::Null, Value::Number)
}

impl<'a> Scan<'a> for Cbor<'a> {
    fn list(&mut self) -> Option<()> {
        let head = self.head()?;
        self.left = head.argument;
        (head.major == LIST).then_some(())
    }

    fn next(&mut self) -> Option<()> {
        let mut left = self.left;
        let more = self.more(&mut left)?;
        self.left = left;
        more.then_some(())
    }

    fn number(&mut self) -> Option<u64> {
        let head = self.head()?;
        (head.major == UNSIGNED).then_some(head.argument?)
    }

    fn text(&mut self) -> Option<&'a [u8]> {
        let head = self.head()?;
        let text = self.bytes(head.argument?)?;
        (head.major == TEXT).then_some(text)
    }

    fn value(&mut self) -> Option<Value> {
        self.build(0)
    }

    fn skip(&mut self) -> Option<()> {
        // EVENT's details are nearly always an empty map.
        if let Some(0xa0) = self.rest.first() {
            self.rest = self.rest.get(1..)?;
            return Some(());
        }
        self.build(0).map(|_| ())
    }
}
