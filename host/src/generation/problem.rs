//! Problems and warnings of a generation.
//!
//! Both are printed to operators. Each begins with the file, and with the line if there is one.

use std::fmt;

use jackfield_routing::{Diagnosis, Origin, Route};
use jackfield_sandbox::SandboxError;
use jackfield_text::Untrusted;

use crate::site::SiteProblem;

/// The maximum size of a message about a component, including the backtrace.
const MAX_MESSAGE_BYTES: usize = 16 << 10;
/// The maximum number of handlers that are named.
const MAX_HANDLERS: usize = 10;

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
    /// Routes whose handlers no loaded plugin provides, while plugins failed to load.
    Unserved {
        /// The place of the first route.
        first: Origin,
        /// The routes and the handlers.
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

    /// The problem of routes that no loaded plugin serves; `None` without routes.
    pub(super) fn unserved(routes: &[&Route]) -> Option<Self> {
        let first = routes.first()?;
        let mut handlers: Vec<&str> =
            routes.iter().map(|route| route.handler.callback.as_str()).collect();
        handlers.sort_unstable();
        handlers.dedup();
        let names = handlers.iter().take(MAX_HANDLERS).map(|name| format!("`{name}`"));
        let names = names.collect::<Vec<_>>().join(", ");
        let more = handlers.len().saturating_sub(MAX_HANDLERS);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let (count, verb) = match routes.len() {
            1 => ("1 route".to_owned(), "needs"),
            count => (format!("{count} routes"), "need"),
        };
        let message = format!(
            "{count} {verb} handlers that no loaded plugin provides: {names}{more}\n  = help: fix \
             the plugins that failed to load"
        );
        Some(Self::Unserved { first: first.origin.clone(), message })
    }

    /// Sorts by file and place; consequences of other problems come last.
    pub(super) fn sort(problems: &mut [Self]) {
        let is_consequence = |problem: &Self| matches!(problem, Self::Unserved { .. });
        problems
            .sort_by(|a, b| (is_consequence(a), a.place()).cmp(&(is_consequence(b), b.place())));
    }

    /// What is wrong, without the place.
    pub(crate) fn message(&self) -> &str {
        match self {
            Self::Unreadable(message)
            | Self::Unserved { message, .. }
            | Self::Plugin { message, .. } => message,
            Self::Site(problem) => &problem.message,
            Self::Route(diagnosis) => &diagnosis.message,
        }
    }

    /// The file, line and column; empty and 0 where there is none.
    pub(crate) fn place(&self) -> (&str, usize, usize) {
        match self {
            Self::Unreadable(_) => ("", 0, 0),
            Self::Unserved { first, .. } => (&first.path, first.line, first.column),
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
            Self::Unreadable(message) => write!(f, "error: {}", Untrusted::new(message)),
            Self::Unserved { first, message } => {
                let (path, Origin { line, column, .. }) = (Untrusted::new(&first.path), first);
                let message = Untrusted::new(message).with_lines();
                write!(f, "{path}:{line}:{column}: error: {message}")
            }
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
