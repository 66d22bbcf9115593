//! A load generator for WAMP brokers: what `jackfield bench` does.
//!
//! It shares no code with the server that it measures, and speaks to it over sockets alone; so it
//! measures other brokers as well. It is made to be cheap, because it usually runs beside the
//! server: frames are read by hand out of one buffer a thread, and of an event only its head is
//! looked at.
//!
//! In reading order:
//! - [`plan`]: what is to be measured;
//! - `stamp`: what travels in each published text;
//! - `clock`: time, and when what is due is due;
//! - `frame`, `handshake`: WebSocket from a client's side;
//! - `protocol`: WAMP v1 and v2, and NATS, from a client's side;
//! - `workers`: the threads, with what each has counted (`tally`);
//! - `socket`, `session`: one connection, and what it begins with;
//! - `work`: the kinds of work;
//! - `lead`: the one who leads a run, and what processes cost (`process`);
//! - [`report`]: what came of it, drawn by `chart`;
//! - [`failure`]: why nothing did.

mod chart;
mod clock;
mod coordinator;
pub mod failure;
mod frame;
mod handshake;
pub mod plan;
mod process;
mod protocol;
pub mod report;
mod session;
mod socket;
mod tally;
mod timestamp;
mod work;
mod workers;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use coordinator::Lead;
use failure::Failure;
use plan::Plan;
use report::Report;
use workers::Crew;

/// Measures. `progress` is told a line about once a second. Ctrl-C ends it early, with what was
/// measured until then.
///
/// # Errors
/// Why nothing was measured.
pub fn run(plan: &Plan, progress: &mut dyn FnMut(&str)) -> Result<Report, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::System("start the runtime", error))?;
    runtime.block_on(lead(plan, progress))
}

async fn lead(plan: &Plan, progress: &mut dyn FnMut(&str)) -> Result<Report, Failure> {
    if let Some(pid) = plan.pids.iter().find(|pid| process::usage(&[**pid]).is_none()) {
        return Err(Failure::NoProcess(*pid));
    }
    let authority = &plan.target.authority;
    let unresolved = |error| Failure::Unresolved { authority: authority.clone(), error };
    let mut addresses = tokio::net::lookup_host(authority).await.map_err(unresolved)?;
    let nothing = || unresolved(std::io::Error::other("it has no address"));
    let address = addresses.next().ok_or_else(nothing)?;
    let interrupted = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&interrupted);
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            flag.store(true, Relaxed);
        }
    });
    let workers = Crew::start(plan, address)?;
    work::run(&mut Lead::new(workers, progress, interrupted)).await
}
