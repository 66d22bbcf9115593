//! `jackfield compile`: the process in which a server has one component compiled. People have no use
//! for it, so it is not in the help.
//!
//! [`crate::compiler`] is how it is started.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use jackfield_sandbox::{CompileTask, run_compile_task};

/// What `jackfield compile` is told.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[arg(long)]
    folder: PathBuf,
    #[arg(long)]
    bytes: usize,
    #[arg(long)]
    memory: usize,
    /// In seconds.
    #[arg(long)]
    cpu: u64,
    /// For people who look at processes.
    file: String,
}

/// Compiles what comes on stdin, and answers on stdout.
///
/// # Errors
/// When stdin or stdout fail, or the limits cannot be set.
pub(super) fn run(args: Args) -> io::Result<()> {
    let Args { folder, bytes, memory, cpu, file: _ } = args;
    run_compile_task(&CompileTask { folder, bytes, memory, cpu: Duration::from_secs(cpu) })
}
