//! Cursor over the text of a script: words, comments and their places. `json` reads values with it.

use std::ops::Range;

mod json;

/// The maximum size of a variable's name.
const MAX_NAME_BYTES: usize = 64;

/// An error in the text, at a range of bytes.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct SyntaxError {
    pub(super) range: Range<usize>,
    pub(super) message: String,
    pub(super) help: Option<String>,
}

/// The use of a value, which decides which patterns it may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// Sent by a client: JSON and variables.
    Send,
    /// Expected by a client: all patterns.
    Expect,
    /// Received: JSON alone.
    Message,
}

/// A position in a text.
#[derive(Clone, Debug)]
pub(super) struct Cursor<'t> {
    text: &'t str,
    at: usize,
}

impl SyntaxError {
    pub(super) fn new(range: Range<usize>, message: impl Into<String>) -> Self {
        Self { range, message: message.into(), help: None }
    }

    #[must_use]
    pub(super) fn with_help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }
}

impl<'t> Cursor<'t> {
    pub(super) const fn new(text: &'t str) -> Self {
        Self { text, at: 0 }
    }

    /// Returns the offset in bytes.
    pub(super) const fn offset(&self) -> usize {
        self.at
    }

    pub(super) fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    /// Returns an error at the next character.
    pub(super) fn error(&self, message: impl Into<String>) -> SyntaxError {
        SyntaxError::new(self.at..self.at + self.peek().map_or(0, char::len_utf8), message)
    }

    /// Skips spaces and tabs, and a comment: `#` after a space or at the beginning of a line.
    pub(super) fn skip_blanks(&mut self) {
        let is_blank = |c: char| matches!(c, ' ' | '\t' | '\r');
        let trimmed = self.rest().trim_start_matches(is_blank);
        let is_apart = trimmed.len() < self.rest().len() || self.is_line_start();
        self.at = self.text.len() - trimmed.len();
        if is_apart && trimmed.starts_with('#') {
            self.at += trimmed.find('\n').unwrap_or(trimmed.len());
        }
    }

    /// Skips the rest of the line, and its end.
    pub(super) fn skip_line(&mut self) {
        let rest = self.rest();
        self.at += rest.find('\n').map_or(rest.len(), |at| at + 1);
    }

    /// Returns whether the line ends here.
    pub(super) fn is_line_end(&self) -> bool {
        matches!(self.peek(), None | Some('\n'))
    }

    pub(super) fn is_end(&self) -> bool {
        self.at >= self.text.len()
    }

    /// Reads the characters up to the next space or the end of the line; empty at the end.
    pub(super) fn word(&mut self) -> (&'t str, Range<usize>) {
        let rest = self.rest();
        let end = rest.find(|c: char| c.is_ascii_whitespace()).unwrap_or(rest.len());
        let range = self.at..self.at + end;
        self.at = range.end;
        (rest.get(..end).unwrap_or_default(), range)
    }

    /// Skips spaces, line breaks and comments within brackets.
    fn skip_space(&mut self) {
        loop {
            self.skip_blanks();
            if self.peek() != Some('\n') {
                return;
            }
            self.at += 1;
        }
    }

    fn is_line_start(&self) -> bool {
        self.text.get(..self.at).is_none_or(|before| before.is_empty() || before.ends_with('\n'))
    }

    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }
}

/// Returns whether a text may name a client or a variable.
pub(super) fn is_name(text: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    text.len() <= MAX_NAME_BYTES
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(is_part)
}
