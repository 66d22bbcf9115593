//! Workload `subscribe`: sessions that subscribe and unsubscribe in turn.

use std::sync::Arc;

use tokio::sync::Notify;

use crate::coordinator::{Coordinator, float};
use crate::error::BenchError;
use crate::protocol::ServerMessage;
use crate::report::BenchReport;
use crate::session::{self, Role};
use crate::socket::Socket;
use crate::tally::Tally;
use crate::workers::{RunContext, Worker, WorkerEvent};

pub(crate) async fn run(
    coordinator: &mut Coordinator<'_>,
    connections: usize,
    topics: usize,
) -> Result<BenchReport, BenchError> {
    let shared = Arc::clone(coordinator.shared());
    let go = Arc::new(Notify::new());
    for number in 0..connections {
        let go = Arc::clone(&go);
        coordinator.workers.spawner.spawn(move |worker, shared| async move {
            churn(&worker, &shared, &go, number, topics).await
        });
    }
    coordinator.wait_ready(connections, "sessions").await?;
    coordinator.measure_memory().await;

    coordinator.start_period();
    go.notify_waiters();
    coordinator.wait_period("subscriptions and unsubscriptions").await?;
    let wait_outcome =
        coordinator.wait_outstanding(|counts| counts.done + counts.other >= counts.requested).await;
    let cost = coordinator.cost();

    let tally = coordinator.workers.tally()?;
    let counts = tally.counts;
    coordinator.check_result(&counts)?;
    let period = &shared.period;
    let seconds = float(period.end().saturating_sub(period.begin())) / 1e9;
    let mut report = BenchReport::new(&shared.plan, seconds);
    report.count("subscribes", "subscriptions", counts.done);
    report.count("unsubscribes", "unsubscriptions", counts.other);
    let answered = counts.done + counts.other;
    report.count("lost", "not answered", counts.requested.saturating_sub(answered));
    report.rate("subscribes_per_second", "subscribes", counts.done, seconds);
    report.rate("unsubscribes_per_second", "unsubscribes", counts.other, seconds);
    let name = "server_cpu_us_per_subscribe_and_unsubscribe";
    report.cpu(name, "server CPU a subscribe and its unsubscribe", &cost, answered / 2);
    report.memory(coordinator, connections as u64);
    report.latency("latency_us", "SUBSCRIBE to SUBSCRIBED", &tally.latency);
    report.latency("unsubscribe_latency_us", "UNSUBSCRIBE to UNSUBSCRIBED", &tally.other_latency);
    report.generator(&cost);
    report.wait_outcome(wait_outcome);
    report.ended(coordinator);
    Ok(report)
}

async fn churn(
    worker: &Worker,
    shared: &RunContext,
    go: &Notify,
    number: usize,
    topics: usize,
) -> Result<(), BenchError> {
    // Registered before `Ready` is sent, so that the start is not missed.
    let mut start = std::pin::pin!(go.notified());
    start.as_mut().enable();
    let permit = shared.opening.acquire().await;
    let mut socket = session::open(worker, shared, Role::Subscriber).await?;
    drop(permit);
    shared.send_event(WorkerEvent::Ready);
    tokio::select! {
        () = start => {}
        failed = handle(worker, shared, &mut socket) => return Err(failed),
    }
    let mut request = 0;
    let mut turn = number;
    while shared.period.clock.now() < shared.period.end() {
        let topic = shared.topic(turn % topics);
        turn += 1;
        request += 1;
        let requested = request;
        socket.send(|protocol, out| protocol.subscribe(out, requested, &topic))?;
        let id = answer(worker, shared, &mut socket, &topic, true).await?;
        request += 1;
        socket.send(|protocol, out| protocol.unsubscribe(out, request, &topic, requested, id))?;
        answer(worker, shared, &mut socket, &topic, false).await?;
    }
    Err(handle(worker, shared, &mut socket).await)
}

/// Reads from the connection until it fails.
async fn handle(worker: &Worker, shared: &RunContext, socket: &mut Socket) -> BenchError {
    loop {
        let nothing = |_: &mut Tally, _, _: ServerMessage<'_>| Ok(());
        if let Err(error) = socket.drive(worker, shared, &mut { nothing }).await {
            return error;
        }
    }
}

/// Waits for the answer to the last request. Returns the subscription's id.
async fn answer(
    worker: &Worker,
    shared: &RunContext,
    socket: &mut Socket,
    topic: &str,
    subscribed: bool,
) -> Result<u64, BenchError> {
    let requested = shared.period.clock.now();
    let measured = shared.period.measures(requested);
    worker.local().tally.counts.requested += u64::from(measured);
    let mut answer = None;
    while answer.is_none() {
        let mut handle = |tally: &mut Tally, now: u64, message: ServerMessage<'_>| match message {
            ServerMessage::Done { id, .. } => {
                answer = Some(id.unwrap_or_default());
                tally.counts.seen += 1;
                let took = now.saturating_sub(requested);
                if measured && subscribed {
                    tally.done(now, took);
                } else if measured {
                    tally.counts.other += 1;
                    tally.other_latency.saturating_record(took);
                }
                Ok(())
            }
            ServerMessage::Refused(refusal) => {
                Err(session::refused("subscribe to", refusal, |_| Some(topic.to_owned())))
            }
            ServerMessage::Event(_)
            | ServerMessage::Invocation { .. }
            | ServerMessage::Welcome
            | ServerMessage::Ended(_)
            | ServerMessage::Nothing => Ok(()),
        };
        socket.drive(worker, shared, &mut handle).await?;
    }
    Ok(answer.unwrap_or_default())
}
