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
    help: Option<String>,
    evidence: Box<Evidence>,
}

/// The messages of a failed expectation.
#[derive(Clone, Debug, Default, PartialEq)]
struct Evidence {
    expected: Option<String>,
    actual: Option<String>,
    /// The first difference between them.
    difference: Option<String>,
    /// The line at which the actual message arrived; 0 if unknown.
    line: usize,
}

impl Failure {
    pub(super) fn new(range: Range<usize>, message: impl Into<String>) -> Self {
        Self { range, message: message.into(), help: None, evidence: Box::default() }
    }

    #[must_use]
    pub(super) fn with_help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }

    #[must_use]
    pub(super) fn with_expected(mut self, expected: String) -> Self {
        self.evidence.expected = Some(expected);
        self
    }

    #[must_use]
    pub(super) fn with_actual(mut self, actual: String) -> Self {
        self.evidence.actual = Some(actual);
        self
    }

    #[must_use]
    pub(super) fn with_line(mut self, line: usize) -> Self {
        self.evidence.line = line;
        self
    }

    #[must_use]
    pub(super) fn with_difference(mut self, difference: &Difference) -> Self {
        let Difference { path, expected, actual } = difference;
        let shown = |value: &Option<Value>| {
            let text = value.as_ref().map_or_else(|| "nothing".to_owned(), ToString::to_string);
            Untrusted::new(text).at_most(MAX_SHOWN_BYTES / 8).to_string()
        };
        let (expected, actual) = (shown(expected), shown(actual));
        self.evidence.difference = Some(format!("{path}: expected {expected}, found {actual}"));
        self
    }

    /// Returns it for a terminal, beginning with `path:LINE:COLUMN: error: `.
    pub(crate) fn shown(&self, script: &Source) -> String {
        let Evidence { expected, actual, difference, line: arrived } = &*self.evidence;
        let mut text = self.diagnosis(script).to_string();
        let mut line = |name: &str, value: &Option<String>| {
            if let Some(value) = value {
                let value = Untrusted::new(value).at_most(MAX_SHOWN_BYTES);
                // Writing to a string cannot fail.
                let _written = write!(text, "\n  {name:<9} {value}");
            }
        };
        line("expected", expected);
        line("actual", actual);
        line("differs", &difference.clone().filter(|_| self.is_long()));
        line("arrived", &(*arrived > 0).then(|| format!("at line {arrived}")));
        if let Some(help) = &self.help {
            let _written = write!(text, "\n  = help: {}", Untrusted::new(help));
        }
        text
    }

    pub(crate) fn json(&self, script: &Source) -> Json {
        let Diagnosis { line, column, .. } = self.diagnosis(script);
        let Evidence { expected, actual, difference, line: arrived } = &*self.evidence;
        let mut object = Map::new();
        object.insert("line".to_owned(), line.into());
        object.insert("column".to_owned(), column.into());
        let mut insert = |key: &str, value: Option<&String>| {
            if let Some(value) = value {
                object.insert(key.to_owned(), Json::from(value.as_str()));
            }
        };
        insert("message", Some(&self.message));
        insert("expected", expected.as_ref());
        insert("actual", actual.as_ref());
        insert("difference", difference.as_ref());
        insert("help", self.help.as_ref());
        if *arrived > 0 {
            object.insert("arrived_at_line".to_owned(), (*arrived).into());
        }
        Json::Object(object)
    }

    /// Returns whether the difference is hard to see in the messages.
    fn is_long(&self) -> bool {
        let length = |part: &Option<String>| part.as_ref().map_or(0, String::len);
        let Evidence { expected, actual, .. } = &*self.evidence;
        length(expected).max(length(actual)) > MIN_DIFFERENCE_BYTES
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
