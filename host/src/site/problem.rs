//! A file of a site that cannot be taken in, and why.

use std::fmt;

use jackfield_text::Untrusted;

/// A file that could not be taken in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SiteProblem {
    /// As it is shown.
    pub(crate) path: String,
    /// Line and column, where there are some.
    pub(crate) place: Option<(usize, usize)>,
    /// What is wrong, as a sentence about the file, and what to do.
    pub(crate) message: String,
}

impl fmt::Display for SiteProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, place, message } = self;
        write!(f, "{}", Untrusted::new(path))?;
        if let Some((line, column)) = place {
            write!(f, ":{line}:{column}")?;
        }
        write!(f, ": error: {}", Untrusted::new(message))
    }
}
