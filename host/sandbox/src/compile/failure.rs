//! Why a component did not compile: what the child process answers, what is remembered of a file,
//! and what the operator reads.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::CompileLimits;
use crate::engine::address_space;
use crate::error::Error;

/// Why a component did not compile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Failure {
    /// It is no component; the text is the parser's.
    Invalid(String),
    /// Its structure is beyond the bounds; the text has the figures.
    Structure(String),
    /// The compiler wanted more memory than its limit.
    Memory,
    /// The compiler wanted more CPU time than its limit.
    Cpu,
    /// The compiler had not ended by its deadline.
    Time,
    /// The compiler was killed by something else, often because the machine is out of memory.
    Killed,
    /// The compiler failed in another way.
    Crashed(String),
}

impl Failure {
    /// Whether the same file fails again in the same way. How much time passes by the clock, and
    /// what else kills a process, depends on what else the machine does.
    pub(crate) fn recurs(&self) -> bool {
        !matches!(self, Self::Time | Self::Killed)
    }

    pub(crate) fn error(self, file: &str, limits: &CompileLimits) -> Error {
        let file = file.to_owned();
        let limit = |what, key, limit| Error::CompileLimit { file: file.clone(), what, key, limit };
        match self {
            Self::Invalid(text) => Error::not_compiled(&file, &text),
            Self::Structure(text) => Error::TooComplex { file, text },
            Self::Memory => match address_space().and_then(|it| usize::try_from(it).ok()) {
                Some(space) if space < limits.memory => {
                    limit("address space", "ulimit -v", size(space))
                }
                _ => limit("memory", "plugins.compile.memory", size(limits.memory)),
            },
            Self::Cpu => limit("CPU time", "plugins.compile.cpu", seconds(limits.cpu)),
            Self::Time => limit("time", "plugins.compile.time", seconds(limits.time)),
            Self::Killed => {
                let text = "it was killed, probably because the machine is out of memory";
                Error::Compiler { file, text: text.to_owned() }
            }
            Self::Crashed(text) => Error::Compiler { file, text },
        }
    }
}

/// A number of bytes as the settings have it.
pub(crate) fn size(bytes: usize) -> String {
    let units = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match units.into_iter().find(|(unit, _)| bytes >= *unit && bytes.is_multiple_of(*unit)) {
        Some((unit, name)) => format!("{} {name}", bytes / unit),
        None => format!("{bytes} bytes"),
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
        let check = |failure: Failure, expected: &str| {
            let text = failure.error("a/b.wasm", &CompileLimits::default()).to_string();
            assert!(text.starts_with(expected), "{text}");
        };
        check(
            Failure::Memory,
            "compile a/b.wasm: the compiler exceeded its memory limit (plugins.compile.memory = 2 GiB)\n  \
             = help: ",
        );
        check(
            Failure::Cpu,
            "compile a/b.wasm: the compiler exceeded its CPU time limit (plugins.compile.cpu = 120s)",
        );
        check(
            Failure::Time,
            "compile a/b.wasm: the compiler exceeded its time limit (plugins.compile.time = 300s)",
        );
        check(Failure::Structure("it is deep".to_owned()), "compile a/b.wasm: it is deep\n");
    }

    #[test]
    fn writes_sizes_as_the_settings_do() {
        let check = |bytes, expected| assert_eq!(size(bytes), expected);
        check(2 << 30, "2 GiB");
        check(1536 << 20, "1536 MiB");
        check(64 << 10, "64 KiB");
        check(1000, "1000 bytes");
    }
}
