//! Problems and warnings of a generation.
//!
//! Both are printed to operators. Each begins with the file, and with the line if there is one.

use std::fmt;

use jackfield_routing::Diagnosis;
use jackfield_sandbox::SandboxError;
use jackfield_text::Untrusted;

use crate::site::SiteProblem;

/// The maximum size of a message about a component, including the backtrace.
const MAX_MESSAGE_BYTES: usize = 16 << 10;

/// An error that prevents a generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Problem {
    /// The site itself cannot be read.
    Unreadable(String),
    /// A file cannot be read, or is not acceptable.
    Site(SiteProblem),
    /// A routing file is invalid, or names a handler that no plugin provides.
    Route(Box<Diagnosis>),
    /// A component cannot be loaded.
    Plugin {
        /// The displayed path of the component.
        file: String,
        /// The error and the help.
        message: String,
    },
}

/// A valid, but probably unintended declaration, at the place of the diagnosis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Warning(pub Box<Diagnosis>);

impl Problem {
    pub(super) fn plugin(file: &str, message: impl Into<String>) -> Self {
        Self::Plugin { file: file.to_owned(), message: message.into() }
    }

    /// Converts an error of the sandbox, with the backtrace if the code of the plugin failed.
    pub(super) fn sandbox(file: &str, error: &SandboxError) -> Self {
        let text = format!("failed to {error}");
        if let SandboxError::Describe { fault, .. } | SandboxError::Start { fault, .. } = error
            && let Some(backtrace) = &fault.backtrace
        {
            return Self::plugin(file, format!("{text}\nin {backtrace}"));
        }
        Self::plugin(file, text)
    }

    /// Sorts by file and place.
    pub(super) fn sort(problems: &mut [Self]) {
        problems.sort_by(|a, b| a.place().cmp(&b.place()));
    }

    /// What is wrong, without the place.
    pub(crate) fn message(&self) -> &str {
        match self {
            Self::Unreadable(message) | Self::Plugin { message, .. } => message,
            Self::Site(problem) => &problem.message,
            Self::Route(diagnosis) => &diagnosis.message,
        }
    }

    /// The file, line and column; empty and 0 where there is none.
    pub(crate) fn place(&self) -> (&str, usize, usize) {
        match self {
            Self::Unreadable(_) => ("", 0, 0),
            Self::Site(problem) => {
                let (line, column) = problem.place.unwrap_or_default();
                (&problem.path, line, column)
            }
            Self::Route(diagnosis) => (&diagnosis.path, diagnosis.line, diagnosis.column),
            Self::Plugin { file, .. } => (file, 0, 0),
        }
    }
}

impl From<Diagnosis> for Problem {
    fn from(diagnosis: Diagnosis) -> Self {
        Self::Route(Box::new(diagnosis))
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(message) => Untrusted::new(message).fmt(f),
            Self::Site(problem) => problem.fmt(f),
            Self::Route(diagnosis) => diagnosis.fmt(f),
            Self::Plugin { file, message } => {
                let message = Untrusted::new(message).at_most(MAX_MESSAGE_BYTES).with_lines();
                write!(f, "{}: error: {message}", Untrusted::new(file))
            }
        }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.warning().fmt(f)
    }
}
