//! Terminal writer: writes lines and escapes control codes.

use std::io::{self, Write};

use crate::escape;

/// Escapes all control codes except line breaks and tabs: the last guard of a command's output. It
/// cannot detect forged lines, so quotations are escaped earlier.
#[derive(Debug)]
pub struct Terminal<W> {
    out: W,
    /// An incomplete UTF-8 character, at most three bytes.
    partial: Vec<u8>,
}

impl<W: Write> Terminal<W> {
    /// Wraps a writer.
    pub const fn new(out: W) -> Self {
        Self { out, partial: Vec::new() }
    }

    fn show(&mut self, text: &str) -> io::Result<()> {
        let mut shown = String::with_capacity(text.len());
        // Writing to a string cannot fail.
        let _written = escape(&mut shown, text, true);
        self.out.write_all(shown.as_bytes())
    }
}

impl<W: Write> Write for Terminal<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut all = std::mem::take(&mut self.partial);
        all.extend_from_slice(bytes);
        let mut rest = all.as_slice();
        loop {
            match std::str::from_utf8(rest) {
                Ok(text) => {
                    self.show(text)?;
                    return Ok(bytes.len());
                }
                Err(error) => {
                    let (good, bad) = rest.split_at(error.valid_up_to());
                    self.show(str::from_utf8(good).unwrap_or_default())?;
                    let Some(length) = error.error_len() else {
                        bad.clone_into(&mut self.partial);
                        return Ok(bytes.len());
                    };
                    self.show("\u{fffd}")?;
                    rest = bad.get(length..).unwrap_or_default();
                }
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pieces: &[&[u8]], expect: &str) {
        let mut terminal = Terminal::new(Vec::new());
        for piece in pieces {
            terminal.write_all(piece).unwrap();
        }
        assert_eq!(String::from_utf8(terminal.out).unwrap(), expect);
    }

    #[test]
    fn passes_lines_and_removes_codes() {
        check(&[b"a\tb\n", "é\n".as_bytes()], "a\tb\né\n");
        check(&[b"\x1b[2J\r\n\x00"], "\\u{1b}[2J\\r\n\\u{0}");
        check(&["\u{9b}\u{202e}".as_bytes()], "\\u{9b}\\u{202e}");
    }

    #[test]
    fn joins_characters_split_across_writes() {
        check(&[b"a\xc3", b"\xa9b"], "aéb");
        check(&[b"\xc2", b"\x9b"], "\\u{9b}");
        check(&[b"\xff\xc3(", b"x"], "\u{fffd}\u{fffd}(x");
    }
}
