//! Diagnosis: an error or warning about a file or setting, with its place, and its rendering.
//!
//! All crates that read such files create diagnoses. The host prints them or sends them to the
//! console. Paths, messages and lines quote untrusted text, so all of them are escaped and bounded:
//! a file can neither forge a diagnosis nor control the terminal.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use jackfield_text::Untrusted;

/// Maximum length of a message, or of help, in bytes.
const MAX_MESSAGE_BYTES: usize = 4 << 10;
/// Maximum context before and after the marked part of a line, in characters.
const MAX_CONTEXT_CHARS: usize = 120;
/// Maximum length of the marked part, in characters.
const MAX_MARKED_CHARS: usize = 200;

/// One problem: its place, a message, and help.
///
/// `Display` formats it for a terminal, beginning with `path:LINE:COLUMN: error: `.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnosis {
    /// The file, under the name in its `SourceFile` or `Files`.
    pub path: String,
    /// The line, counted from 1; 0 if there is none.
    pub line: usize,
    /// The column in characters, counted from 1.
    pub column: usize,
    /// The problem, without a full stop.
    pub message: String,
    /// The suggested fix.
    pub help: Option<String>,
    /// The affected line; `None` if the problem has no text (an unreadable file).
    pub snippet: Option<Box<Snippet>>,
}

/// Affected line of a [`Diagnosis`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snippet {
    /// The line without its end; of a long line, the part around the column.
    pub text: String,
    /// Number of characters of the line before `text`.
    pub skipped: usize,
    /// Number of marked characters, starting at the column; at least 1.
    pub width: usize,
}

/// Maximum number of problems reported at once. Reading stops soon after.
pub const MAX_PROBLEMS: usize = 1_000;

/// Text of a file, kept as long as problems in it may still be reported.
#[derive(Debug)]
pub struct Source {
    /// The path shown in problems.
    pub path: String,
    /// The whole text.
    pub text: String,
    /// Byte offset of each line. A site may have ten thousand routes in one file, each with its
    /// line; counting line breaks for each would take seconds.
    lines: Vec<usize>,
}

/// Byte range of a [`Source`].
#[derive(Debug, Clone)]
pub struct Place {
    /// The source.
    pub source: Arc<Source>,
    /// The range, in bytes.
    pub range: Range<usize>,
}

impl Diagnosis {
    /// Creates a problem of a whole file, such as an unreadable one.
    pub fn of_file(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            line: 1,
            column: 1,
            message: message.into(),
            help: None,
            snippet: None,
        }
    }

    /// Creates a problem of something without lines, such as an environment variable.
    pub fn without_place(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { line: 0, column: 0, ..Self::of_file(path, message) }
    }

    /// Formats it as a warning.
    pub fn warning(&self) -> impl fmt::Display + '_ {
        fmt::from_fn(|f| {
            let Self { message, help, .. } = self;
            write!(f, "{}warning: {}", self.place(), text(message))?;
            help.iter().try_for_each(|help| write!(f, "\n  = help: {}", text(help)))
        })
    }

    /// Formats `path:LINE:COLUMN: `, as far as known.
    fn place(&self) -> String {
        let Self { path, line, column, .. } = self;
        match (Untrusted::new(path), line) {
            (_, 0) if path.is_empty() => String::new(),
            (path, 0) => format!("{path}: "),
            (path, line) => format!("{path}:{line}:{column}: "),
        }
    }

    /// Creates a problem at a byte range of `text`. A range beyond the text means its end.
    pub fn at(path: &str, text: &str, range: Range<usize>, message: impl Into<String>) -> Self {
        let start = text.floor_char_boundary(range.start);
        let before = text.get(..start).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = before.matches('\n').count() + 1;
        Self::on_line(path, text, (line, line_start), start..range.end, message.into())
    }

    /// `number` and `line_start` belong to the line in which the range begins.
    fn on_line(
        path: &str,
        text: &str,
        (number, line_start): (usize, usize),
        range: Range<usize>,
        message: String,
    ) -> Self {
        let start = range.start;
        let line = text.get(line_start..).unwrap_or_default();
        let line = line.split(['\n', '\r']).next().unwrap_or_default();
        let column = text.get(line_start..start).unwrap_or_default().chars().count() + 1;
        let end = text.floor_char_boundary(range.end).min(line_start + line.len());
        let width = text.get(start..end).map_or(0, |meant| meant.chars().count());
        Self {
            path: path.to_owned(),
            line: number,
            column,
            message: shortened(message),
            help: None,
            snippet: Some(Box::new(snippet(
                line,
                start.saturating_sub(line_start),
                column,
                width.max(1),
            ))),
        }
    }

    /// Adds help.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(shortened(help.into()));
        self
    }
}

/// Cuts a line to the part around byte `at`, which is at `column`. A file of megabytes may be one
/// line, with a problem in each word.
fn snippet(line: &str, at: usize, column: usize, width: usize) -> Snippet {
    let (before, after) = line.split_at_checked(at).unwrap_or((line, ""));
    let context = before.char_indices().rev().take(MAX_CONTEXT_CHARS);
    let from = context.last().map_or(before.len(), |(from, _)| from);
    let room = width.min(MAX_MARKED_CHARS) + MAX_CONTEXT_CHARS + 1;
    let end = after.char_indices().nth(room).map_or(after.len(), |(end, _)| end);
    let (kept, rest) =
        (before.get(from..).unwrap_or_default(), after.get(..end).unwrap_or_default());
    let skipped = column.saturating_sub(1).saturating_sub(kept.chars().count());
    Snippet { text: [kept, rest].concat(), skipped, width }
}

/// Truncates a message or help to [`MAX_MESSAGE_BYTES`]: it may quote megabytes of text.
fn shortened(mut text: String) -> String {
    if text.len() > MAX_MESSAGE_BYTES {
        text.truncate(text.floor_char_boundary(MAX_MESSAGE_BYTES));
        text.push('…');
    }
    text
}

/// Sorts by file, in the order of `files`, then by line and column.
pub fn in_order(diagnoses: &mut [Diagnosis], files: &[String]) {
    let position = |path: &str| files.iter().position(|file| file == path);
    diagnoses.sort_by_key(|it| (position(&it.path), it.line, it.column));
}

impl Source {
    /// Creates a source; problems show `path`.
    pub fn new(path: String, text: String) -> Self {
        let breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        let lines = std::iter::once(0).chain(breaks.map(|(at, _)| at + 1)).collect();
        Self { path, text, lines }
    }
}

impl Place {
    /// Creates a place from a byte range.
    pub fn new(source: &Arc<Source>, range: Range<usize>) -> Self {
        Self { source: Arc::clone(source), range }
    }

    /// Creates a problem at this place.
    pub fn problem(&self, message: impl Into<String>) -> Diagnosis {
        let Source { path, text, lines } = &*self.source;
        let start = text.floor_char_boundary(self.range.start);
        let number = lines.partition_point(|line| *line <= start);
        let line_start = lines.get(number.saturating_sub(1)).copied().unwrap_or(0);
        let range = start..self.range.end;
        Diagnosis::on_line(path, text, (number, line_start), range, message.into())
    }

    /// Returns the line and column, both counted from 1.
    pub fn position(&self) -> (usize, usize) {
        let at = self.problem("");
        (at.line, at.column)
    }
}

impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, column, message, help, snippet, .. } = self;
        write!(f, "{}error: {}", self.place(), text(message))?;
        let margin = line.to_string().len();
        if let Some(snippet) = snippet {
            let (text, marks) = snippet.shown(*column);
            write!(f, "\n{:margin$} |\n{line} | {text}\n{:margin$} | {marks}", "", "")?;
        }
        if let Some(help) = help {
            write!(f, "\n{:margin$} = help: {}", "", text(help))?;
        }
        Ok(())
    }
}

impl Snippet {
    /// Returns the line, cut to the part around the column, and the carets below it.
    fn shown(&self, column: usize) -> (String, String) {
        let chars = || self.text.chars();
        let start = column.saturating_sub(1).saturating_sub(self.skipped);
        let end = start + self.width;
        let part = |from: usize, count: usize| {
            let part: String = chars().skip(from).take(count).collect();
            // A tab is the only control character that files contain on purpose.
            Untrusted::new(part).at_most(usize::MAX).with_lines().to_string()
        };
        let ellipsis = |is_cut: bool| if is_cut { "…" } else { "" };
        let before = ellipsis(self.skipped > 0).to_owned() + &part(0, start);
        let marked = part(start, self.width.min(MAX_MARKED_CHARS));
        let after = if self.width > MAX_MARKED_CHARS {
            "…".to_owned()
        } else {
            part(end, MAX_CONTEXT_CHARS) + ellipsis(chars().count() > end + MAX_CONTEXT_CHARS)
        };
        // Tabs before the column are repeated below, so that the caret stays under its text.
        let indent: String = before.chars().map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
        let carets = "^".repeat(marked.chars().count().max(1));
        (before + &marked + &after, indent + &carets)
    }
}

fn text(text: &str) -> impl fmt::Display {
    Untrusted::new(text).at_most(MAX_MESSAGE_BYTES)
}

impl std::error::Error for Diagnosis {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_text_of_files() {
        let hostile = "\u{1b}[31mx\nsite/x.yml:1:1: error: forged\u{202e}";
        let line = "a: \u{9b}31m\u{2028} # \u{1b}]0;x\u{7}";
        let diagnosis = Diagnosis::at(hostile, line, 3..7, hostile).with_help(hostile);
        let shown = diagnosis.to_string() + "\n" + &diagnosis.warning().to_string();
        assert!(shown.chars().all(|c| c == '\n' || jackfield_text::is_printable(c)), "{shown}");
        assert!(!shown.contains("\nsite/x.yml"), "{shown}");
    }

    #[test]
    fn shows_a_part_of_a_long_line() {
        let line = format!("{}\tkey: {}", "a".repeat(1 << 20), "b".repeat(1 << 20));
        let diagnosis = Diagnosis::at("x.yml", &line, (1 << 20) + 1..(1 << 20) + 4, "no such key");
        let shown = diagnosis.to_string();
        let a = "a".repeat(119);
        let marks = format!("…{a}\tkey: {}…", "b".repeat(118));
        let carets = format!("{}\t^^^", " ".repeat(120));
        let expect = format!("x.yml:1:1048578: error: no such key\n  |\n1 | {marks}\n  | {carets}");
        assert_eq!(shown, expect);
        let long = Diagnosis::at("x.yml", &line, 0..line.len(), "x".repeat(3 << 20));
        assert!(long.to_string().len() < 6_000);
    }
}
