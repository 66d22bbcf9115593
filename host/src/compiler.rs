//! How the running program is started to compile a component within limits: as `jackfield compile`
//! (`cli::compile`), by the sandbox, which knows its arguments.

use std::path::PathBuf;

use jackfield_sandbox::{CompileCommand, CompileLimits};

/// The name of the command.
pub(crate) const NAME: &str = "compile";

/// The running program, even where its file has been replaced since.
const SELF: &str = "/proc/self/exe";

/// The command that compiles.
pub(crate) fn command(limits: CompileLimits) -> CompileCommand {
    CompileCommand {
        program: PathBuf::from(SELF),
        fallback: std::env::current_exe().ok(),
        subcommand: NAME.to_owned(),
        limits,
    }
}
