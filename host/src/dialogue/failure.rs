//! Failures of a script, and their rendering.

use std::fmt::Write as _;
use std::ops::Range;

use jackfield_text::Untrusted;
use jackfield_yaml::{Diagnosis, Source};
use serde_json::{Map, Value as Json};

use super::cursor::SyntaxError;
use super::pattern::Difference;
use super::value::Value;

/// The maximum size of a shown message.
const MAX_SHOWN_BYTES: usize = 2 << 10;
/// The size of messages above which a difference is worth a line.
const MIN_DIFFERENCE_BYTES: usize = 60;

/// The reason why a script has failed, at a range of its text.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Failure {
    range: Range<usize>,
    message: String,
    expected: Option<String>,
    actual: Option<String>,
    /// The first difference between them.
    difference: Option<String>,
    /// The line at which the actual message arrived; 0 if unknown.
    line: usize,
    help: Option<String>,
}

impl Failure {
    pub(super) fn new(range: Range<usize>, message: impl Into<String>) -> Self {
        let (expected, actual, difference, help) = (None, None, None, None);
        Self { range, message: message.into(), expected, actual, difference, line: 0, help }
    }

    #[must_use]
    pub(super) fn with_expected(self, expected: String) -> Self {
        Self { expected: Some(expected), ..self }
    }

    #[must_use]
    pub(super) fn with_actual(self, actual: String) -> Self {
        Self { actual: Some(actual), ..self }
    }

    #[must_use]
    pub(super) fn with_line(self, line: usize) -> Self {
        Self { line, ..self }
    }

    #[must_use]
    pub(super) fn with_difference(self, difference: &Difference) -> Self {
        let Difference { path, expected, actual } = difference;
        let shown = |value: &Option<Value>| {
            value.as_ref().map_or_else(|| "nothing".to_owned(), ToString::to_string)
        };
        let (expected, actual) = (shown(expected), shown(actual));
        let text = |it: &String| Untrusted::new(it).at_most(MAX_SHOWN_BYTES / 8).to_string();
        let text = format!("{path}: expected {}, found {}", text(&expected), text(&actual));
        Self { difference: Some(text), ..self }
    }

    #[must_use]
    pub(super) fn with_help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }

    /// Returns it for a terminal, beginning with `path:LINE:COLUMN: error: `.
    pub(crate) fn shown(&self, script: &Source) -> String {
        let mut text = self.diagnosis(script).to_string();
        let mut line = |name: &str, value: &Option<String>| {
            if let Some(value) = value {
                let value = Untrusted::new(value).at_most(MAX_SHOWN_BYTES);
                // Writing to a string cannot fail.
                let _written = write!(text, "\n  {name:<9} {value}");
            }
        };
        line("expected", &self.expected);
        line("actual", &self.actual);
        line("differs", &self.difference.clone().filter(|_| self.is_long()));
        line("arrived", &(self.line > 0).then(|| format!("at line {}", self.line)));
        if let Some(help) = &self.help {
            let _written = write!(text, "\n  = help: {}", Untrusted::new(help));
        }
        text
    }

    pub(crate) fn json(&self, script: &Source) -> Json {
        let Diagnosis { line, column, .. } = self.diagnosis(script);
        let mut object = Map::new();
        object.insert("line".to_owned(), line.into());
        object.insert("column".to_owned(), column.into());
        let mut insert = |key: &str, value: Option<&String>| {
            if let Some(value) = value {
                object.insert(key.to_owned(), Json::from(value.as_str()));
            }
        };
        insert("message", Some(&self.message));
        insert("expected", self.expected.as_ref());
        insert("actual", self.actual.as_ref());
        insert("difference", self.difference.as_ref());
        insert("help", self.help.as_ref());
        if self.line > 0 {
            object.insert("arrived_at_line".to_owned(), self.line.into());
        }
        Json::Object(object)
    }

    /// Returns whether the difference is hard to see in the messages.
    fn is_long(&self) -> bool {
        let length = |part: &Option<String>| part.as_ref().map_or(0, String::len);
        length(&self.expected).max(length(&self.actual)) > MIN_DIFFERENCE_BYTES
    }

    fn diagnosis(&self, script: &Source) -> Diagnosis {
        Diagnosis::at(&script.path, &script.text, self.range.clone(), self.message.as_str())
    }
}

impl From<SyntaxError> for Failure {
    fn from(error: SyntaxError) -> Self {
        let SyntaxError { range, message, help } = error;
        Self { help, ..Self::new(range, message) }
    }
}
