//! Errors of single values, not yet rendered: a value may be a secret.
//!
//! For settings, the key decides whether a value is shown. [`ValueError::redacted`] never shows
//! one.

use std::fmt;

use serde_core::de::{self, Unexpected};

use crate::diagnosis::Diagnosis;
use crate::suggest;
use crate::value::{Origin, Path, Step, Value};

/// Error of one value.
#[derive(Clone, Debug)]
pub struct ValueError {
    /// The keys that lead to the value.
    pub path: Path,
    /// The place of the value; `None` until known.
    pub origin: Option<Origin>,
    /// The message.
    pub message: Message,
    /// The suggested fix.
    pub help: Option<String>,
}

/// Message of a [`ValueError`].
#[derive(Clone, Debug)]
pub enum Message {
    /// A complete sentence.
    Plain(String),
    /// A sentence that quotes the value, and one without the value for secret settings.
    Value(String, &'static str),
    /// The expected and the found kind, for a sentence that names the key.
    Kind(String, &'static str),
}

impl ValueError {
    /// Creates an error without a place.
    pub fn new(message: Message, help: Option<String>) -> Self {
        Self { path: Path::default(), origin: None, message, help }
    }

    /// Creates an error of the value at these keys, separated by dots. An empty `help` is none.
    pub fn at(path: &str, message: String, help: &str) -> Self {
        let steps = path.split('.').filter(|key| !key.is_empty()).map(|key| match key.parse() {
            Ok(number) => Step::Element(number),
            Err(_) => Step::Key(key.to_owned()),
        });
        let path = Path(steps.collect());
        let help = Some(help.to_owned()).filter(|help| !help.is_empty());
        Self { path, ..Self::new(Message::Plain(message), help) }
    }

    /// Creates an error of a value of the wrong kind.
    pub fn kind(belongs: &str, found: &Value, help: Option<String>) -> Self {
        Self::new(Message::Kind(belongs.to_owned(), found.what()), help)
    }

    /// Renders the error without any value or line, for files that hold secrets.
    pub fn redacted(&self, path: &str, text: &str) -> Diagnosis {
        let key = self.path.to_string();
        let message = match &self.message {
            Message::Plain(text) => text.clone(),
            Message::Value(_, text) if key.is_empty() => (*text).to_owned(),
            Message::Value(_, text) => format!("`{key}`: {text}"),
            Message::Kind(belongs, found) if key.is_empty() => {
                format!("the file takes {belongs}, not {found}")
            }
            Message::Kind(belongs, found) => format!("`{key}` takes {belongs}, not {found}"),
        };
        let diagnosis = match &self.origin {
            Some(Origin::File(range)) => Diagnosis::at(path, text, range.clone(), message),
            Some(Origin::Set(name)) => Diagnosis::without_place(&**name, message),
            None => Diagnosis::without_place(path, message),
        };
        Diagnosis { snippet: None, help: self.help.clone(), ..diagnosis }
    }

    /// Prepends the step from the enclosing value; called from the innermost value outwards.
    pub(crate) fn inside(mut self, step: Step, origin: &Origin) -> Self {
        self.path.0.insert(0, step);
        self.origin.get_or_insert_with(|| origin.clone());
        self
    }
}

/// The second line of a text, if any, is its help.
impl de::Error for ValueError {
    fn custom<T: fmt::Display>(text: T) -> Self {
        let text = text.to_string();
        match text.split_once('\n') {
            Some((message, help)) => {
                Self::new(Message::Plain(message.to_owned()), Some(help.to_owned()))
            }
            None => Self::new(Message::Plain(text), None),
        }
    }

    fn invalid_type(unexpected: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        let found = match unexpected {
            Unexpected::Unit | Unexpected::Option => "nothing",
            Unexpected::Bool(_) => "true or false",
            Unexpected::Unsigned(_) | Unexpected::Signed(_) | Unexpected::Float(_) => "a number",
            Unexpected::Seq => "a list",
            Unexpected::Map => "a map",
            _ => "text",
        };
        Self::new(Message::Kind(belongs(&expected.to_string()), found), None)
    }

    fn invalid_value(unexpected: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        let belongs = belongs(&expected.to_string());
        let value = match unexpected {
            Unexpected::Unsigned(value) => value.to_string(),
            Unexpected::Signed(value) => value.to_string(),
            Unexpected::Float(value) => value.to_string(),
            Unexpected::Str(value) => value.to_owned(),
            _ => return Self::invalid_type(unexpected, expected),
        };
        let message = format!("`{value}` is not what belongs here");
        let message = Message::Value(message, "this is not what belongs here");
        Self::new(message, Some(format!("write {belongs}")))
    }

    fn invalid_length(_: usize, expected: &dyn de::Expected) -> Self {
        Self::invalid_type(Unexpected::Seq, expected)
    }

    fn unknown_variant(found: &str, expected: &'static [&'static str]) -> Self {
        let message = Message::Value(format!("unknown value `{found}`"), "unknown value");
        Self::new(message, Some(suggest::advice(found, expected)))
    }

    fn unknown_field(found: &str, expected: &'static [&'static str]) -> Self {
        let message = Message::Plain(format!("unknown key `{found}`"));
        Self::new(message, Some(suggest::advice(found, expected)))
    }

    fn missing_field(field: &'static str) -> Self {
        Self::new(Message::Plain(format!("the key `{field}` is missing")), None)
    }
}

impl fmt::Display for ValueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.message {
            Message::Plain(text) | Message::Value(text, _) => f.write_str(text),
            Message::Kind(belongs, found) => write!(f, "it takes {belongs}, not {found}"),
        }
    }
}

impl std::error::Error for ValueError {}

/// Translates serde's name of an expected value into an operator's words.
pub(crate) fn belongs(expected: &str) -> String {
    let nonzero = expected.starts_with("a nonzero ");
    match expected {
        _ if nonzero => "a whole number of 1 or more".to_owned(),
        "f32" | "f64" => "a number".to_owned(),
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number of 0 or more".to_owned(),
        "a string" | "path string" => "text".to_owned(),
        "a boolean" => "true or false".to_owned(),
        other => other.to_owned(),
    }
}
