//! One mistake in a text that an operator wrote, in the form in which routing files' mistakes are:
//! `path:LINE:COLUMN: error: …`. It repeats keys, never values, because values are secret here.

use std::fmt;

use jackfield_text::Untrusted;
use serde_saphyr::{Error as YamlError, Location};

/// As unlike as a misspelt key may be for it to be taken for the right one.
const MIN_SIMILARITY: f64 = 0.7;

/// One mistake in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What the text is called.
    pub path: String,
    /// From 1; 0 where nothing is known.
    pub line: u64,
    /// From 1; 0 where nothing is known.
    pub column: u64,
    /// What is wrong.
    pub message: String,
    /// What to do, if that is not plain from the message.
    pub help: Option<String>,
}

impl Problem {
    pub(crate) fn new(path: &str, place: Option<Location>, message: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            line: place.map_or(0, |place| place.line()),
            column: place.map_or(0, |place| place.column()),
            message: message.into(),
            help: None,
        }
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    pub(crate) fn yaml(path: &str, error: &YamlError) -> Self {
        let problem = |message: String| Self::new(path, error.location(), message);
        match error.without_snippet() {
            YamlError::SerdeUnknownField { field, expected, .. } => {
                problem(format!("unknown key `{field}`")).help(known(field, expected))
            }
            YamlError::SerdeInvalidValue { expected, .. }
            | YamlError::SerdeInvalidType { expected, .. } => {
                problem("this is not what belongs here".to_owned())
                    .help(format!("write {expected}"))
            }
            other => problem(without_place(other)),
        }
    }

    /// What is no YAML at all.
    pub(crate) fn broken_yaml(path: &str, error: &YamlError) -> Self {
        let message = format!("this is broken YAML: {}", without_place(error.without_snippet()));
        Self::new(path, error.location(), message)
    }

    pub(crate) fn json(path: &str, error: &serde_json::Error) -> Self {
        let message = match error.classify() {
            serde_json::error::Category::Data => "this is not what belongs here",
            _ => "this is not JSON",
        };
        let mut problem = Self::new(path, None, message);
        problem.line = u64::try_from(error.line()).unwrap_or(0);
        problem.column = u64::try_from(error.column()).unwrap_or(0);
        problem
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (path, message) = (Untrusted::new(&self.path), Untrusted::new(&self.message));
        match self.line {
            0 => write!(f, "{path}: error: {message}")?,
            line => write!(f, "{path}:{line}:{}: error: {message}", self.column)?,
        }
        match &self.help {
            Some(help) => write!(f, "\n  = help: {}", Untrusted::new(help)),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Problem {}

/// The place is said in front.
fn without_place(error: &YamlError) -> String {
    let mut text = error.to_string();
    if let Some(end) = text.rfind(" at line ") {
        text.truncate(end);
    }
    text
}

fn known(found: &str, expected: &[&str]) -> String {
    let near = expected
        .iter()
        .map(|name| (strsim::jaro_winkler(found, name), *name))
        .filter(|(likeness, _)| *likeness > MIN_SIMILARITY)
        .max_by(|a, b| a.0.total_cmp(&b.0));
    let known = expected.join(", ");
    match near {
        Some((_, name)) => format!("did you mean `{name}`? Known here: {known}"),
        None => format!("known here: {known}"),
    }
}
