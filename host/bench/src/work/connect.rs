//! Workload `connect`: opens connections and keeps them, for their rate and their cost to the
//! server.

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::pace;
use crate::clock::{Schedule, nanoseconds};
use crate::coordinator::{Coordinator, float};
use crate::error::BenchError;
use crate::protocol::ServerMessage;
use crate::report::{self, BenchReport};
use crate::session::{self, Role};
use crate::socket::Socket;
use crate::tally::Tally;
use crate::workers::{RunContext, Worker, WorkerEvent};

/// Results of the attempts.
#[derive(Default)]
struct Attempts {
    opened: u64,
    refused: u64,
    /// The first error.
    why: Option<BenchError>,
}

pub(crate) async fn run(
    coordinator: &mut Coordinator<'_>,
    connections: usize,
    bare: bool,
) -> Result<BenchReport, BenchError> {
    let shared = Arc::clone(coordinator.shared());
    let start = shared.period.clock.now();
    shared.period.set(start, u64::MAX);
    coordinator.start_cost();
    if let Some(rate) = shared.plan.rate {
        at_rate(coordinator, Schedule::new(start, rate), connections, bare)?;
    } else {
        at_once(coordinator, connections, bare);
    }
    let attempts = all_tried(coordinator, connections).await?;
    let cost = coordinator.cost();
    let seconds = float(coordinator.workers.counts().last.saturating_sub(start)) / 1e9;
    hold(coordinator).await;
    coordinator.measure_memory().await;

    let tally = coordinator.workers.tally()?;
    let lost = coordinator.disconnects.as_ref().map_or(0, |ended| ended.0);
    let mut report = BenchReport::new(&shared.plan, seconds);
    report.count("connects", "connections opened", tally.counts.done);
    report.rate("connects_per_second", "connects", tally.counts.done, seconds);
    report.count("refused", "refused", attempts.refused);
    report.count("lost", "lost afterwards", lost);
    report.cpu("server_cpu_us_per_connect", "server CPU a connect", &cost, tally.counts.done);
    report.memory(coordinator, attempts.opened.saturating_sub(lost));
    report.latency("latency_us", "opening", &tally.latency);
    report.generator(&cost);
    if let Some(why) = attempts.why {
        let what = report::connections(attempts.refused);
        report.note(format!("{what} refused: {why}"));
    }
    report.ended(coordinator);
    Ok(report)
}

/// Opens connections, as many at a time as the window allows.
fn at_once(coordinator: &Coordinator<'_>, connections: usize, bare: bool) {
    let window = Arc::new(Semaphore::new(coordinator.shared().plan.window));
    for number in 0..connections {
        let window = Arc::clone(&window);
        coordinator.workers.spawner.spawn(move |worker, shared| async move {
            let place = window.acquire_owned().await;
            let due = shared.period.clock.now();
            if due >= shared.period.end() {
                return Ok(());
            }
            let socket = open(&worker, &shared, number, bare, due).await;
            drop(place);
            keep(&worker, &shared, socket).await
        });
    }
}

/// Opens connections at a fixed rate, from the pacer thread.
fn at_rate(
    coordinator: &Coordinator<'_>,
    schedule: Schedule,
    connections: usize,
    bare: bool,
) -> Result<(), BenchError> {
    let shared = Arc::clone(coordinator.shared());
    let spawner = coordinator.workers.spawner.clone();
    pace::thread(Arc::clone(&shared), Arc::clone(&coordinator.workers.pacer), move || {
        let connect = |number: u64, due| {
            let Ok(index) = usize::try_from(number) else { return Ok(false) };
            if index < connections {
                spawner.spawn(move |worker, shared| async move {
                    let socket = open(&worker, &shared, index, bare, due).await;
                    keep(&worker, &shared, socket).await
                });
            }
            Ok(index + 1 < connections)
        };
        pace::pace(&shared.period, schedule, connect, || Ok(())).map(|_| ())
    })
}

/// Opens one connection. Its latency counts from its due time.
async fn open(
    worker: &Worker,
    shared: &RunContext,
    number: usize,
    bare: bool,
    due: u64,
) -> Result<Socket, BenchError> {
    let mut socket = session::open(worker, shared, Role::Subscriber).await?;
    if !bare {
        session::subscribe(&mut socket, worker, shared, number..number + 1).await?;
    }
    let now = shared.period.clock.now();
    let mut local = worker.local();
    local.tally.counts.seen += 1;
    local.tally.done(now, now.saturating_sub(due));
    Ok(socket)
}

/// Keeps a connection open until the run ends.
async fn keep(
    worker: &Worker,
    shared: &RunContext,
    socket: Result<Socket, BenchError>,
) -> Result<(), BenchError> {
    let mut socket = match socket {
        Ok(socket) => socket,
        Err(error) => {
            shared.send_event(WorkerEvent::NotOpened(error));
            return Ok(());
        }
    };
    shared.send_event(WorkerEvent::Ready);
    loop {
        socket.drive(worker, shared, &mut |_: &mut Tally, _, _: ServerMessage<'_>| Ok(())).await?;
    }
}

/// Waits until each attempt has succeeded or failed, or the run is interrupted.
async fn all_tried(
    coordinator: &mut Coordinator<'_>,
    connections: usize,
) -> Result<Attempts, BenchError> {
    let mut attempts = Attempts::default();
    let all = connections as u64;
    while attempts.opened + attempts.refused < all && !coordinator.interrupted() {
        match coordinator.next_event().await {
            Some(WorkerEvent::Ready) => attempts.opened += 1,
            Some(WorkerEvent::NotOpened(error)) if error.is_fatal() => return Err(error),
            Some(WorkerEvent::NotOpened(error)) => {
                attempts.refused += 1;
                attempts.why.get_or_insert(error);
            }
            Some(WorkerEvent::Failed(error)) => coordinator.record_disconnect(error),
            None => {}
        }
        let opened = attempts.opened;
        coordinator.report_progress(|rate| {
            format!("{rate:.0} connections a second, {opened} of {connections} open")
        });
    }
    if coordinator.interrupted() {
        coordinator.shared().period.cut();
    }
    match attempts.why {
        Some(why) if attempts.opened == 0 => Err(why),
        None if attempts.opened == 0 => Err(BenchError::Interrupted),
        _ => Ok(attempts),
    }
}

/// Keeps the connections open for the measured time.
async fn hold(coordinator: &mut Coordinator<'_>) {
    let shared = Arc::clone(coordinator.shared());
    let until = shared.period.clock.now().saturating_add(nanoseconds(shared.plan.seconds));
    while shared.period.clock.now() < until && !coordinator.interrupted() {
        if let Some(WorkerEvent::Failed(error)) = coordinator.next_event().await {
            coordinator.record_disconnect(error);
        }
        coordinator.report_progress(|_| "keeping the connections".to_owned());
    }
}
