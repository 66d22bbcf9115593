//! What keeps a generation from being made, and what is merely odd about one.
//!
//! Both are made to be printed: each begins with the file, and the line where there is one.

use std::fmt;

use jackfield_routing::Diagnosis;
use jackfield_sandbox::SandboxError;
use jackfield_text::Untrusted;

use crate::site::SiteProblem;

/// Bytes of what is wrong with a component that are shown, a backtrace included.
const MAX_MESSAGE_BYTES: usize = 16 << 10;

/// One reason why a generation could not be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// A file could not be taken in.
    Site(SiteProblem),
    /// A routing file is wrong, or asks for what no plugin offers.
    Route(Box<Diagnosis>),
    /// A component is wrong.
    Plugin {
        /// The component, as it is shown.
        file: String,
        /// What is wrong and what to do.
        message: String,
    },
}

/// Something that is probably not meant. It stands in the file where the diagnosis points.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning(pub Box<Diagnosis>);

impl Problem {
    pub(super) fn plugin(file: &str, message: impl Into<String>) -> Self {
        Self::Plugin { file: file.to_owned(), message: message.into() }
    }

    /// With the backtrace, where the plugin's own code failed.
    pub(super) fn sandbox(file: &str, error: &SandboxError) -> Self {
        let text = format!("failed to {error}");
        if let SandboxError::Describe { fault, .. } | SandboxError::Start { fault, .. } = error
            && let Some(backtrace) = &fault.backtrace
        {
            return Self::plugin(file, format!("{text}\nin {backtrace}"));
        }
        Self::plugin(file, text)
    }

    /// Sorts by file and place, so that people can go through the files from top to bottom.
    pub(super) fn sort(problems: &mut [Self]) {
        problems.sort_by(|a, b| a.place().cmp(&b.place()));
    }

    fn place(&self) -> (&str, usize, usize) {
        match self {
            Self::Site(problem) => (&problem.path, 0, 0),
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
