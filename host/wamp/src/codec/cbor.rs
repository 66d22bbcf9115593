//! CBOR (RFC 8949), definite and indefinite lengths.

use std::borrow::Cow;

use super::{Container, Input, Item, Malformed};

const BREAK: u8 = 0xff;

/// Reads CBOR values.
#[derive(Clone, Debug)]
pub(crate) struct Cbor<'a> {
    pub(super) input: Input<'a>,
}

impl<'a> Cbor<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { input: Input::new(bytes) }
    }

    pub(super) fn item(&mut self) -> Result<Item<'a>, Malformed> {
        let mut tag = None;
        loop {
            let at = self.input.at;
            let first = self.input.byte()?;
            let (major, info) = (first >> 5, first & 0x1f);
            let item = match major {
                0 => Item::UInt(self.argument(info)?),
                1 => negative(self.argument(info)?),
                2 => Item::Binary(self.bytes(info)?),
                3 => Item::Text(self.text(info)?),
                4 => Item::List(self.container(info)?),
                5 => Item::Map(self.container(info)?),
                6 => {
                    tag = Some(self.argument(info)?);
                    continue;
                }
                _ => self.simple(info, at)?,
            };
            return Ok(match (tag, item) {
                (Some(2), Item::Binary(bytes)) => big_number(&bytes),
                (Some(3), Item::Binary(bytes)) => big_negative(&bytes),
                (_, item) => item,
            });
        }
    }

    /// Whether another element follows in a container of indefinite length.
    pub(super) fn more(&mut self) -> Result<bool, Malformed> {
        match self.input.peek() {
            Some(BREAK) => {
                self.input.at += 1;
                Ok(false)
            }
            Some(_) => Ok(true),
            None => Err(self.fault("a container without an end")),
        }
    }

    const fn fault(&self, what: &'static str) -> Malformed {
        Malformed { at: self.input.at, what }
    }

    fn argument(&mut self, info: u8) -> Result<u64, Malformed> {
        let width = match info {
            0..24 => return Ok(info.into()),
            24..28 => 1 << (info - 24),
            _ => return Err(self.fault("a CBOR length that is not defined")),
        };
        let bytes = self.input.take(width)?;
        Ok(bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    fn container(&mut self, info: u8) -> Result<Container, Malformed> {
        if info == 31 {
            return Ok(Container::Until { close: Some(BREAK), first: true });
        }
        Ok(Container::Counted(self.argument(info)?))
    }

    fn bytes(&mut self, info: u8) -> Result<Cow<'a, [u8]>, Malformed> {
        if info != 31 {
            let len = self.argument(info)?;
            return Ok(Cow::Borrowed(self.input.take(len)?));
        }
        let mut whole = Vec::new();
        while let Some(len) = self.chunk(2)? {
            whole.extend_from_slice(self.input.take(len)?);
        }
        Ok(Cow::Owned(whole))
    }

    fn text(&mut self, info: u8) -> Result<Cow<'a, str>, Malformed> {
        if info != 31 {
            let len = self.argument(info)?;
            return Ok(Cow::Borrowed(self.input.text(len)?));
        }
        let mut whole = String::new();
        while let Some(len) = self.chunk(3)? {
            whole.push_str(self.input.text(len)?);
        }
        Ok(Cow::Owned(whole))
    }

    /// The length of the next chunk of a string of indefinite length, which are definite.
    fn chunk(&mut self, major: u8) -> Result<Option<u64>, Malformed> {
        if !self.more()? {
            return Ok(None);
        }
        let first = self.input.byte()?;
        if first >> 5 != major {
            return Err(self.fault("a chunk of another type inside a string"));
        }
        self.argument(first & 0x1f).map(Some)
    }

    fn simple(&mut self, info: u8, at: usize) -> Result<Item<'a>, Malformed> {
        Ok(match info {
            20 => Item::Bool(false),
            21 => Item::Bool(true),
            0..20 | 22 | 23 => Item::Null,
            24 if self.input.byte()? >= 32 => Item::Null,
            25 => Item::Float(half(u16::from_be_bytes(self.input.array()?))),
            26 => Item::Float(f32::from_be_bytes(self.input.array()?).into()),
            27 => Item::Float(f64::from_be_bytes(self.input.array()?)),
            31 => return Err(Malformed { at, what: "an end where a value must be" }),
            _ => return Err(Malformed { at, what: "a CBOR simple value that is not defined" }),
        })
    }
}

/// The number -1 - `argument`.
fn negative<'a>(argument: u64) -> Item<'a> {
    match i64::try_from(argument) {
        Ok(number) => Item::Int(-1 - number),
        Err(_) => Item::Float(-1.0 - float(argument)),
    }
}

fn big_number<'a>(bytes: &[u8]) -> Item<'a> {
    match small(bytes) {
        Some(number) => Item::UInt(number),
        None => Item::Float(magnitude(bytes)),
    }
}

fn big_negative<'a>(bytes: &[u8]) -> Item<'a> {
    match small(bytes) {
        Some(number) => negative(number),
        None => Item::Float(-1.0 - magnitude(bytes)),
    }
}

/// The number, if 64 bits hold it.
fn small(bytes: &[u8]) -> Option<u64> {
    bytes
        .iter()
        .try_fold(0u64, |number, byte| (number >> 56 == 0).then(|| number << 8 | u64::from(*byte)))
}

fn magnitude(bytes: &[u8]) -> f64 {
    bytes.iter().fold(0.0, |number, byte| number * 256.0 + f64::from(*byte))
}

#[expect(clippy::cast_precision_loss, reason = "the nearest float is what is wanted")]
const fn float(number: u64) -> f64 {
    number as f64
}

/// A float of 16 bits: RFC 8949, appendix D.
fn half(bits: u16) -> f64 {
    let exponent = i32::from(bits >> 10 & 0x1f);
    let mantissa = f64::from(bits & 0x3ff);
    let size = match exponent {
        0 => mantissa * (-24f64).exp2(),
        31 if mantissa == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (mantissa + 1024.0) * f64::from(exponent - 25).exp2(),
    };
    if bits & 0x8000 == 0 { size } else { -size }
}
