//! `jackfield bench`: replaces this process by the load generator, the command `jackfield-bench`
//! beside this one. The server shares no code with it.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use super::say;

/// Options of `jackfield bench`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Options of the load generator; `jackfield bench --help` lists them.
    #[arg(value_name = "OPTIONS", trailing_var_arg = true, allow_hyphen_values = true)]
    options: Vec<OsString>,
}

/// The load generator's command.
const PROGRAM: &str = "jackfield-bench";

/// Runs the load generator. Returns only if it cannot be started.
pub(crate) fn run(args: &Args) -> ExitCode {
    let own = std::env::current_exe().unwrap_or_default();
    let program = own.parent().map_or_else(|| PathBuf::from(PROGRAM), |it| it.join(PROGRAM));
    let error = Command::new(&program).args(&args.options).exec();
    say(format_args!(
        "error: cannot run `{}`: {error}\n  = help: install it beside `jackfield`: \
         `cargo build --release --package jackfield-bench`, or `make build`",
        program.display()
    ));
    ExitCode::FAILURE
}
