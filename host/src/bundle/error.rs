//! Errors of a build.

use std::fmt;
use std::io;

use jackfield_sandbox::SandboxError;

/// The name of the error of a missing tool.
const TOOLCHAIN: &str = "toolchain";

/// The failure of a build. The component that was there before is unchanged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BuildError {
    /// The name in JSON.
    pub(crate) code: &'static str,
    pub(crate) message: String,
    pub(crate) help: Option<&'static str>,
}

impl BuildError {
    fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), help: None }
    }

    /// The folder is not a bundle with sources.
    pub(super) fn no_bundle(message: impl Into<String>) -> Self {
        Self::new("no_bundle", message)
    }

    /// A tool is missing.
    pub(super) fn toolchain(message: impl Into<String>, help: &'static str) -> Self {
        Self::new(TOOLCHAIN, message).with_help(help)
    }

    /// Whether the build may succeed when a tool is installed.
    pub(crate) fn is_missing_tool(&self) -> bool {
        self.code == TOOLCHAIN
    }

    /// A tool has failed; it has written its errors to stderr.
    pub(super) fn failed(message: impl Into<String>) -> Self {
        Self::new("build_failed", message)
    }

    /// The build makes no component, or one that is no plugin.
    pub(super) fn no_plugin(message: impl Into<String>) -> Self {
        Self::new("no_plugin", message)
    }

    /// A file cannot be read or written, or a process not started.
    pub(crate) fn io(message: impl fmt::Display, error: &io::Error) -> Self {
        Self::new("io", format!("{message}: {error}"))
    }

    /// The sandbox cannot be made.
    pub(crate) fn sandbox(error: &SandboxError) -> Self {
        Self::new("sandbox", format!("failed to {error}"))
    }

    pub(super) fn with_help(self, help: &'static str) -> Self {
        Self { help: Some(help), ..self }
    }
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        self.help.map_or(Ok(()), |help| write!(f, "\n  = help: {help}"))
    }
}
