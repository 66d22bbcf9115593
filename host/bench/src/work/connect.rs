//! Opens connections and keeps them: how quickly that goes, and what they cost the server.

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::pace;
use crate::clock::{Schedule, nanoseconds};
use crate::coordinator::{Lead, float};
use crate::failure::Failure;
use crate::protocol::Said;
use crate::report::{self, Report};
use crate::session::{self, Role};
use crate::socket::Socket;
use crate::tally::Tally;
use crate::workers::{Lane, Shared, WorkerEvent};

/// What came of the attempts.
#[derive(Default)]
struct Attempts {
    opened: u64,
    refused: u64,
    /// The first reason.
    why: Option<Failure>,
}

pub(crate) async fn run(
    lead: &mut Lead<'_>,
    connections: usize,
    bare: bool,
) -> Result<Report, Failure> {
    let shared = Arc::clone(lead.shared());
    let start = shared.course.clock.now();
    shared.course.set(start, u64::MAX);
    lead.begin();
    if let Some(rate) = shared.plan.rate {
        at_rate(lead, Schedule::new(start, rate), connections, bare)?;
    } else {
        at_once(lead, connections, bare);
    }
    let attempts = all_tried(lead, connections).await?;
    let cost = lead.cost();
    let seconds = float(lead.workers.counts().last.saturating_sub(start)) / 1e9;
    hold(lead).await;
    lead.all_open().await;

    let tally = lead.workers.tally()?;
    let lost = lead.ended.as_ref().map_or(0, |ended| ended.0);
    let mut report = Report::new(&shared.plan, seconds);
    report.count("connects", "connections opened", tally.counts.done);
    report.rate("connects_per_second", "connects", tally.counts.done, seconds);
    report.count("refused", "refused", attempts.refused);
    report.count("lost", "lost afterwards", lost);
    report.cpu("server_cpu_us_per_connect", "server CPU a connect", &cost, tally.counts.done);
    report.memory(lead, attempts.opened.saturating_sub(lost));
    report.latency("latency_us", "opening", &tally.latency);
    report.generator(&cost);
    if let Some(why) = attempts.why {
        let what = report::connections(attempts.refused);
        report.note(format!("{what} refused: {why}"));
    }
    report.ended(lead);
    Ok(report)
}

/// So many at a time as the window is wide.
fn at_once(lead: &Lead<'_>, connections: usize, bare: bool) {
    let window = Arc::new(Semaphore::new(lead.shared().plan.window));
    for number in 0..connections {
        let window = Arc::clone(&window);
        lead.workers.spawner.spawn(move |lane, shared| async move {
            let place = window.acquire_owned().await;
            let due = shared.course.clock.now();
            if due >= shared.course.end() {
                return Ok(());
            }
            let socket = open(&lane, &shared, number, bare, due).await;
            drop(place);
            keep(&lane, &shared, socket).await
        });
    }
}

/// A thread that begins one after the other when it is due.
fn at_rate(
    lead: &Lead<'_>,
    schedule: Schedule,
    connections: usize,
    bare: bool,
) -> Result<(), Failure> {
    let shared = Arc::clone(lead.shared());
    let spawner = lead.workers.spawner.clone();
    pace::thread(Arc::clone(&shared), Arc::clone(&lead.workers.pacer), move || {
        let connect = |number: u64, due| {
            let Ok(index) = usize::try_from(number) else { return Ok(false) };
            if index < connections {
                spawner.spawn(move |lane, shared| async move {
                    let socket = open(&lane, &shared, index, bare, due).await;
                    keep(&lane, &shared, socket).await
                });
            }
            Ok(index + 1 < connections)
        };
        pace::pace(&shared.course, schedule, connect, || Ok(())).map(|_| ())
    })
}

/// Opens one; the time until it has what it needs is counted from when it was due.
async fn open(
    lane: &Lane,
    shared: &Shared,
    number: usize,
    bare: bool,
    due: u64,
) -> Result<Socket, Failure> {
    let mut socket = session::open(lane, shared, Role::Subscriber).await?;
    if !bare {
        session::subscribe(&mut socket, lane, shared, number..number + 1).await?;
    }
    let now = shared.course.clock.now();
    let mut desk = lane.desk();
    desk.tally.counts.seen += 1;
    desk.tally.done(now, now.saturating_sub(due));
    Ok(socket)
}

/// Keeps it for as long as the run lasts.
async fn keep(
    lane: &Lane,
    shared: &Shared,
    socket: Result<Socket, Failure>,
) -> Result<(), Failure> {
    let mut socket = match socket {
        Ok(socket) => socket,
        Err(failure) => {
            shared.tell(WorkerEvent::NotOpened(failure));
            return Ok(());
        }
    };
    shared.tell(WorkerEvent::Ready);
    loop {
        socket.turn(lane, shared, &mut |_: &mut Tally, _, _: Said<'_>| Ok(())).await?;
    }
}

/// Waits until each attempt has succeeded or failed, or the user has had enough.
async fn all_tried(lead: &mut Lead<'_>, connections: usize) -> Result<Attempts, Failure> {
    let mut attempts = Attempts::default();
    let all = connections as u64;
    while attempts.opened + attempts.refused < all && !lead.interrupted() {
        match lead.news().await {
            Some(WorkerEvent::Ready) => attempts.opened += 1,
            Some(WorkerEvent::NotOpened(failure)) if failure.is_everyones() => return Err(failure),
            Some(WorkerEvent::NotOpened(failure)) => {
                attempts.refused += 1;
                attempts.why.get_or_insert(failure);
            }
            Some(WorkerEvent::Failed(failure)) => lead.has_ended(failure),
            None => {}
        }
        let opened = attempts.opened;
        lead.line(|rate| format!("{rate:.0} connections a second, {opened} of {connections} open"));
    }
    if lead.interrupted() {
        lead.shared().course.cut();
    }
    match attempts.why {
        Some(why) if attempts.opened == 0 => Err(why),
        None if attempts.opened == 0 => Err(Failure::Interrupted),
        _ => Ok(attempts),
    }
}

/// Keeps what is open for the time that was asked for.
async fn hold(lead: &mut Lead<'_>) {
    let shared = Arc::clone(lead.shared());
    let until = shared.course.clock.now().saturating_add(nanoseconds(shared.plan.seconds));
    while shared.course.clock.now() < until && !lead.interrupted() {
        if let Some(WorkerEvent::Failed(failure)) = lead.news().await {
            lead.has_ended(failure);
        }
        lead.line(|_| "keeping the connections".to_owned());
    }
}
