//! CBOR reader (RFC 8949), for definite and indefinite lengths.

use std::borrow::Cow;

use super::{Container, Input, Item, NOT_EXACT, ReadError, float};

const BREAK: u8 = 0xff;

/// Major types.
const BINARY: u8 = 2;
const TEXT: u8 = 3;
const TAG: u8 = 6;
const SIMPLE: u8 = 7;
/// A date and time in a text. RFC 8949, section 3.4.
const DATE_TIME: u64 = 0;
/// Seconds since 1970, as a number.
const EPOCH_TIME: u64 = 1;
const POSITIVE_BIGNUM: u64 = 2;
const NEGATIVE_BIGNUM: u64 = 3;
/// Tags 32 to 36 mark texts: URIs, Base64, regular expressions and MIME messages.
const URI: u64 = 32;
const MIME: u64 = 36;
/// The tag "this is CBOR" before a whole message.
const SELF_DESCRIBED: u64 = 55_799;

/// Reads CBOR values.
#[derive(Clone, Debug)]
pub(crate) struct Cbor<'a> {
    pub(super) input: Input<'a>,
}

impl<'a> Cbor<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { input: Input::new(bytes) }
    }

    pub(super) fn item(&mut self) -> Result<Item<'a>, ReadError> {
        let at = self.input.at;
        let first = self.input.byte()?;
        if first >> 5 == TAG {
            return self.tagged(first, at);
        }
        self.untagged(first, at)
    }

    /// Reads a tagged value. Tags do not nest, except that the tag "this is CBOR" may precede
    /// another one.
    fn tagged(&mut self, first: u8, at: usize) -> Result<Item<'a>, ReadError> {
        let mut tag = self.argument(first & 0x1f)?;
        let mut first = self.input.byte()?;
        if tag == SELF_DESCRIBED {
            if first >> 5 != TAG {
                return self.untagged(first, self.input.at - 1);
            }
            tag = self.argument(first & 0x1f)?;
            first = self.input.byte()?;
        }
        if first >> 5 == TAG {
            return Err(ReadError::unsupported(at, "a CBOR tag inside of a tag"));
        }
        let (content, major) = (self.input.at - 1, first >> 5);
        let is_number = major < 2 || (major == SIMPLE && matches!(first & 0x1f, 25..=27));
        match tag {
            POSITIVE_BIGNUM | NEGATIVE_BIGNUM if major == BINARY => {
                let Item::Binary(bytes) = self.untagged(first, content)? else {
                    return Err(ReadError::malformed(content, "a CBOR bignum without its bytes"));
                };
                let number = match tag {
                    POSITIVE_BIGNUM => big_number(&bytes),
                    _ => big_negative(&bytes),
                };
                if let Some(number) = number {
                    return Ok(number);
                }
                self.input.at = content;
                Err(ReadError::foreign(at, NOT_EXACT))
            }
            // The content means the same without its tag, as in JSON: RFC 8949, section 6.1.
            EPOCH_TIME if is_number => self.untagged(first, content),
            DATE_TIME | URI..=MIME if major == TEXT => self.untagged(first, content),
            _ => {
                self.input.at = content;
                let problem = "a CBOR tag that has no equivalent in the other codecs";
                Err(ReadError::foreign(at, problem))
            }
        }
    }

    /// Returns whether the value at `at` begins with a tag. The content of a foreign tag is still
    /// unread.
    pub(super) fn is_tag(&self, at: usize) -> bool {
        self.input.bytes.get(at).is_some_and(|first| first >> 5 == TAG)
    }

    fn untagged(&mut self, first: u8, at: usize) -> Result<Item<'a>, ReadError> {
        let (major, info) = (first >> 5, first & 0x1f);
        Ok(match major {
            0 => Item::UInt(self.argument(info)?),
            1 => {
                let number = negative(self.argument(info)?);
                number.ok_or(ReadError::foreign(at, NOT_EXACT))?
            }
            2 => Item::Binary(self.bytes(info)?),
            3 => Item::Text(self.text(info)?),
            4 => Item::List(self.container(info)?),
            5 => Item::Map(self.container(info)?),
            _ => self.simple(info, at)?,
        })
    }

    /// Returns whether another element follows in a container of indefinite length.
    pub(super) fn more(&mut self) -> Result<bool, ReadError> {
        match self.input.peek() {
            Some(BREAK) => {
                self.input.at += 1;
                Ok(false)
            }
            Some(_) => Ok(true),
            None => Err(self.fault("an unterminated container")),
        }
    }

    const fn fault(&self, problem: &'static str) -> ReadError {
        ReadError::malformed(self.input.at, problem)
    }

    fn argument(&mut self, info: u8) -> Result<u64, ReadError> {
        let width = match info {
            0..24 => return Ok(info.into()),
            24..28 => 1 << (info - 24),
            _ => return Err(self.fault("an undefined CBOR length")),
        };
        let bytes = self.input.take(width)?;
        Ok(bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    fn container(&mut self, info: u8) -> Result<Container, ReadError> {
        if info == 31 {
            return Ok(Container::Until { close: Some(BREAK), first: true });
        }
        Ok(Container::Counted(self.argument(info)?))
    }

    fn bytes(&mut self, info: u8) -> Result<Cow<'a, [u8]>, ReadError> {
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

    fn text(&mut self, info: u8) -> Result<Cow<'a, str>, ReadError> {
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

    /// Reads the length of the next chunk of a string of indefinite length.
    fn chunk(&mut self, major: u8) -> Result<Option<u64>, ReadError> {
        if !self.more()? {
            return Ok(None);
        }
        let first = self.input.byte()?;
        if first >> 5 != major {
            return Err(self.fault("a chunk of another type inside a string"));
        }
        self.argument(first & 0x1f).map(Some)
    }

    fn simple(&mut self, info: u8, at: usize) -> Result<Item<'a>, ReadError> {
        Ok(match info {
            20 => Item::Bool(false),
            21 => Item::Bool(true),
            // 23 is JavaScript's undefined.
            22 | 23 => Item::Null,
            24 if self.input.byte()? >= 32 => return Err(unassigned(at)),
            0..20 => return Err(unassigned(at)),
            25 => float(half(u16::from_be_bytes(self.input.array()?)), at)?,
            26 => float(f32::from_be_bytes(self.input.array()?).into(), at)?,
            27 => float(f64::from_be_bytes(self.input.array()?), at)?,
            31 => return Err(ReadError::malformed(at, "a break instead of a value")),
            _ => return Err(ReadError::malformed(at, "an undefined CBOR simple value")),
        })
    }
}

const fn unassigned(at: usize) -> ReadError {
    ReadError::foreign(at, "a CBOR simple value that has no equivalent in the other codecs")
}

/// Returns the number -1 - `argument`.
fn negative<'a>(argument: u64) -> Option<Item<'a>> {
    match i64::try_from(argument) {
        Ok(number) => Some(Item::Int(-1 - number)),
        Err(_) => exact(u128::from(argument) + 1).map(|size| Item::Float(-size)),
    }
}

fn big_number<'a>(bytes: &[u8]) -> Option<Item<'a>> {
    let number = magnitude(bytes)?;
    match u64::try_from(number) {
        Ok(number) => Some(Item::UInt(number)),
        Err(_) => exact(number).map(Item::Float),
    }
}

fn big_negative<'a>(bytes: &[u8]) -> Option<Item<'a>> {
    let number = magnitude(bytes)?;
    match u64::try_from(number) {
        Ok(number) => negative(number),
        Err(_) => exact(number.checked_add(1)?).map(|size| Item::Float(-size)),
    }
}

/// Returns the magnitude of a bignum. `None` above 128 bits.
fn magnitude(bytes: &[u8]) -> Option<u128> {
    bytes.iter().try_fold(0u128, |number, byte| {
        (number >> 120 == 0).then(|| number << 8 | u128::from(*byte))
    })
}

/// Returns the number as a double. `None` if it would be rounded.
fn exact(number: u128) -> Option<f64> {
    let significant = (u128::BITS - number.leading_zeros()).saturating_sub(number.trailing_zeros());
    #[expect(clippy::cast_precision_loss, reason = "a double has 53 bits for the significant ones")]
    (significant <= f64::MANTISSA_DIGITS).then_some(number as f64)
}

/// Decodes a float of 16 bits: RFC 8949, appendix D.
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
