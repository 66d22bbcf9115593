//! The severity of a line for the operator's log.

/// The severity of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Every step, for the plugin's author.
    Trace,
    /// Decisions of the plugin, for debugging.
    Debug,
    /// Events that an operator may want to know.
    Info,
    /// Conditions that an operator should look into.
    Warn,
    /// Failures.
    Error,
}
