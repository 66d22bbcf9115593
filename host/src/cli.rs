//! The command line: which commands there are, and what they are told.
//!
//! Each command is a file of its own: [`serve`] runs a site; [`check`], [`routes`] and
//! [`match_topic`] look at one without serving it, by way of [`judge`]; [`mod@bench`] measures one
//! that is served.

pub mod bench;
pub mod check;
mod judge;
pub mod match_topic;
pub mod routes;
pub mod serve;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// A WAMP broker whose topic handlers are WebAssembly components, replaced while it runs.
#[derive(Debug, Parser)]
#[command(name = "jackfield", version, about, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve a site, and whatever becomes of it.
    Serve(serve::Args),
    /// Judge a site without serving it: print every mistake with its place.
    Check(check::Args),
    /// List the routes of a site in the order in which they are matched.
    Routes(routes::Args),
    /// Tell which route takes a topic, and why the others do not.
    Match(match_topic::Args),
    /// Measure a running server from its clients' side.
    Bench(Box<bench::Args>),
}

/// Runs the command that the process was started with.
pub fn run() -> ExitCode {
    let out = &mut io::stdout().lock();
    match Cli::parse().command {
        Command::Serve(args) => serve::run(args),
        Command::Check(args) => ended(check::run(&args, out)),
        Command::Routes(args) => ended(routes::run(&args, out)),
        Command::Match(args) => ended(match_topic::run(&args, out)),
        Command::Bench(args) => match bench::run(*args, out) {
            Ok(code) => code,
            Err(error) => ended(Err(error)),
        },
    }
}

/// Success if the command found everything in order. That nobody reads on is no failure.
fn ended(result: io::Result<bool>) -> ExitCode {
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            // There is nowhere left to report that stderr fails as well.
            let _ = writeln!(io::stderr(), "error: failed to write the answer: {error}");
            ExitCode::FAILURE
        }
    }
}
