//! JSON (RFC 8259), read from bytes that are UTF-8.

use std::borrow::Cow;

use super::{Container, Item, Malformed};

/// Reads JSON values.
#[derive(Clone, Debug)]
pub(crate) struct Json<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Json<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(super) const fn position(&self) -> usize {
        self.at
    }

    pub(super) fn is_done(&mut self) -> bool {
        self.skip_space();
        self.at >= self.bytes.len()
    }

    pub(super) fn item(&mut self) -> Result<Item<'a>, Malformed> {
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
            Some(_) => return Err(self.fault("a character that begins no JSON value")),
            None => return Err(self.fault("an early end")),
        })
    }

    pub(super) fn more(&mut self, close: Option<u8>, first: bool) -> Result<bool, Malformed> {
        self.skip_space();
        let byte = self.peek();
        if byte == close {
            // At the end of bare elements there is no byte to pass over.
            self.at += usize::from(close.is_some());
            return Ok(false);
        }
        if !first {
            match byte {
                Some(b',') => {}
                Some(_) => return Err(self.fault("no comma between elements")),
                None => return Err(self.fault("an early end")),
            }
            self.at += 1;
            self.skip_space();
        }
        Ok(true)
    }

    pub(super) fn key(&mut self) -> Result<Item<'a>, Malformed> {
        self.skip_space();
        if self.peek() != Some(b'"') {
            return Err(self.fault("a key that is not a string"));
        }
        let key = self.text()?;
        self.colon()?;
        Ok(Item::Text(key))
    }

    /// Passes over a value without decoding its strings and numbers.
    pub(super) fn skip(&mut self, depth: usize) -> Result<(), Malformed> {
        self.skip_space();
        let (close, is_map) = match self.peek() {
            Some(b'"') => return self.scan_text().map(|_| ()),
            Some(b'-' | b'0'..=b'9') => return self.scan_number().map(|_| ()),
            Some(b'[') => (b']', false),
            Some(b'{') => (b'}', true),
            _ => return self.item().map(|_| ()),
        };
        let Some(depth) = depth.checked_sub(1) else {
            return Err(self.fault("lists or dictionaries nested too deep"));
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
        self.bytes.get(self.at).copied()
    }

    const fn fault(&self, what: &'static str) -> Malformed {
        Malformed { at: self.at, what }
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn colon(&mut self) -> Result<(), Malformed> {
        self.skip_space();
        if self.peek() != Some(b':') {
            return Err(self.fault("no colon after a key"));
        }
        self.at += 1;
        Ok(())
    }

    fn literal(&mut self, word: &str, item: Item<'a>) -> Result<Item<'a>, Malformed> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        if !rest.starts_with(word.as_bytes()) {
            return Err(self.fault("a word that is no JSON value"));
        }
        self.at += word.len();
        Ok(item)
    }

    fn number(&mut self) -> Result<Item<'a>, Malformed> {
        let start = self.at;
        let is_whole = self.scan_number()?;
        let text = self.slice(start, self.at)?;
        if is_whole {
            if let Ok(number) = text.parse::<u64>() {
                return Ok(Item::UInt(number));
            }
            if let Ok(number) = text.parse::<i64>() {
                // "-0" is a whole number from zero.
                return Ok(u64::try_from(number).map_or(Item::Int(number), Item::UInt));
            }
        }
        // What the grammar admits, the parser takes; overflow is infinity.
        text.parse().map(Item::Float).map_err(|_| Malformed { at: start, what: "a bad number" })
    }

    /// Passes over a number; whether it has neither fraction nor exponent.
    fn scan_number(&mut self) -> Result<bool, Malformed> {
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        let mut is_whole = true;
        if self.peek() == Some(b'.') {
            is_whole = false;
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            is_whole = false;
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(is_whole)
    }

    fn digits(&mut self) -> Result<(), Malformed> {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at == start { Err(self.fault("no digit where one must be")) } else { Ok(()) }
    }

    fn text(&mut self) -> Result<Cow<'a, str>, Malformed> {
        let start = self.at + 1;
        let has_escapes = self.scan_text()?;
        let text = self.slice(start, self.at - 1)?;
        Ok(if has_escapes { Cow::Owned(unescape(text)) } else { Cow::Borrowed(text) })
    }

    /// Passes over a string, quotes included; whether it holds escapes.
    fn scan_text(&mut self) -> Result<bool, Malformed> {
        self.at += 1;
        let mut has_escapes = false;
        loop {
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
                Some(0..0x20) => return Err(self.fault("a bare control character in a string")),
                Some(_) => self.at += 1,
                None => return Err(self.fault("a string without an end")),
            }
        }
    }

    fn scan_escape(&mut self) -> Result<(), Malformed> {
        let len = match self.peek() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => 1,
            Some(b'u') => {
                let digits = self.bytes.get(self.at + 1..self.at + 5).unwrap_or_default();
                if digits.len() < 4 || !digits.iter().all(u8::is_ascii_hexdigit) {
                    return Err(self.fault("an escape without four hexadecimal digits"));
                }
                5
            }
            _ => return Err(self.fault("an unknown escape in a string")),
        };
        self.at += len;
        Ok(())
    }

    fn slice(&self, start: usize, end: usize) -> Result<&'a str, Malformed> {
        let bytes = self.bytes.get(start..end).unwrap_or_default();
        std::str::from_utf8(bytes).map_err(|error| Malformed {
            at: start + error.valid_up_to(),
            what: "text that is not UTF-8",
        })
    }
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

/// Decodes `uXXXX`, or two of them that form a pair; what follows is returned.
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
