//! JSON reader (RFC 8259). The input is UTF-8.

use std::borrow::Cow;

use super::{Container, Item, NOT_EXACT, NOT_UNICODE, ReadError, TOO_DEEP};

/// Longest integer, in characters, that always fits in 64 bits.
const MAX_SAFE_INTEGER_CHARS: usize = 18;
/// Longest number with a fraction and no exponent, in characters, that is always in a double's
/// range.
const MAX_SAFE_FRACTION_CHARS: usize = 300;

/// The upper six bits of the first half of a surrogate pair (U+D800 to U+DBFF).
const HIGH_SURROGATE: u8 = 0xd8 >> 2;
/// The upper six bits of the second half (U+DC00 to U+DFFF).
const LOW_SURROGATE: u8 = 0xdc >> 2;

/// Notation of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NumberForm {
    Whole,
    Fraction,
    Exponent,
}

/// Reads JSON values.
#[derive(Clone, Debug)]
pub(crate) struct Json<'a> {
    bytes: &'a [u8],
    at: usize,
    /// The first foreign value skipped.
    pub(super) foreign: Option<ReadError>,
}

impl<'a> Json<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, foreign: None }
    }

    pub(super) const fn position(&self) -> usize {
        self.at
    }

    pub(super) fn is_done(&mut self) -> bool {
        self.skip_space();
        self.at >= self.bytes.len()
    }

    pub(super) fn item(&mut self) -> Result<Item<'a>, ReadError> {
        self.skip_space();
        Ok(match self.peek() {
            Some(b'"') => Item::Text(self.text()?),
            Some(b'[') => {
                self.at += 1;
                Item::List(Container::Until { close: Some(b']'), first: true })
            }
            Some(b'{') => {
                self.at += 1;
                Item::Map(Container::Until { close: Some(b'}'), first: true })
            }
            Some(b't') => self.literal("true", Item::Bool(true))?,
            Some(b'f') => self.literal("false", Item::Bool(false))?,
            Some(b'n') => self.literal("null", Item::Null)?,
            Some(b'-' | b'0'..=b'9') => self.number()?,
            Some(_) => return Err(self.fault("an unexpected character")),
            None => return Err(self.fault("an unexpected end")),
        })
    }

    pub(super) fn more(&mut self, close: Option<u8>, first: bool) -> Result<bool, ReadError> {
        self.skip_space();
        let byte = self.peek();
        if byte == close {
            // Bare elements have no closing byte to skip.
            self.at += usize::from(close.is_some());
            return Ok(false);
        }
        if !first {
            match byte {
                Some(b',') => {}
                Some(_) => return Err(self.fault("a missing comma between elements")),
                None => return Err(self.fault("an unexpected end")),
            }
            self.at += 1;
            self.skip_space();
        }
        Ok(true)
    }

    pub(super) fn key(&mut self) -> Result<Item<'a>, ReadError> {
        self.skip_space();
        if self.peek() != Some(b'"') {
            return Err(self.fault("a key that is not a string"));
        }
        let key = self.text()?;
        self.colon()?;
        Ok(Item::Text(key))
    }

    /// Skips a value without decoding its strings and numbers.
    pub(super) fn skip(&mut self, depth: usize) -> Result<(), ReadError> {
        self.skip_space();
        let (close, is_map) = match self.peek() {
            Some(b'"') => return self.scan_text().map(|_| ()),
            Some(b'-' | b'0'..=b'9') => return self.skip_number(),
            Some(b'[') => (b']', false),
            Some(b'{') => (b'}', true),
            _ => return self.item().map(|_| ()),
        };
        let Some(depth) = depth.checked_sub(1) else {
            return Err(ReadError::unsupported(self.at, TOO_DEEP));
        };
        self.at += 1;
        let mut first = true;
        while self.more(Some(close), first)? {
            first = false;
            if is_map {
                if self.peek() != Some(b'"') {
                    return Err(self.fault("a key that is not a string"));
                }
                self.scan_text()?;
                self.colon()?;
            }
            self.skip(depth)?;
        }
        Ok(())
    }

    fn peek(&self) -> Option<u8> {
        self.byte_at(self.at)
    }

    fn byte_at(&self, at: usize) -> Option<u8> {
        self.bytes.get(at).copied()
    }

    const fn fault(&self, problem: &'static str) -> ReadError {
        ReadError::malformed(self.at, problem)
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn colon(&mut self) -> Result<(), ReadError> {
        self.skip_space();
        if self.peek() != Some(b':') {
            return Err(self.fault("a missing colon after a key"));
        }
        self.at += 1;
        Ok(())
    }

    fn literal(&mut self, word: &str, item: Item<'a>) -> Result<Item<'a>, ReadError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        if !rest.starts_with(word.as_bytes()) {
            return Err(self.fault("an unknown literal"));
        }
        self.at += word.len();
        Ok(item)
    }

    fn number(&mut self) -> Result<Item<'a>, ReadError> {
        let start = self.at;
        let form = self.scan_number()?;
        let text = self.slice(start, self.at)?;
        value_of(form, text).ok_or(ReadError::foreign(start, NOT_EXACT))
    }

    /// Skips a number. Its value is computed only if it may be foreign.
    fn skip_number(&mut self) -> Result<(), ReadError> {
        let start = self.at;
        let form = self.scan_number()?;
        let len = self.at - start;
        let is_small = match form {
            NumberForm::Whole => len <= MAX_SAFE_INTEGER_CHARS,
            NumberForm::Fraction => len <= MAX_SAFE_FRACTION_CHARS,
            NumberForm::Exponent => false,
        };
        if is_small {
            return Ok(());
        }
        let text = self.slice(start, self.at)?;
        if value_of(form, text).is_none() {
            self.foreign.get_or_insert(ReadError::foreign(start, NOT_EXACT));
        }
        Ok(())
    }

    /// Skips a number and checks its grammar.
    fn scan_number(&mut self) -> Result<NumberForm, ReadError> {
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        let mut form = NumberForm::Whole;
        if self.peek() == Some(b'.') {
            form = NumberForm::Fraction;
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            form = NumberForm::Exponent;
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(form)
    }

    fn digits(&mut self) -> Result<(), ReadError> {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at == start { Err(self.fault("a missing digit")) } else { Ok(()) }
    }

    fn text(&mut self) -> Result<Cow<'a, str>, ReadError> {
        let start = self.at + 1;
        let has_escapes = self.scan_text()?;
        let text = self.slice(start, self.at - 1)?;
        Ok(if has_escapes { Cow::Owned(unescape(text)) } else { Cow::Borrowed(text) })
    }

    /// Skips a string with its quotes. Returns whether it has escapes.
    fn scan_text(&mut self) -> Result<bool, ReadError> {
        self.at += 1;
        let mut has_escapes = false;
        loop {
            self.at += plain_length(self.bytes.get(self.at..).unwrap_or_default());
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(has_escapes);
                }
                Some(b'\\') => {
                    has_escapes = true;
                    self.at += 1;
                    self.scan_escape()?;
                }
                Some(_) => return Err(self.fault("an unescaped control character in a string")),
                None => return Err(self.fault("an unterminated string")),
            }
        }
    }

    /// Skips an escape after its backslash; a surrogate pair's two escapes at once.
    fn scan_escape(&mut self) -> Result<(), ReadError> {
        match self.peek() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                self.at += 1;
                return Ok(());
            }
            Some(b'u') => {}
            _ => return Err(self.fault("an unknown escape in a string")),
        }
        let start = self.at;
        match self.scan_unit()? {
            HIGH_SURROGATE
                if self.peek() == Some(b'\\') && self.byte_at(self.at + 1) == Some(b'u') =>
            {
                self.at += 1;
                match self.scan_unit()? {
                    LOW_SURROGATE => Ok(()),
                    _ => Err(ReadError::unsupported(start, NOT_UNICODE)),
                }
            }
            HIGH_SURROGATE | LOW_SURROGATE => Err(ReadError::unsupported(start, NOT_UNICODE)),
            _ => Ok(()),
        }
    }

    /// Skips `uXXXX`. Returns the upper six bits of the code unit, which identify surrogates.
    fn scan_unit(&mut self) -> Result<u8, ReadError> {
        let digits = self.bytes.get(self.at + 1..self.at + 5).and_then(<[u8]>::first_chunk::<4>);
        let Some(digits @ [first, second, ..]) =
            digits.filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))
        else {
            return Err(self.fault("an escape without four hexadecimal digits"));
        };
        self.at += 1 + digits.len();
        let value = |digit: u8| (digit & 0x0f) + if digit.is_ascii_digit() { 0 } else { 9 };
        Ok(value(*first) << 2 | value(*second) >> 2)
    }

    fn slice(&self, start: usize, end: usize) -> Result<&'a str, ReadError> {
        let bytes = self.bytes.get(start..end).unwrap_or_default();
        std::str::from_utf8(bytes)
            .map_err(|error| ReadError::unsupported(start + error.valid_up_to(), NOT_UNICODE))
    }
}

/// Returns the number of bytes before the first one that ends a string, begins an escape or is a control
/// character. Whole chunks are compared at once: most of a message is text.
pub(super) fn plain_length(bytes: &[u8]) -> usize {
    const CHUNK: usize = 16;
    let is_special = |byte: u8| byte < 0x20 || byte == b'"' || byte == b'\\';
    let (chunks, _) = bytes.as_chunks::<CHUNK>();
    // Without a branch for each byte, so that the compiler uses vector instructions.
    let is_plain = |chunk: &&[u8; CHUNK]| {
        chunk.iter().fold(0, |found, byte| found | u8::from(is_special(*byte))) == 0
    };
    let length = chunks.iter().take_while(is_plain).count() * CHUNK;
    let rest = bytes.get(length..).unwrap_or_default();
    length + rest.iter().position(|byte| is_special(*byte)).unwrap_or(rest.len())
}

/// Returns the value of a scanned number. `None` if it would have to be rounded.
///
/// An integer beyond 64 bits is a double if it is a double's notation: with all its digits, or with
/// the fewest that identify it and zeros after them, as JavaScript writes it.
fn value_of<'a>(form: NumberForm, text: &str) -> Option<Item<'a>> {
    if form == NumberForm::Whole {
        if let Ok(number) = text.parse::<u64>() {
            return Some(Item::UInt(number));
        }
        if let Ok(number @ ..0) = text.parse::<i64>() {
            return Some(Item::Int(number));
        }
    }
    let number: f64 = text.parse().ok()?;
    let is_exact = match form {
        NumberForm::Whole => {
            text == "-0" || text == format!("{number}") || text == format!("{number:.0}")
        }
        // An underflow to zero is a rounding, too.
        NumberForm::Fraction | NumberForm::Exponent => {
            let mantissa = text.split(['e', 'E']).next().unwrap_or_default();
            number != 0.0 || !mantissa.contains(|digit: char| matches!(digit, '1'..='9'))
        }
    };
    (is_exact && number.is_finite()).then_some(Item::Float(number))
}

/// Replaces the escapes, which [`Json::scan_escape`] has checked.
fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((plain, escape)) = rest.split_once('\\') {
        out.push_str(plain);
        let mut letters = escape.chars();
        match letters.next() {
            Some('b') => out.push('\u{8}'),
            Some('f') => out.push('\u{c}'),
            Some('n') => out.push('\n'),
            Some('r') => out.push('\r'),
            Some('t') => out.push('\t'),
            Some('u') => {
                rest = unescape_unicode(escape, &mut out);
                continue;
            }
            Some(letter) => out.push(letter),
            None => {}
        }
        rest = letters.as_str();
    }
    out.push_str(rest);
    out
}

/// Decodes `uXXXX`, or two of them that form a pair. Returns the rest.
fn unescape_unicode<'a>(escape: &'a str, out: &mut String) -> &'a str {
    let (high, rest) = code_unit(escape);
    if (0xd800..0xdc00).contains(&high)
        && let Some(next) = rest.strip_prefix('\\')
        && next.starts_with('u')
    {
        let (low, after) = code_unit(next);
        if (0xdc00..0xe000).contains(&low) {
            let code = 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
            out.push(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
            return after;
        }
    }
    out.push(char::from_u32(high).unwrap_or(char::REPLACEMENT_CHARACTER));
    rest
}

fn code_unit(escape: &str) -> (u32, &str) {
    let digits = escape.get(1..5).unwrap_or_default();
    (u32::from_str_radix(digits, 16).unwrap_or(0xfffd), escape.get(5..).unwrap_or_default())
}
