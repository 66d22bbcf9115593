//! Command-line interface: one file for each command.
//!
//! - [`serve`] runs a site.
//! - [`new`] makes a bundle, [`build`] compiles its plugin, and [`dev`] serves it while it changes.
//! - [`check`], [`routes`] and [`match_topic`] inspect a site without serving it; [`inspect`] is
//!   their common part, and [`config_args`] their options for the configuration.
//! - [`convert`] writes settings from the configuration of another server.
//! - [`sign`] signs plugins for a server that verifies them.
//! - [`mod@test`] runs the dialogue scripts of a bundle.
//! - [`status`], [`top`], [`sessions`], [`session`], [`trace`], [`reload`], [`history`], [`rollback`], [`canary`], [`shadow`] and [`mod@store`] ask a running server over its control
//!   socket; [`control`] is their common part.
//! - [`mod@doctor`] examines an installation, and [`health`] the port of a server; [`http_exchange`] is
//!   their common part.
//! - [`record`] writes the hook calls of a running server to a file, and [`replay`] runs them against
//!   another version of the plugin.
//! - [`publish`], [`subscribe`], [`call`] and [`maintenance`] are clients of a running server;
//!   [`remote`] is their common part, [`closed_output`] ends those that wait for lines, and [`stdin`] reads events from standard input.
//! - [`mod@ticket`] makes a ticket for these clients.
//! - [`mod@bench`] measures a running server.
//! - [`help`] lists the commands in groups.
//! - [`manuals`] writes manual pages and completions, for packages.
//! - [`compile`] is the child process in which a server compiles a component.

pub(crate) mod bench;
pub(crate) mod build;
pub(crate) mod call;
pub(crate) mod canary;
pub(crate) mod check;
mod closed_output;
mod compile;
mod config_args;
mod control;
pub(crate) mod convert;
pub(crate) mod dev;
pub(crate) mod doctor;
pub(crate) mod health;
mod help;
pub(crate) mod history;
mod http_exchange;
mod inspect;
mod json_payload;
pub(crate) mod maintenance;
pub(crate) mod manuals;
pub(crate) mod match_topic;
pub(crate) mod new;
pub(crate) mod publish;
pub(crate) mod record;
pub(crate) mod reload;
mod remote;
pub(crate) mod replay;
pub(crate) mod rollback;
pub(crate) mod routes;
pub(crate) mod serve;
pub(crate) mod session;
pub(crate) mod sessions;
mod settings;
pub(crate) mod shadow;
pub(crate) mod sign;
pub(crate) mod status;
mod stdin;
pub(crate) mod store;
pub(crate) mod subscribe;
mod table;
pub(crate) mod test;
pub(crate) mod ticket;
pub(crate) mod top;
pub(crate) mod trace;
mod validity;

use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use jackfield_text::Terminal;

/// WAMP broker with hot-reloaded WebAssembly components as topic handlers.
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
    /// Check a site without serving it, and print every problem with its file and line.
    Check(check::Args),
    /// Make the folder of a new bundle: a plugin that builds at once, its routes and its tests.
    New(new::Args),
    /// Compile the plugin of a bundle, and report its handlers and needs.
    Build(build::Args),
    /// Write the settings of a site from the configuration of another WAMP router.
    Convert(convert::Args),
    /// Sign the plugins of a bundle, or make a key to sign with.
    Sign(sign::Args),
    /// Serve a site, and build its plugins again as their sources change. Not for production.
    Dev(dev::Args),
    /// List the routes of a site in matching order.
    Routes(routes::Args),
    /// Show the route that matches a topic; --all shows why the other routes do not.
    Match(match_topic::Args),
    /// Test a bundle with dialogue scripts, without a server.
    Test(test::Args),
    /// Show the state of a running server: generation, plugins, sessions, memory, last reloads.
    Status(status::Args),
    /// Check the health of a server at its port, as the health check of a container.
    Health(health::Args),
    /// Examine an installation, and print problems with their fixes.
    Doctor(doctor::Args),
    /// Show the state of a running server at an interval, with the rates of messages.
    Top(top::Args),
    /// Print the steps of messages of a running server, live.
    Trace(trace::Args),
    /// List the open sessions of a running server.
    Sessions(sessions::Args),
    /// Show a session of a running server with its subscriptions, or end it.
    Session(session::Args),
    /// List the topics of a running server that have subscribers, with their routes.
    Topics(sessions::TopicsArgs),
    /// List the last sessions that have ended, with the reasons.
    Ended(sessions::EndedArgs),
    /// Reload the settings and the site of a running server, and wait for the result.
    Reload(reload::Args),
    /// List the versions of plugins that have served.
    History(history::Args),
    /// Return to an earlier version of a plugin, until its file changes.
    Rollback(rollback::Args),
    /// End the pin of a plugin after a rollback or a promotion: its file serves again.
    Unpin(rollback::ChangeArgs),
    /// Disable a plugin: its handlers refuse every request, and none of its hooks is called.
    Disable(rollback::ChangeArgs),
    /// Enable a disabled plugin.
    Enable(rollback::ChangeArgs),
    /// Let a new version of a plugin serve a share of its topics, and show its results.
    Canary(canary::Args),
    /// Run a new version of a plugin beside the one in service, and show the different answers.
    Shadow(shadow::Args),
    /// Make the shadow or the canary of a plugin serve, until the plugin's file changes.
    Promote(canary::PromoteArgs),
    /// Record the hook calls of a running server to a file.
    Record(record::Args),
    /// Replay recorded hook calls against another version of a plugin, without a server, and print
    /// the differences.
    Replay(replay::Args),
    /// Read and write the stores of plugins of a running server.
    Store(store::Args),
    /// Publish events to a running server.
    Publish(publish::Args),
    /// Subscribe to topics of a running server, and print each event as a line of JSON.
    Subscribe(subscribe::Args),
    /// Call a procedure of a running server, and print the result.
    Call(call::Args),
    /// Announce the start or end of maintenance to the back-office pages of OroPlatform.
    Maintenance(maintenance::Args),
    /// Make an OroPlatform ticket, to try a server that requires authentication.
    Ticket(ticket::Args),
    /// Measure the throughput and latency of a running server.
    // The load generator has a help of its own.
    #[command(disable_help_flag = true)]
    Bench(bench::Args),
    /// Write the manual pages and the completions of shells into a folder, for packages.
    #[command(hide = true)]
    Manuals(manuals::Args),
    /// Compile the component on standard input, for a server.
    #[command(name = crate::compiler::NAME, hide = true)]
    Compile(compile::Args),
}

/// The option of commands that print JSON always: a script can give it to each command.
#[derive(Debug, clap::Args)]
struct JsonAlways {
    /// Print JSON, as without this option.
    #[arg(long = "json")]
    _json: bool,
}

/// Runs the command line of this process.
pub fn run() -> ExitCode {
    let out = &mut Terminal::new(io::stdout().lock());
    let matches = help::grouped(Cli::command()).get_matches();
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    match cli.command {
        Command::Serve(args) => serve::run(args),
        Command::Dev(args) => dev::run(args),
        Command::Status(args) => status::run(&args, out),
        Command::Health(args) => health::run(&args, out),
        Command::Doctor(args) => doctor::run(&args, out),
        Command::Top(args) => top::run(&args, out),
        Command::Trace(args) => trace::run(&args, out),
        Command::Sessions(args) => sessions::run(&args, out),
        Command::Session(args) => session::run(&args, out),
        Command::Topics(args) => sessions::topics(&args, out),
        Command::Ended(args) => sessions::ended(&args, out),
        Command::Reload(args) => reload::run(&args, out),
        Command::History(args) => history::run(&args, out),
        Command::Rollback(args) => rollback::run(&args, out),
        Command::Unpin(args) => rollback::unpin(&args, out),
        Command::Disable(args) => rollback::set_enabled(&args, false, out),
        Command::Enable(args) => rollback::set_enabled(&args, true, out),
        Command::Canary(args) => canary::run(&args, out),
        Command::Shadow(args) => shadow::run(&args, out),
        Command::Promote(args) => canary::promote(&args, out),
        Command::Record(args) => record::run(&args, out),
        Command::Replay(args) => replay::run(&args, out),
        Command::Store(args) => store::run(&args, out),
        Command::Publish(args) => publish::run(args),
        Command::Subscribe(args) => subscribe::run(args),
        Command::Call(args) => call::run(args),
        Command::Maintenance(args) => maintenance::run(args),
        Command::Compile(args) => exit_code(compile::run(args).map(|()| true)),
        Command::Manuals(args) => exit_code(manuals::run(&args, out)),
        Command::New(args) => exit_code(new::run(&args, out)),
        Command::Build(args) => build::run(&args, out),
        Command::Convert(args) => exit_code(convert::run(&args, out)),
        Command::Sign(args) => exit_code(sign::run(&args, out)),
        Command::Check(args) => exit_code(check::run(&args, out)),
        Command::Routes(args) => exit_code(routes::run(&args, out)),
        Command::Match(args) => exit_code(match_topic::run(&args, out)),
        Command::Test(args) => exit_code(test::run(&args, out)),
        Command::Ticket(args) => exit_code(ticket::run(&args, out)),
        Command::Bench(args) => bench::run(&args),
    }
}

/// Returns the exit code of a command: success if it found no problem. A closed output pipe is not
/// an error.
fn exit_code(result: io::Result<bool>) -> ExitCode {
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            say(format_args!("error: failed to write the output: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Prints a line to stderr. A failure to do so is ignored: the exit code still reports the result.
fn say(text: impl Display) {
    let _unwritten = writeln!(Terminal::new(io::stderr()), "{text}");
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    /// The paths of commands without the option, but of hidden ones.
    fn without_json(command: &clap::Command, path: &str, found: &mut Vec<String>) {
        let path = format!("{path} {}", command.get_name());
        let mut parts = command.get_subcommands().filter(|it| !it.is_hide_set()).peekable();
        if parts.peek().is_some() {
            parts.for_each(|part| without_json(part, &path, found));
        } else if !command.get_arguments().any(|it| it.get_long() == Some("json")) {
            found.push(path);
        }
    }

    #[test]
    fn each_command_prints_json_for_programs() {
        let mut found = Vec::new();
        without_json(&Cli::command(), "", &mut found);
        // The output of the first two is their log: `--set log.format=json`. The load generator has
        // options of its own, with `--json`.
        assert_eq!(found, [" jackfield serve", " jackfield dev", " jackfield bench"]);
    }
}
