//! Why settings were refused, in the form in which routing files are: `path:LINE:COLUMN: error: …`.

use std::fmt;
use std::io;

use serde_saphyr::Error as YamlError;

/// As unlike as a misspelt key may be for it to be taken for the right one.
const ALIKE: f64 = 0.7;

/// Why settings were refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error(
        "{path}: error: the settings cannot be read: {source}; name another file with --config"
    )]
    Unreadable {
        /// The file as it was named.
        path: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// The file is not valid.
    #[error("{0}")]
    Invalid(Mistake),
    /// A secret is not where the file says.
    #[error("{message}")]
    Secret {
        /// With the place of its entry, and what to do.
        message: String,
    },
}

/// One mistake in a file.
#[derive(Debug)]
pub struct Mistake {
    /// The file as it was named.
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

impl ConfigError {
    /// A variable of the environment whose text is of no use.
    pub(super) fn variable(name: &str, message: String, help: &str) -> Self {
        let (path, help) = (name.to_owned(), Some(help.to_owned()));
        Self::Invalid(Mistake { path, line: 0, column: 0, message, help })
    }

    /// The same, of a text that nobody has seen as a file.
    pub(super) fn without_place(self, source: &str) -> Self {
        match self {
            Self::Invalid(mistake) => {
                let path = source.to_owned();
                Self::Invalid(Mistake { path, line: 0, column: 0, ..mistake })
            }
            other => other,
        }
    }

    pub(super) fn is_missing(&self) -> bool {
        matches!(self, Self::Unreadable { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }

    pub(super) fn yaml(path: &str, error: &YamlError) -> Self {
        let place = error.location();
        let (message, help) = match error.without_snippet() {
            YamlError::SerdeUnknownField { field, expected, .. } => unknown("key", field, expected),
            YamlError::SerdeUnknownVariant { variant, expected, .. } => {
                unknown("value", variant, expected)
            }
            YamlError::SerdeInvalidValue { unexpected, expected, .. }
            | YamlError::SerdeInvalidType { unexpected, expected, .. } => (
                format!("{} is not what belongs here", kind(unexpected)),
                Some(format!("write {expected}")),
            ),
            other => (other.to_string(), None),
        };
        Self::Invalid(Mistake {
            path: path.to_owned(),
            line: place.map_or(0, |place| place.line()),
            column: place.map_or(0, |place| place.column()),
            message,
            help,
        })
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, line, column, message, .. } = self;
        if *line == 0 {
            write!(f, "{path}: error: {message}")?;
        } else {
            write!(f, "{path}:{line}:{column}: error: {message}")?;
        }
        match &self.help {
            Some(help) => write!(f, "\n  = help: {help}"),
            None => Ok(()),
        }
    }
}

/// Of `string "hunter2"`, the kind alone: the text may be a secret that has slipped into another
/// place.
fn kind(unexpected: &str) -> &str {
    unexpected.split(['"', '`']).next().unwrap_or_default().trim()
}

fn unknown(what: &str, found: &str, expected: &[&str]) -> (String, Option<String>) {
    let near = expected
        .iter()
        .map(|name| (strsim::jaro_winkler(found, name), *name))
        .filter(|(likeness, _)| *likeness > ALIKE)
        .max_by(|a, b| a.0.total_cmp(&b.0));
    let known = expected.join(", ");
    let help = match near {
        Some((_, name)) => format!("did you mean `{name}`? Known here: {known}"),
        None => format!("known here: {known}"),
    };
    (format!("unknown {what} `{found}`"), Some(help))
}
