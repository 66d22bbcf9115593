//! Dialogue scripts: tests of a site as transcripts of its clients' messages, run in process.
//!
//! The sandbox, the routes, the dispatch and the protocol are those of the server; sockets are
//! replaced by mailboxes in memory. docs/dialogues.md describes the format.
//!
//! In reading order:
//! - [`script`]: the lines of a script; [`parse`] reads them with a [`cursor`];
//! - [`value`]: JSON with patterns; [`pattern`]: their comparison and variables;
//! - [`symbol`]: messages without ids; [`ledger`]: the ids of a session;
//! - [`world`]: what a script runs on, fresh for each;
//! - [`client`]: a client with its session; [`mailbox`]: its transport;
//! - [`runner`]: the lines, one after another; [`failure`]: the reason why one fails.
//!
//! Called by `cli::test`.

mod client;
mod cursor;
mod failure;
mod ledger;
mod mailbox;
mod parse;
mod pattern;
mod runner;
mod script;
mod symbol;
mod value;
mod world;

use std::time::{Duration, Instant};

use jackfield_config::Config;
use jackfield_yaml::Source;

use crate::log::capture::{Capture, LogLine};
use crate::site::Snapshot;

pub(crate) use failure::Failure;
use runner::Runner;
use script::Script;
use world::World;

/// The maximum size of a script in bytes.
pub(crate) const MAX_SCRIPT_BYTES: usize = parse::MAX_SCRIPT_BYTES;

/// The maximum number of log lines that are kept of a script.
const MAX_LOG_LINES: usize = 200;

/// The result of a script.
pub(crate) struct Outcome {
    /// Empty if it has passed.
    pub(crate) failures: Vec<Failure>,
    /// The log of the server and its plugins, each with the line of the script.
    pub(crate) log: Vec<(usize, LogLine)>,
    /// The number of log lines that are left out.
    pub(crate) log_left_out: usize,
    /// The number of lines with a statement.
    pub(crate) lines: usize,
    /// The time without loading the site.
    pub(crate) took: Duration,
}

/// Runs a script against a site, on a world of its own.
///
/// # Errors
/// The problems of the site, as texts with their places.
pub(crate) async fn run(
    script: &Source,
    site: &Snapshot,
    config: &Config,
    timeout: Duration,
    capture: &Capture,
) -> Result<Outcome, Vec<String>> {
    let Script { lines } = match parse::parse(&script.text) {
        Ok(script) => script,
        Err(errors) => {
            let failures = errors.into_iter().map(Failure::from).collect();
            let (log, took) = (Vec::new(), Duration::ZERO);
            return Ok(Outcome { failures, log, log_left_out: 0, lines: 0, took });
        }
    };
    let world = World::new(site, config).await?;
    // Lines about loading do not belong to the script.
    drop(capture.take());
    let (mut log, mut log_left_out) = (Vec::new(), 0);
    let started = Instant::now();
    let (count, script) = (lines.len(), Script { lines });
    let runner = Runner::new(&world, config, timeout);
    let failures = runner
        .run(&script, |line| {
            let (lines, left_out) = capture.take();
            log_left_out += left_out;
            for entry in lines {
                if log.len() < MAX_LOG_LINES {
                    log.push((line.number, entry));
                } else {
                    log_left_out += 1;
                }
            }
        })
        .await;
    Ok(Outcome { failures, log, log_left_out, lines: count, took: started.elapsed() })
}
