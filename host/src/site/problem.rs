//! Problem of a site: a file that cannot be read or used, and the reason.

use std::fmt;

use jackfield_text::Untrusted;

/// A file that cannot be read or used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SiteProblem {
    /// The displayed path.
    pub(crate) path: String,
    /// Line and column, if they are known.
    pub(crate) place: Option<(usize, usize)>,
    /// The error, as a sentence about the file, and the help.
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
