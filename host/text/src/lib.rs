//! Output escaping of untrusted text (from plugins, clients, files and other servers) for logs,
//! error messages and terminals.
//!
//! Untrusted text must not forge lines, send control codes to a terminal, reorder neighbouring text
//! or fill the disk. [`Untrusted`] shows it on one line of bounded length; every error and
//! diagnosis wraps its quotations in `Untrusted`. [`Terminal`] and [`json`] guard the output of
//! commands. Pure: no I/O of its own.

mod shell;
mod terminal;

use std::borrow::Cow;
use std::fmt::{self, Write as _};

pub use shell::shell_word;
pub use terminal::Terminal;

/// Default number of bytes shown of an untrusted text.
pub const MAX_SHOWN_BYTES: usize = 1024;

/// An untrusted text, shown on one line of bounded length.
///
/// Line breaks, control characters and characters that reorder or hide others are written as Rust
/// writes them: `\n`, `\u{1b}`, `\u{202e}`. All other characters are unchanged.
#[derive(Clone, Copy, Debug)]
pub struct Untrusted<T> {
    text: T,
    max_bytes: usize,
    keeps_lines: bool,
}

impl<T: fmt::Display> Untrusted<T> {
    /// Shows at most [`MAX_SHOWN_BYTES`] of the text.
    pub const fn new(text: T) -> Self {
        Self { text, max_bytes: MAX_SHOWN_BYTES, keeps_lines: false }
    }

    /// Shows at most `max_bytes` of the text.
    #[must_use]
    pub fn at_most(self, max_bytes: usize) -> Self {
        Self { max_bytes, ..self }
    }

    /// Keeps line breaks and tabs, for a text with lines of our own whose quotations are already
    /// escaped.
    #[must_use]
    pub fn with_lines(self) -> Self {
        Self { keeps_lines: true, ..self }
    }
}

impl<T: fmt::Display> fmt::Display for Untrusted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { max_bytes, keeps_lines, .. } = *self;
        let mut escaped = Escaped { out: &mut *f, left: max_bytes, cut: 0, keeps_lines };
        write!(escaped, "{}", self.text)?;
        match escaped.cut {
            0 => Ok(()),
            cut => write!(f, "… ({cut} more bytes left out)"),
        }
    }
}

/// Escapes text up to a maximum length.
struct Escaped<'a, W> {
    out: &'a mut W,
    left: usize,
    /// Bytes beyond the maximum.
    cut: usize,
    keeps_lines: bool,
}

impl<W: fmt::Write> fmt::Write for Escaped<'_, W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = if self.cut > 0 { 0 } else { text.floor_char_boundary(self.left) };
        let (shown, cut) = text.split_at(end);
        self.left -= shown.len();
        self.cut += cut.len();
        escape(self.out, shown, self.keeps_lines)
    }
}

/// Writes the escaped text, printable runs at once.
fn escape(out: &mut impl fmt::Write, text: &str, keeps_lines: bool) -> fmt::Result {
    let is_kept = |c: char| is_printable(c) || (keeps_lines && matches!(c, '\n' | '\t'));
    let mut rest = text;
    while let Some((at, c)) = rest.char_indices().find(|&(_, c)| !is_kept(c)) {
        let (run, from) = rest.split_at(at);
        out.write_str(run)?;
        write!(out, "{}", c.escape_default())?;
        rest = from.get(c.len_utf8()..).unwrap_or_default();
    }
    out.write_str(rest)
}

/// Returns whether the character is shown unescaped. Escaped are C0 and C1 controls, line and
/// paragraph separators, characters that set the text direction (Unicode Standard Annex 9), and
/// characters with invisible content (byte order marks, annotations, tags).
pub const fn is_printable(c: char) -> bool {
    !matches!(
        c,
        '\u{0}'..='\u{1f}'
            | '\u{7f}'..='\u{9f}'
            | '\u{61c}'
            | '\u{200e}'
            | '\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}'
    )
}

/// JSON on one printable line: the same value, with every unprintable character as `\uXXXX`.
/// Serializers escape C0 controls only, and foreign JSON may have line breaks between tokens.
pub fn json(text: &str) -> Cow<'_, str> {
    if text.chars().all(is_printable) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            // Unescaped, they separate tokens.
            '\n' | '\r' | '\t' => escaped.push(' '),
            c if is_printable(c) => escaped.push(c),
            c => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    // Writing to a string cannot fail.
                    let _written = write!(escaped, "\\u{unit:04x}");
                }
            }
        }
    }
    Cow::Owned(escaped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expect: &str) {
        assert_eq!(Untrusted::new(text).to_string(), expect);
    }

    #[test]
    fn shows_ordinary_text_as_it_is() {
        check("", "");
        check("as it is, été, 漢字, \u{1f600}", "as it is, été, 漢字, \u{1f600}");
        check(r"Acme\Entity\Order", r"Acme\Entity\Order");
    }

    #[test]
    fn escapes_line_breaks_and_terminal_codes() {
        check("\u{1b}[31mx\nsite/x.yml:1:1: error", r"\u{1b}[31mx\nsite/x.yml:1:1: error");
        check("a\r\n\tb\0", r"a\r\n\tb\u{0}");
        check("\u{7f}\u{9b}31m\u{85}", r"\u{7f}\u{9b}31m\u{85}");
        check("\u{202e}\u{2066}\u{2028}\u{2029}", r"\u{202e}\u{2066}\u{2028}\u{2029}");
        check("a\u{feff}\u{e0041}\u{fff9}\u{200f}", r"a\u{feff}\u{e0041}\u{fff9}\u{200f}");
    }

    /// The vectors that the console's escaping in JavaScript is tested against, too.
    #[test]
    fn escapes_the_shared_vectors() {
        let text = |points: &str| -> String {
            let parsed = points.split_whitespace().map(|it| u32::from_str_radix(it, 16).unwrap());
            parsed.map(|it| char::from_u32(it).unwrap()).collect()
        };
        let mut escaped = vec![false; 0x11_0000];
        for row in include_str!("../vectors.tsv").lines().filter(|row| !row.starts_with('#')) {
            match row.split('\t').collect::<Vec<_>>()[..] {
                ["range", first, last] => {
                    let [first, last] =
                        [first, last].map(|it| usize::from_str_radix(it, 16).unwrap());
                    escaped[first..=last].fill(true);
                }
                ["text", input, expect, with_lines] => {
                    check(&text(input), &text(expect));
                    let shown = Untrusted::new(text(input)).with_lines().to_string();
                    assert_eq!(shown, text(with_lines));
                }
                _ => panic!("{row}"),
            }
        }
        for c in '\0'..=char::MAX {
            let code = usize::try_from(u32::from(c)).unwrap();
            assert_eq!(is_printable(c), !escaped[code], "{c:?}");
        }
    }

    #[test]
    fn bounds_the_length_and_counts_the_rest() {
        let cut = |text: &str, max: usize| Untrusted::new(text).at_most(max).to_string();
        assert_eq!(cut("abc", 3), "abc");
        assert_eq!(cut("abcd", 3), "abc… (1 more bytes left out)");
        assert_eq!(cut("éé", 3), "é… (2 more bytes left out)");
        let parts = Untrusted::new(format_args!("{}{}", "éé", "a")).at_most(3).to_string();
        assert_eq!(parts, "é… (3 more bytes left out)", "nothing is shown after the cut");
        let long = "x".repeat(3 << 20);
        assert!(Untrusted::new(long).to_string().len() < MAX_SHOWN_BYTES + 48);
    }

    #[test]
    fn keeps_lines_where_they_are_ours() {
        let shown = Untrusted::new("a\n\tb\u{1b}").with_lines().to_string();
        assert_eq!(shown, "a\n\tb\\u{1b}");
    }

    #[test]
    fn prints_json_on_one_line() {
        let check = |text: &str, expect: &str| assert_eq!(json(text), expect);
        check(r#"{"a":"b"}"#, r#"{"a":"b"}"#);
        check("[1,\n\t2]", "[1,  2]");
        check("\"\u{9b}\u{202e}\u{7f}\u{2028}\"", r#""\u009b\u202e\u007f\u2028""#);
        check("\"\u{e0041}é\"", r#""\udb40\udc41é""#);
    }
}
