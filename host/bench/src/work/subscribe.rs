//! Sessions that subscribe and unsubscribe in turn: what coming and going costs.

use std::sync::Arc;

use tokio::sync::Notify;

use crate::coordinator::{Lead, float};
use crate::failure::Failure;
use crate::protocol::Said;
use crate::report::Report;
use crate::session::{self, Role};
use crate::socket::Socket;
use crate::tally::Tally;
use crate::workers::{Lane, Shared, WorkerEvent};

pub(crate) async fn run(
    lead: &mut Lead<'_>,
    connections: usize,
    topics: usize,
) -> Result<Report, Failure> {
    let shared = Arc::clone(lead.shared());
    let go = Arc::new(Notify::new());
    for number in 0..connections {
        let go = Arc::clone(&go);
        lead.workers.spawner.spawn(move |lane, shared| async move {
            churn(&lane, &shared, &go, number, topics).await
        });
    }
    lead.all_ready(connections, "sessions").await?;
    lead.all_open().await;

    lead.set_course();
    go.notify_waiters();
    lead.course("subscriptions and unsubscriptions").await?;
    let waited = lead.rest(|counts| counts.done + counts.other >= counts.asked).await;
    let cost = lead.cost();

    let tally = lead.workers.tally()?;
    let counts = tally.counts;
    lead.judge(&counts)?;
    let course = &shared.course;
    let seconds = float(course.end().saturating_sub(course.begin())) / 1e9;
    let mut report = Report::new(&shared.plan, seconds);
    report.count("subscribes", "subscriptions", counts.done);
    report.count("unsubscribes", "unsubscriptions", counts.other);
    let answered = counts.done + counts.other;
    report.count("lost", "not answered", counts.asked.saturating_sub(answered));
    report.rate("subscribes_per_second", "subscribes", counts.done, seconds);
    report.rate("unsubscribes_per_second", "unsubscribes", counts.other, seconds);
    let name = "server_cpu_us_per_subscribe_and_unsubscribe";
    report.cpu(name, "server CPU a subscribe and its unsubscribe", &cost, answered / 2);
    report.memory(lead, connections as u64);
    report.latency("latency_us", "SUBSCRIBE to SUBSCRIBED", &tally.latency);
    report.latency("unsubscribe_latency_us", "UNSUBSCRIBE to UNSUBSCRIBED", &tally.other_latency);
    report.generator(&cost);
    report.waited(waited);
    report.ended(lead);
    Ok(report)
}

async fn churn(
    lane: &Lane,
    shared: &Shared,
    go: &Notify,
    number: usize,
    topics: usize,
) -> Result<(), Failure> {
    // Registered before anybody is told, so that it is not missed.
    let mut start = std::pin::pin!(go.notified());
    start.as_mut().enable();
    let permit = shared.opening.acquire().await;
    let mut socket = session::open(lane, shared, Role::Subscriber).await?;
    drop(permit);
    shared.tell(WorkerEvent::Ready);
    tokio::select! {
        () = start => {}
        failed = listen(lane, shared, &mut socket) => return Err(failed),
    }
    let mut request = 0;
    let mut turn = number;
    while shared.course.clock.now() < shared.course.end() {
        let topic = shared.topic(turn % topics);
        turn += 1;
        request += 1;
        let asked = request;
        socket.send(|talk, out| talk.subscribe(out, asked, &topic))?;
        let id = answer(lane, shared, &mut socket, &topic, true).await?;
        request += 1;
        socket.send(|talk, out| talk.unsubscribe(out, request, &topic, asked, id))?;
        answer(lane, shared, &mut socket, &topic, false).await?;
    }
    Err(listen(lane, shared, &mut socket).await)
}

/// Keeps the connection alive until it fails.
async fn listen(lane: &Lane, shared: &Shared, socket: &mut Socket) -> Failure {
    loop {
        let nothing = |_: &mut Tally, _, _: Said<'_>| Ok(());
        if let Err(failure) = socket.turn(lane, shared, &mut { nothing }).await {
            return failure;
        }
    }
}

/// Waits for the answer to what was just asked for; returns the subscription's id.
async fn answer(
    lane: &Lane,
    shared: &Shared,
    socket: &mut Socket,
    topic: &str,
    subscribed: bool,
) -> Result<u64, Failure> {
    let asked = shared.course.clock.now();
    let measured = shared.course.measures(asked);
    lane.desk().tally.counts.asked += u64::from(measured);
    let mut answer = None;
    while answer.is_none() {
        let mut listen = |tally: &mut Tally, now: u64, said: Said<'_>| match said {
            Said::Done { id, .. } => {
                answer = Some(id.unwrap_or_default());
                tally.counts.seen += 1;
                let took = now.saturating_sub(asked);
                if measured && subscribed {
                    tally.done(now, took);
                } else if measured {
                    tally.counts.other += 1;
                    tally.other_latency.saturating_record(took);
                }
                Ok(())
            }
            Said::Refused(refusal) => {
                Err(session::refused("subscribe to", refusal, |_| Some(topic.to_owned())))
            }
            Said::Event(_) | Said::Welcome | Said::Ended(_) | Said::Nothing => Ok(()),
        };
        socket.turn(lane, shared, &mut listen).await?;
    }
    Ok(answer.unwrap_or_default())
}
