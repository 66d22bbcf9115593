//! Errors of single settings. [`super::redact`] renders them without secrets.

use std::fmt;

use serde::de::{self, Unexpected};

use super::value::{Node, Origin, Path, Step};

/// As unlike as a misspelt key may be for it to be taken for the right one.
const MIN_SIMILARITY: f64 = 0.7;

/// Keys that were renamed before the first release: the old one, and the new one.
const RENAMED: [(&str, &str); 1] = [("entrance", "access")];

/// One thing that does not belong where it stands.
#[derive(Clone, Debug)]
pub(super) struct SettingError {
    pub(super) path: Path,
    /// None until it is known.
    pub(super) origin: Option<Origin>,
    pub(super) message: Message,
    pub(super) help: Option<String>,
}

/// What is wrong.
#[derive(Clone, Debug)]
pub(super) enum Message {
    /// A sentence of its own.
    Plain(String),
    /// A sentence that repeats a value: the second one does not, for where values are secret.
    Value(String, &'static str),
    /// What belongs there and what is there instead, for a sentence that names the key.
    Kind(String, &'static str),
}

impl SettingError {
    pub(super) fn new(message: Message, help: Option<String>) -> Self {
        Self { path: Path::default(), origin: None, message, help }
    }

    /// A mistake that is found when all settings are known.
    pub(super) fn at(path: &str, message: String, help: &str) -> Self {
        let steps = path.split('.').map(|key| match key.parse() {
            Ok(number) => Step::Element(number),
            Err(_) => Step::Key(key.to_owned()),
        });
        let path = Path(steps.collect());
        let help = Some(help.to_owned()).filter(|help| !help.is_empty());
        Self { path, ..Self::new(Message::Plain(message), help) }
    }

    pub(super) fn kind(belongs: &str, found: &Node, help: Option<String>) -> Self {
        Self::new(Message::Kind(belongs.to_owned(), found.what()), help)
    }

    /// Inside of which value it is, told from the innermost on.
    pub(super) fn inside(mut self, step: Step, origin: &Origin) -> Self {
        self.path.0.insert(0, step);
        self.origin.get_or_insert_with(|| origin.clone());
        self
    }
}

/// A text of two lines is a message, and what to do.
impl de::Error for SettingError {
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
        Self::new(message, Some(known(found, expected)))
    }

    fn unknown_field(found: &str, expected: &'static [&'static str]) -> Self {
        let renamed = RENAMED.iter().find(|(old, new)| *old == found && expected.contains(new));
        if let Some((old, new)) = renamed {
            let message = Message::Plain(format!("the key `{old}` is named `{new}` now"));
            return Self::new(message, Some(format!("write `{new}`")));
        }
        let message = Message::Plain(format!("unknown key `{found}`"));
        Self::new(message, Some(known(found, expected)))
    }

    fn missing_field(field: &'static str) -> Self {
        Self::new(Message::Plain(format!("the key `{field}` is missing")), None)
    }
}

impl fmt::Display for SettingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.message {
            Message::Plain(text) | Message::Value(text, _) => f.write_str(text),
            Message::Kind(belongs, found) => write!(f, "it takes {belongs}, not {found}"),
        }
    }
}

impl std::error::Error for SettingError {}

/// What serde calls something, in an operator's words.
fn belongs(expected: &str) -> String {
    let nonzero = expected.starts_with("a nonzero ");
    match expected {
        _ if nonzero => "a whole number of 1 or more".to_owned(),
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number of 0 or more".to_owned(),
        "a string" | "path string" => "text".to_owned(),
        "a boolean" => "true or false".to_owned(),
        other => other.to_owned(),
    }
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
