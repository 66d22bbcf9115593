//! The command line: which commands there are, and what they are told.
//!
//! Each command is a file of its own: [`serve`] runs a site; [`check`], [`routes`] and
//! [`match_topic`] look at one without serving it, by way of [`judge`]; [`publish`], [`subscribe`],
//! [`call`] and [`maintenance`] talk to a server that runs, by way of [`remote`]; [`mod@ticket`]
//! makes what lets them in; [`stdin`] reads what is to be published; [`mod@bench`] measures one.
//! [`compile`] is what a server starts to have a component compiled; [`settings`] is how a site's are
//! found.

pub mod bench;
pub mod call;
pub mod check;
mod compile;
mod config_args;
mod inspect;
pub mod maintenance;
pub mod match_topic;
pub mod publish;
mod remote;
pub mod routes;
pub mod serve;
mod stdin;
pub mod subscribe;
pub mod ticket;

use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use jackfield_text::Terminal;

/// A WAMP broker whose topic handlers are WebAssembly components, replaced while it runs.
#[derive(Debug, Parser)]
#[command(name = "jackfield", version, about, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve a site directory, reloading it as files change.
    Serve(serve::Args),
    /// Judge a site without serving it: print every mistake with its place.
    Check(check::Args),
    /// List the routes of a site in the order in which they are matched.
    Routes(routes::Args),
    /// Tell which route takes a topic, and why the others do not.
    Match(match_topic::Args),
    /// Publish an event to a server that runs.
    Publish(publish::Args),
    /// Print the events of topics, one line of JSON each.
    Subscribe(subscribe::Args),
    /// Call a procedure, and print its result.
    Call(call::Args),
    /// Tell the back offices of OroPlatform that maintenance begins or ends.
    Maintenance(maintenance::Args),
    /// Make a ticket as OroPlatform would, for trying a server that asks for one.
    Ticket(ticket::Args),
    /// Measure a running server from its clients' side.
    // The load generator has its own.
    #[command(disable_help_flag = true)]
    Bench(bench::Args),
    /// Compile the component on stdin, for a server.
    #[command(name = crate::compiler::NAME, hide = true)]
    Compile(compile::Args),
}

/// Runs the command that the process was started with.
pub fn run() -> ExitCode {
    let out = &mut Terminal::new(io::stdout().lock());
    match Cli::parse().command {
        Command::Serve(args) => serve::run(args),
        Command::Publish(args) => publish::run(args),
        Command::Subscribe(args) => subscribe::run(args),
        Command::Call(args) => call::run(args),
        Command::Maintenance(args) => maintenance::run(args),
        Command::Compile(args) => ended(compile::run(args).map(|()| true)),
        Command::Check(args) => ended(check::run(&args, out)),
        Command::Routes(args) => ended(routes::run(&args, out)),
        Command::Match(args) => ended(match_topic::run(&args, out)),
        Command::Ticket(args) => ended(ticket::run(&args, out)),
        Command::Bench(args) => bench::run(&args),
    }
}

/// Success if the command found everything in order. That nobody reads on is no failure.
fn ended(result: io::Result<bool>) -> ExitCode {
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            say(format_args!("error: failed to write the answer: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Tells the user something on stderr. If that cannot be written, there is nowhere left to say so,
/// and the exit code has to do.
fn say(text: impl Display) {
    let _unwritten = writeln!(Terminal::new(io::stderr()), "{text}");
}
