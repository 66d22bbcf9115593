//! Instruction counts of the hot path: `make instructions`. Valgrind's callgrind counts the
//! instructions of the real server while clients drive it in lockstep; a scenario that takes a
//! tenth more than its baseline fails. Unlike times, counts are the same on a busy machine.
//!
//! `valgrind` runs and counts the server, `scenarios` and `connection` are measured, `baseline`
//! compares.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a measurement that cannot go on stops, and prints its counts"
)]

mod baseline;
mod connection;
mod scenarios;
mod valgrind;

use std::process::ExitCode;

use baseline::{Baseline, Verdict};
use valgrind::Counted;

fn main() -> ExitCode {
    let accept = std::env::args().skip(1).any(|argument| argument == "--accept");
    let site = scenarios::site();
    let server = match Counted::start(&site) {
        Ok(server) => server,
        Err(error) => return fail(&error),
    };
    // One thread, so that the clients do not compete with the server for more than one core.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let measured = runtime.block_on(scenarios::measure(&server));
    if accept {
        return match Baseline::accept(&measured) {
            Ok(()) => {
                println!("accepted: commit {}", baseline::FILE);
                ExitCode::SUCCESS
            }
            Err(error) => fail(&error),
        };
    }
    let baseline = match Baseline::read() {
        Ok(baseline) => baseline,
        Err(error) => return fail(&error),
    };
    let verdicts = baseline.judge(&measured);
    for verdict in verdicts.iter().filter(|verdict| !verdict.fails()) {
        println!("{verdict}");
    }
    for verdict in verdicts.iter().filter(|verdict| verdict.fails()) {
        eprintln!("error: {verdict}");
    }
    if verdicts.iter().any(Verdict::fails) { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn fail(error: &str) -> ExitCode {
    eprintln!("error: {error}");
    ExitCode::FAILURE
}
