//! Compile errors: the reply of the child process, an entry of the cache, and the operator's
//! message.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::CompileLimits;
use crate::byte_size::byte_size;
use crate::engine::address_space;
use crate::error::SandboxError;

/// A component did not compile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum CompileError {
    /// Not a component; the text is the parser's.
    Invalid(String),
    /// Its structure is beyond the bounds; the text has the figures.
    Structure(String),
    /// The compiler exceeded its memory limit.
    Memory,
    /// The compiler exceeded its CPU time limit.
    Cpu,
    /// The compiler exceeded its wall time limit.
    Time,
    /// The compiler was killed from outside, often because the machine is out of memory.
    Killed,
    /// The compiler failed in another way.
    Crashed(String),
}

impl CompileError {
    /// Whether the same file fails again in the same way. Wall time, and signals from outside,
    /// depend on the machine's load.
    pub(crate) fn is_deterministic(&self) -> bool {
        !matches!(self, Self::Time | Self::Killed)
    }

    pub(crate) fn error(self, file: &str, limits: &CompileLimits) -> SandboxError {
        let file = file.to_owned();
        let limit =
            |what, key, limit| SandboxError::CompileLimit { file: file.clone(), what, key, limit };
        match self {
            Self::Invalid(text) => SandboxError::not_compiled(&file, &text),
            Self::Structure(text) => SandboxError::TooComplex { file, text },
            Self::Memory => match address_space().and_then(|it| usize::try_from(it).ok()) {
                Some(space) if space < limits.memory => {
                    limit("address space", "ulimit -v", byte_size(space))
                }
                _ => limit("memory", "plugins.compile.memory", byte_size(limits.memory)),
            },
            Self::Cpu => limit("CPU time", "plugins.compile.cpu", seconds(limits.cpu)),
            Self::Time => limit("time", "plugins.compile.time", seconds(limits.time)),
            Self::Killed => {
                let text = "it was killed, probably because the machine is out of memory";
                SandboxError::Compiler { file, text: text.to_owned() }
            }
            Self::Crashed(text) => SandboxError::Compiler { file, text },
        }
    }
}

fn seconds(time: Duration) -> String {
    if time.subsec_millis() == 0 {
        format!("{}s", time.as_secs())
    } else {
        format!("{}ms", time.as_millis())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_limit_and_its_setting() {
        let check = |failure: CompileError, expected: &str| {
            let text = failure.error("a/b.wasm", &CompileLimits::default()).to_string();
            assert!(text.starts_with(expected), "{text}");
        };
        check(
            CompileError::Memory,
            "compile a/b.wasm: the compiler exceeded its memory limit (plugins.compile.memory = 2 GiB)\n  \
             = help: ",
        );
        check(
            CompileError::Cpu,
            "compile a/b.wasm: the compiler exceeded its CPU time limit (plugins.compile.cpu = 120s)",
        );
        check(
            CompileError::Time,
            "compile a/b.wasm: the compiler exceeded its time limit (plugins.compile.time = 300s)",
        );
        check(CompileError::Structure("it is deep".to_owned()), "compile a/b.wasm: it is deep\n");
    }
}
