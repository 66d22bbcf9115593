//! JSON scanner.

use serde_json::Value;

use super::scan::{MAX_DEPTH, Scan};

/// The rest of a message.
#[derive(Debug)]
pub(crate) struct Json<'a> {
    rest: &'a [u8],
    /// Whether the next element is the first of its list.
    first: bool,
}

impl<'a> Json<'a> {
    pub(crate) const fn new(message: &'a [u8]) -> Self {
        Self { rest: message, first: false }
    }

    fn peek(&mut self) -> Option<u8> {
        while let [b' ' | b'\t' | b'\r' | b'\n', rest @ ..] = self.rest {
            self.rest = rest;
        }
        self.rest.first().copied()
    }

    fn take(&mut self, expected: u8) -> Option<()> {
        if self.peek()? != expected {
            return None;
        }
        self.rest = self.rest.get(1..)?;
        Some(())
    }

    /// Reads a string without its quotes, with its escapes.
    fn string(&mut self) -> Option<&'a [u8]> {
        self.take(b'"')?;
        let mut end = 0;
        loop {
            end += self.rest.get(end..)?.iter().position(|byte| matches!(byte, b'"' | b'\\'))?;
            if self.rest.get(end) == Some(&b'"') {
                break;
            }
            end += 2;
        }
        let (text, rest) = self.rest.split_at_checked(end)?;
        self.rest = rest.get(1..)?;
        Some(text)
    }

    /// Skips a number, `true`, `false` or `null`.
    fn word(&mut self) -> Option<()> {
        let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || b"+-.".contains(byte);
        let end = self.rest.iter().position(|byte| !is_word(byte)).unwrap_or(self.rest.len());
        self.rest = self.rest.get(end..)?;
        (end > 0).then_some(())
    }
}

impl<'a> Scan<'a> for Json<'a> {
    fn list(&mut self) -> Option<()> {
        self.take(b'[')?;
        self.first = true;
        Some(())
    }

    fn next(&mut self) -> Option<()> {
        if std::mem::take(&mut self.first) {
            return (self.peek()? != b']').then_some(());
        }
        self.take(b',')
    }

    fn number(&mut self) -> Option<u64> {
        self.peek()?;
        let mut number: u64 = 0;
        let mut digits = 0;
        for byte in self.rest.iter().take_while(|byte| byte.is_ascii_digit()) {
            number = number.checked_mul(10)?.checked_add(u64::from(byte - b'0'))?;
            digits += 1;
        }
        self.rest = self.rest.get(digits..)?;
        (digits > 0).then_some(number)
    }

    fn text(&mut self) -> Option<&'a [u8]> {
        self.string()
    }

    fn value(&mut self) -> Option<Value> {
        let before = self.rest;
        self.skip()?;
        let length = before.len() - self.rest.len();
        serde_json::from_slice(before.get(..length)?).ok()
    }

    fn skip(&mut self) -> Option<()> {
        let mut depth = 0_usize;
        loop {
            match self.peek()? {
                b'"' => {
                    self.string()?;
                }
                b'[' | b'{' => {
                    self.rest = self.rest.get(1..)?;
                    depth += 1;
                    if depth > MAX_DEPTH {
                        return None;
                    }
                    continue;
                }
                b']' | b'}' => {
                    self.rest = self.rest.get(1..)?;
                    depth = depth.checked_sub(1)?;
                }
                b',' | b':' if depth > 0 => {
                    self.rest = self.rest.get(1..)?;
                    continue;
                }
                _ => self.word()?,
            }
            if depth == 0 {
                return Some(());
            }
        }
    }
}
