//! A problem of a routing file, with its place, and how it is shown to people.
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
    /// The line, counted from 1.
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

    /// A problem at a range of bytes of `text`. A range beyond the text means its end.
    pub fn at(path: &str, text: &str, range: Range<usize>, message: impl Into<String>) -> Self {
        let start = floor(text, range.start);
        let before = text.get(..start).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = text.get(line_start..).unwrap_or_default();
        let line = line.split(['\n', '\r']).next().unwrap_or_default();
        let column = text.get(line_start..start).unwrap_or_default().chars().count() + 1;
        let end = floor(text, range.end).min(line_start + line.len());
        let width = text.get(start..end).map_or(0, |meant| meant.chars().count());
        Self {
            path: path.to_owned(),
            line: before.matches('\n').count() + 1,
            column,
            message: message.into(),
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

impl Place {
    pub(crate) fn new(source: &Arc<Source>, range: Range<usize>) -> Self {
        Self { source: Arc::clone(source), range }
    }

    pub(crate) fn problem(&self, message: impl Into<String>) -> Diagnosis {
        Diagnosis::at(&self.source.path, &self.source.text, self.range.clone(), message)
    }

    /// Line and column, both counted from 1.
    pub(crate) fn position(&self) -> (usize, usize) {
        let at = self.problem("");
        (at.line, at.column)
    }
}

impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, line, column, message, help, snippet } = self;
        write!(f, "{path}:{line}:{column}: error: {message}")?;
        let margin = line.to_string().len();
        if let Some(Snippet { text, width }) = snippet {
            // A tab before the column is repeated below it, so that the caret stays under its text.
            let indent: String =
                text.chars().take(column - 1).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
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

/// The nearest start of a character at or before `at`.
fn floor(text: &str, at: usize) -> usize {
    text.floor_char_boundary(at)
}
