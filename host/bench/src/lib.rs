//! Load generator for WAMP brokers: the command `jackfield-bench`, run by `jackfield bench`.
//!
//! It talks to servers over sockets only and shares no protocol code with Jackfield, so that it
//! measures other brokers as well. It is cheap, because it usually runs beside the server: frames
//! are parsed by hand in one buffer per thread, and only the head of an event is read.
//!
//! In reading order:
//! - [`cli`]: the command line, and [`plan`]: its options, checked;
//! - `timestamp`: header of each published text;
//! - `clock`: time of a run, and schedules at a fixed rate;
//! - `frame`, `handshake`: client side of WebSocket;
//! - `protocol`: client side of WAMP v1, WAMP v2 and NATS;
//! - `workers`: worker threads and their counters (`tally`);
//! - `socket`, `tls_session`, `session`: one connection, its TLS, and the opening of its session;
//! - `work`: the workloads;
//! - `coordinator`: phases of a run, and CPU and memory of processes (`process`);
//! - [`report`]: the result, drawn by `chart`;
//! - [`error`]: errors of a run.

mod chart;
pub mod cli;
mod clock;
mod coordinator;
pub mod error;
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
mod tls_session;
mod work;
mod workers;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use coordinator::Coordinator;
use error::BenchError;
use plan::{Plan, Target};
use report::BenchReport;
use tokio::net::TcpStream;
use workers::{Endpoint, Workers};

/// Runs a plan. `progress` gets a line about once a second. Ctrl-C ends the run early, with the
/// figures until then.
pub fn run(plan: &Plan, progress: &mut dyn FnMut(&str)) -> Result<BenchReport, BenchError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| BenchError::System("start the runtime", error))?;
    runtime.block_on(coordinate(plan, progress))
}

async fn coordinate(
    plan: &Plan,
    progress: &mut dyn FnMut(&str),
) -> Result<BenchReport, BenchError> {
    if let Some(pid) = plan.pids.iter().find(|pid| process::usage(&[**pid]).is_none()) {
        return Err(BenchError::NoProcess(*pid));
    }
    let endpoint = resolve(&plan.target).await?;
    let mut subscribe_at = Vec::new();
    for target in &plan.subscribe_at {
        subscribe_at.push(resolve(target).await?);
    }
    let interrupted = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&interrupted);
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            flag.store(true, Relaxed);
        }
    });
    let workers = Workers::start(plan, endpoint, subscribe_at)?;
    work::run(&mut Coordinator::new(workers, progress, interrupted)).await
}

async fn resolve(target: &Target) -> Result<Endpoint, BenchError> {
    let authority = &target.authority;
    let unresolved = |error| BenchError::Unresolved { authority: authority.clone(), error };
    let addresses = tokio::net::lookup_host(authority).await.map_err(unresolved)?;
    let nothing = || unresolved(std::io::Error::other("it has no address"));
    let address = first_that_listens(addresses.collect()).await.ok_or_else(nothing)?;
    Ok(Endpoint { target: target.clone(), address })
}

/// Returns the first address that accepts a connection, as `localhost` may have one that does not. If
/// none does, it is the first one: its error is the reason.
async fn first_that_listens(addresses: Vec<SocketAddr>) -> Option<SocketAddr> {
    for address in &addresses {
        if addresses.len() > 1 && TcpStream::connect(address).await.is_ok() {
            return Some(*address);
        }
    }
    addresses.first().copied()
}
