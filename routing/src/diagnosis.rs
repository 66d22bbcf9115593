//! A problem of a file that people write, with its place, and how it is shown to them.
//!
//! Every module that reads files makes these; the host prints them or sends them to the console.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// One problem: where it is, what is wrong, what to do.
///
/// Its `Display` is meant for a terminal and begins with `path:LINE:COLUMN: error: `.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnosis {
    /// The file, as its `SourceFile` or `Files` named it.
    pub path: String,
    /// The line, counted from 1; 0 where there is none to name.
    pub line: usize,
    /// The column in characters, counted from 1.
    pub column: usize,
    /// What is wrong, without a full stop.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
    /// The line that the problem is on; absent where the problem has no text (an unreadable file).
    pub snippet: Option<Snippet>,
}

/// The offending line of a [`Diagnosis`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snippet {
    /// The whole line, without its end.
    pub text: String,
    /// How many characters from the column on are meant; at least 1.
    pub width: usize,
}

/// One text that was read, kept as long as a route of it may still be complained about.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) path: String,
    pub(crate) text: String,
    /// Where each line begins. A site may have ten thousand routes in one file, and each knows its
    /// line; counting line breaks for each would take seconds.
    lines: Vec<usize>,
}

/// A range of bytes of a [`Source`].
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) source: Arc<Source>,
    pub(crate) range: Range<usize>,
}

impl Diagnosis {
    /// A problem of a whole file, such as one that cannot be read.
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

    /// A problem of something that has no lines, such as a variable of the environment.
    pub fn without_place(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { line: 0, column: 0, ..Self::of_file(path, message) }
    }

    /// The same, as it is shown of what is merely odd.
    pub fn warning(&self) -> impl fmt::Display + '_ {
        fmt::from_fn(|f| {
            let Self { message, help, .. } = self;
            write!(f, "{}warning: {message}", self.place())?;
            help.iter().try_for_each(|help| write!(f, "\n  = help: {help}"))
        })
    }

    /// `path:LINE:COLUMN: `, as far as it is known.
    fn place(&self) -> String {
        let Self { path, line, column, .. } = self;
        match (path.as_str(), line) {
            ("", 0) => String::new(),
            (path, 0) => format!("{path}: "),
            (path, line) => format!("{path}:{line}:{column}: "),
        }
    }

    /// A problem at a range of bytes of `text`. A range beyond the text means its end.
    pub fn at(path: &str, text: &str, range: Range<usize>, message: impl Into<String>) -> Self {
        let start = text.floor_char_boundary(range.start);
        let before = text.get(..start).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = before.matches('\n').count() + 1;
        Self::on_line(path, text, (line, line_start), start..range.end, message.into())
    }

    /// `line` is the number and the beginning of the line in which the range begins.
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
            message,
            help: None,
            snippet: Some(Snippet { text: line.to_owned(), width: width.max(1) }),
        }
    }

    /// The same problem, with advice.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// Sorts as people read: the files in their order, and each from its top.
pub(crate) fn in_order(diagnoses: &mut [Diagnosis], files: &[String]) {
    let position = |path: &str| files.iter().position(|file| file == path);
    diagnoses.sort_by_key(|it| (position(&it.path), it.line, it.column));
}

impl Source {
    pub(crate) fn new(path: String, text: String) -> Self {
        let breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        let lines = std::iter::once(0).chain(breaks.map(|(at, _)| at + 1)).collect();
        Self { path, text, lines }
    }
}

impl Place {
    pub(crate) fn new(source: &Arc<Source>, range: Range<usize>) -> Self {
        Self { source: Arc::clone(source), range }
    }

    pub(crate) fn problem(&self, message: impl Into<String>) -> Diagnosis {
        let Source { path, text, lines } = &*self.source;
        let start = text.floor_char_boundary(self.range.start);
        let number = lines.partition_point(|line| *line <= start);
        let line_start = lines.get(number.saturating_sub(1)).copied().unwrap_or(0);
        let range = start..self.range.end;
        Diagnosis::on_line(path, text, (number, line_start), range, message.into())
    }

    /// Line and column, both counted from 1.
    pub(crate) fn position(&self) -> (usize, usize) {
        let at = self.problem("");
        (at.line, at.column)
    }
}

impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, column, message, help, snippet, .. } = self;
        write!(f, "{}error: {message}", self.place())?;
        let margin = line.to_string().len();
        if let Some(Snippet { text, width }) = snippet {
            // A tab before the column is repeated below it, so that the caret stays under its text.
            let indent: String = text
                .chars()
                .take(column.saturating_sub(1))
                .map(|c| if c == '\t' { '\t' } else { ' ' })
                .collect();
            let carets = "^".repeat(*width);
            write!(f, "\n{:margin$} |\n{line} | {text}\n{:margin$} | {indent}{carets}", "", "")?;
        }
        if let Some(help) = help {
            write!(f, "\n{:margin$} = help: {help}", "")?;
        }
        Ok(())
    }
}

impl std::error::Error for Diagnosis {}
