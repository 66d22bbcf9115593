//! Request-response workloads: connections that send requests with a window in flight, or all
//! together at a fixed rate. [`super::publish`] and [`super::call`] supply a [`RequestWriter`] and
//! the labels of the report.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::sync::Notify;

use super::outstanding::Outstanding;
use super::pace;
use crate::clock::Schedule;
use crate::coordinator::{Coordinator, float};
use crate::error::BenchError;
use crate::protocol::{ClientProtocol, RequestError, ServerMessage};
use crate::report::BenchReport;
use crate::session::{self, Role};
use crate::socket::{MessageHandler, SocketWriter};
use crate::tally::Tally;
use crate::timestamp::Timestamp;
use crate::workers::{RunContext, Worker, WorkerEvent};

/// Writes the requests of one connection.
pub(crate) trait RequestWriter: Send + Sync + 'static {
    /// Writes the next request.
    fn write(
        &mut self,
        protocol: &mut ClientProtocol,
        out: &mut Vec<u8>,
        request: u64,
        timestamp: Timestamp,
    );

    /// Returns the error for a refused request.
    fn refused(&self, refusal: RequestError) -> BenchError;
}

/// Labels of a report: the name of each figure in JSON, and its label in the table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Labels {
    /// Name of the connections, such as `publishers`.
    pub(crate) senders: &'static str,
    /// Name of the operations, such as `publishes`.
    pub(crate) unit: &'static str,
    pub(crate) requested: (&'static str, &'static str),
    /// Label of `lost`.
    pub(crate) lost: &'static str,
    /// Name of the rate, labelled [`Self::unit`].
    pub(crate) rate: &'static str,
    pub(crate) cpu: (&'static str, &'static str),
    /// Label of the latency.
    pub(crate) latency: &'static str,
}

/// State shared by a connection's task and the pacer thread.
#[derive(Default)]
struct Slot {
    /// Locked briefly by the sender, and by the task for each answer.
    outstanding: Mutex<Outstanding>,
    go: Notify,
    writer: OnceLock<Arc<SocketWriter>>,
}

impl Slot {
    fn outstanding(&self) -> MutexGuard<'_, Outstanding> {
        self.outstanding.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Bytes that may wait for a connection's socket at a fixed rate; beyond it, the pacer waits and
/// the rate is not kept.
const MAX_BACKLOG_BYTES: usize = 4 * 1024 * 1024;

/// Opens the connections, each with a request writer for its number, and runs the workload.
pub(crate) async fn run<P: RequestWriter>(
    coordinator: &mut Coordinator<'_>,
    connections: usize,
    request_writer: impl Fn(usize) -> P,
    text: Labels,
) -> Result<BenchReport, BenchError> {
    let shared = Arc::clone(coordinator.shared());
    let slots: Arc<[Slot]> = (0..connections).map(|_| Slot::default()).collect();
    for number in 0..connections {
        let slots = Arc::clone(&slots);
        let request_writer = request_writer(number);
        coordinator.workers.spawner.spawn(move |worker, shared| async move {
            let Some(slot) = slots.get(number) else { return Ok(()) };
            connection(&worker, &shared, slot, request_writer).await
        });
    }
    coordinator.wait_ready(connections, text.senders).await?;
    coordinator.measure_memory().await;

    coordinator.start_period();
    match shared.plan.rate {
        Some(rate) => {
            at_rate(coordinator, &slots, (0..connections).map(request_writer).collect(), rate)?;
        }
        None => slots.iter().for_each(|slot| slot.go.notify_one()),
    }
    coordinator.wait_period(text.unit).await?;
    let wait_outcome = coordinator.wait_outstanding(|counts| counts.done >= counts.requested).await;
    let cost = coordinator.cost();

    let tally = coordinator.workers.tally()?;
    let counts = tally.counts;
    coordinator.check_result(&counts)?;
    let period = &shared.period;
    let seconds = float(period.end().saturating_sub(period.begin())) / 1e9;
    let answered = float(period.end().max(counts.last).saturating_sub(period.begin())) / 1e9;
    let mut report = BenchReport::new(&shared.plan, seconds);
    report.count(text.requested.0, text.requested.1, counts.requested);
    report.count("lost", text.lost, counts.requested.saturating_sub(counts.done));
    report.rate(text.rate, text.unit, counts.done, answered);
    report.cpu(text.cpu.0, text.cpu.1, &cost, counts.done);
    report.memory(coordinator, shared.plan.work.connections() as u64);
    report.latency("latency_us", text.latency, &tally.latency);
    report.lag(&tally.lag, counts.unsent, 0);
    report.generator(&cost);
    report.wait_outcome(wait_outcome);
    report.ended(coordinator);
    Ok(report)
}

async fn connection<P: RequestWriter>(
    worker: &Worker,
    shared: &RunContext,
    slot: &Slot,
    mut request_writer: P,
) -> Result<(), BenchError> {
    let permit = shared.opening.acquire().await;
    let mut socket = session::open(worker, shared, Role::Answered).await?;
    drop(permit);
    let _first = slot.writer.set(Arc::clone(&socket.writer));
    shared.send_event(WorkerEvent::Ready);
    if shared.plan.rate.is_some() {
        let mut handle = handler(slot, &request_writer);
        loop {
            socket.drive(worker, shared, &mut handle).await?;
        }
    }
    let mut started = false;
    loop {
        let mut handle = handler(slot, &request_writer);
        tokio::select! {
            turn = socket.drive(worker, shared, &mut handle) => turn?,
            () = slot.go.notified() => started = true,
        }
        drop(handle);
        while started
            && socket.pending() == 0
            && slot.outstanding().in_flight() < shared.plan.window
        {
            let time = shared.period.clock.now();
            if time >= shared.period.end() {
                break;
            }
            let measured = shared.period.measures(time);
            let request = slot.outstanding().push(time, measured);
            let timestamp = Timestamp { run: shared.run, time, topic: 0, sequence: 0, measured };
            worker.local().tally.counts.requested += u64::from(measured);
            // Each is a write of its own, as with most clients.
            socket.send(|protocol, out| request_writer.write(protocol, out, request, timestamp))?;
        }
    }
}

/// Counts answers.
fn handler<'a>(slot: &'a Slot, request_writer: &'a impl RequestWriter) -> impl MessageHandler + 'a {
    move |tally: &mut Tally, now: u64, message: ServerMessage<'_>| match message {
        ServerMessage::Done { request, .. } => {
            if let Some((time, measured)) = slot.outstanding().complete(request) {
                tally.counts.seen += 1;
                if measured {
                    tally.done(now, now.saturating_sub(time));
                }
            }
            Ok(())
        }
        ServerMessage::Refused(refusal) => Err(request_writer.refused(refusal)),
        ServerMessage::Event(_)
        | ServerMessage::Invocation { .. }
        | ServerMessage::Welcome
        | ServerMessage::Ended(_)
        | ServerMessage::Nothing => Ok(()),
    }
}

/// Sends requests at a fixed rate from the pacer thread, on each connection in turn.
fn at_rate<P: RequestWriter>(
    coordinator: &Coordinator<'_>,
    slots: &Arc<[Slot]>,
    mut writers: Vec<P>,
    rate: f64,
) -> Result<(), BenchError> {
    let shared = Arc::clone(coordinator.shared());
    let worker = Arc::clone(&coordinator.workers.pacer);
    let slots = Arc::clone(slots);
    let schedule = Schedule::new(shared.period.clock.now(), rate);
    let count = slots.len();
    let mut protocol = ClientProtocol::new(shared.plan.dialect, true);
    pace::thread(Arc::clone(&shared), Arc::clone(&worker), move || {
        let flush = |slot: &Slot| {
            let Some(writer) = slot.writer.get() else { return Ok(true) };
            let mut pending = writer.pending();
            writer.flush(&mut pending).map(|()| pending.is_empty())
        };
        let ask = |number: u64, due| {
            let turn = usize::try_from(number % (count as u64).max(1)).unwrap_or_default();
            let (Some(slot), Some(request_writer)) = (slots.get(turn), writers.get_mut(turn))
            else {
                return Ok(false);
            };
            let Some(writer) = slot.writer.get() else { return Ok(false) };
            let mut pending = writer.pending();
            let measured = shared.period.measures(due);
            let request = slot.outstanding().push(due, measured);
            let timestamp =
                Timestamp { run: shared.run, time: due, topic: 0, sequence: 0, measured };
            request_writer.write(&mut protocol, &mut pending, request, timestamp);
            if measured {
                let lag = shared.period.clock.now().saturating_sub(due);
                let mut local = worker.local();
                local.tally.counts.requested += 1;
                local.tally.lag.saturating_record(lag);
            }
            // The server is too slow: due requests wait here, and their latency grows.
            while pending.len() > MAX_BACKLOG_BYTES
                && shared.period.clock.now() < shared.period.deadline()
            {
                writer.flush(&mut pending)?;
                std::thread::sleep(pace::RETRY_INTERVAL);
            }
            writer.flush(&mut pending)?;
            Ok(true)
        };
        let unsent = pace::pace(&shared.period, schedule, ask, || Ok(()))?;
        worker.local().tally.counts.unsent = unsent;
        for slot in &*slots {
            while !flush(slot)? {
                std::thread::sleep(pace::RETRY_INTERVAL);
            }
        }
        Ok(())
    })
}
