//! `jackfield compile`: the child process in which a server compiles one component within limits.
//! The help does not list it, as users do not need it. [`crate::compiler`] starts it.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use jackfield_sandbox::{CompileTask, run_compile_task};

/// Command-line arguments of `jackfield compile`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[arg(long)]
    folder: PathBuf,
    #[arg(long)]
    bytes: usize,
    #[arg(long)]
    memory: usize,
    /// CPU time in seconds.
    #[arg(long)]
    cpu: u64,
    /// Use only cores that no other process wants, and give up if there are none.
    #[arg(long)]
    idle: bool,
    /// The file's name for the list of processes; otherwise unused.
    file: String,
}

/// Compiles the component on stdin, and writes the result to stdout.
///
/// # Errors
/// When stdin or stdout fails, or the limits cannot be set.
pub(super) fn run(args: Args) -> io::Result<()> {
    let Args { folder, bytes, memory, cpu, idle: is_idle, file: _ } = args;
    let cpu = Duration::from_secs(cpu);
    run_compile_task(&CompileTask { folder, bytes, memory, cpu, is_idle })
}
