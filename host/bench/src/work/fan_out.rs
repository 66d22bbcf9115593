//! Workload `fan-out`: publishes to topics with subscribers, for delivery rate and latency.

use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};
use std::sync::atomic::{AtomicU32, AtomicUsize};
use std::sync::{Arc, OnceLock};

use tokio::sync::Notify;

use super::{pace, text};
use crate::clock::Schedule;
use crate::coordinator::{Coordinator, float};
use crate::error::BenchError;
use crate::protocol::{ClientProtocol, ServerMessage};
use crate::report::BenchReport;
use crate::session::{self, Role};
use crate::socket::{Socket, SocketWriter};
use crate::tally::Tally;
use crate::timestamp::Timestamp;
use crate::workers::{RunContext, Worker, WorkerEvent};

/// Numbers of participants.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Workload {
    pub(crate) topics: usize,
    pub(crate) subscribers: usize,
    pub(crate) publishers: usize,
    pub(crate) subscriptions_per_connection: usize,
}

/// State shared by publishers and subscribers.
struct FanOutState {
    /// Window of each topic. Empty at a fixed rate, which waits for no delivery.
    windows: Vec<Window>,
    slots: Vec<PublisherSlot>,
    /// Subscribers of each topic.
    receivers: u32,
}

/// A topic's events in flight: for each, the number of subscribers that have received it. The
/// sequence number selects the slot. Empty with one subscriber, whose delivery is the last one.
struct Window(Box<[AtomicU32]>);

/// State of one publisher.
#[derive(Default)]
struct PublisherSlot {
    /// Events that may still be published.
    credits: AtomicUsize,
    wake: Notify,
    /// For the pacer thread.
    writer: OnceLock<Arc<SocketWriter>>,
}

/// Bytes that may wait for a publisher's socket at a fixed rate; beyond it, the pacer waits and the
/// rate is not kept.
const MAX_BACKLOG_BYTES: usize = 4 * 1024 * 1024;

pub(crate) async fn run(
    coordinator: &mut Coordinator<'_>,
    workload: Workload,
) -> Result<BenchReport, BenchError> {
    let shared = Arc::clone(coordinator.shared());
    let state = Arc::new(FanOutState::new(&shared, workload));
    let Workload { topics, subscribers, publishers, subscriptions_per_connection: each } = workload;
    let subscribing = topics.div_ceil(each) * subscribers;
    for number in 0..subscribing {
        let first = number / subscribers * each;
        let last = (first + each).min(topics);
        let state = Arc::clone(&state);
        coordinator.workers.spawner.spawn(move |worker, shared| async move {
            subscriber(&worker, &shared, &state, first..last).await
        });
    }
    coordinator.wait_ready(subscribing, "subscribers").await?;
    for number in 0..publishers {
        let state = Arc::clone(&state);
        coordinator.workers.spawner.spawn(move |worker, shared| async move {
            publisher(&worker, &shared, &state, number).await
        });
    }
    coordinator.wait_ready(publishers, "publishers").await?;
    coordinator.measure_memory().await;

    coordinator.start_period();
    match shared.plan.rate {
        Some(rate) => at_rate(coordinator, &state, workload, rate)?,
        None => state.slots.iter().for_each(|slot| slot.wake.notify_one()),
    }
    coordinator.wait_period("deliveries").await?;
    let receivers = subscribers as u64;
    let wait_outcome = coordinator
        .wait_outstanding(|counts| counts.done >= counts.requested.saturating_mul(receivers))
        .await;
    let cost = coordinator.cost();

    let tally = coordinator.workers.tally()?;
    let counts = tally.counts;
    coordinator.check_result(&counts)?;
    let expected = counts.requested.saturating_mul(receivers);
    let period = &shared.period;
    // If the rate is not kept, sending continues after the end.
    let sent = period.end().max(counts.sent);
    let published = float(sent.saturating_sub(period.begin())) / 1e9;
    let delivered = float(sent.max(counts.last).saturating_sub(period.begin())) / 1e9;
    let mut report = BenchReport::new(&shared.plan, published);
    report.count("publishes", "events published", counts.requested);
    report.count("deliveries", "deliveries", counts.done);
    report.count("lost", "lost", expected.saturating_sub(counts.done));
    report.rate("publishes_per_second", "publishes", counts.requested, published);
    report.rate("deliveries_per_second", "deliveries", counts.done, delivered);
    report.cpu("server_cpu_us_per_delivery", "server CPU a delivery", &cost, counts.done);
    report.cpu("server_cpu_us_per_publish", "server CPU a publish", &cost, counts.requested);
    report.processes(&cost, counts.requested);
    report.received(&counts);
    report.memory(coordinator, (subscribing + publishers) as u64);
    report.latency("latency_us", "publish to delivery", &tally.latency);
    report.lag(&tally.lag, counts.unsent, sent.saturating_sub(period.end()));
    report.generator(&cost);
    report.wait_outcome(wait_outcome);
    report.ended(coordinator);
    Ok(report)
}

impl FanOutState {
    fn new(shared: &RunContext, workload: Workload) -> Self {
        let windows = if shared.plan.rate.is_none() { workload.topics } else { 0 };
        // With a power of two, slots stay consistent when sequence numbers wrap.
        let slots =
            if workload.subscribers == 1 { 0 } else { shared.plan.window.next_power_of_two() };
        let window = || Window((0..slots).map(|_| AtomicU32::new(0)).collect());
        let credits = || AtomicUsize::new(shared.plan.window);
        let slot = || PublisherSlot { credits: credits(), ..PublisherSlot::default() };
        Self {
            windows: (0..windows).map(|_| window()).collect(),
            slots: (0..workload.publishers).map(|_| slot()).collect(),
            receivers: u32::try_from(workload.subscribers).unwrap_or(u32::MAX),
        }
    }

    fn writer(&self, slot: usize) -> Option<Arc<SocketWriter>> {
        self.slots.get(slot)?.writer.get().cloned()
    }

    /// Records a delivery. The last delivery of an event allows another publication.
    fn received(&self, topic: usize, event: u32) {
        let Some(Window(slots)) = self.windows.get(topic) else { return };
        if let Some(slot) = slots.get(event as usize & slots.len().saturating_sub(1)) {
            if slot.fetch_add(1, AcqRel) + 1 < self.receivers {
                return;
            }
            slot.store(0, Relaxed);
        }
        if let Some(slot) = self.slots.get(topic % self.slots.len().max(1)) {
            slot.credits.fetch_add(1, AcqRel);
            slot.wake.notify_one();
        }
    }
}

async fn subscriber(
    worker: &Worker,
    shared: &RunContext,
    state: &FanOutState,
    topics: std::ops::Range<usize>,
) -> Result<(), BenchError> {
    let permit = shared.opening.acquire().await;
    let mut socket = session::open(worker, shared, Role::Subscriber).await?;
    session::subscribe(&mut socket, worker, shared, topics.clone()).await?;
    drop(permit);
    shared.send_event(WorkerEvent::Ready);
    let first = topics.start;
    // The next sequence number of each topic.
    let mut next = vec![0_u32; topics.len()];
    let mut handle = |tally: &mut Tally, now, message: ServerMessage<'_>| {
        let ServerMessage::Event(text) = message else { return Ok(()) };
        // Events of other runs are ignored.
        let timestamp = Timestamp::read(text).filter(|timestamp| timestamp.run == shared.run);
        let Some(timestamp) = timestamp else { return Ok(()) };
        let topic = timestamp.topic as usize;
        let Some(expected) = next.get_mut(topic.wrapping_sub(first)) else { return Ok(()) };
        let Some(ahead) = timestamp.ahead_of(*expected) else { return Ok(()) };
        tally.counts.seen += 1;
        if timestamp.measured {
            tally.done(now, timestamp.age(now));
        }
        // Events in between are lost: they count as delivered in the window.
        for _ in 0..=ahead {
            state.received(topic, *expected);
            *expected = expected.wrapping_add(1);
        }
        Ok(())
    };
    loop {
        socket.drive(worker, shared, &mut handle).await?;
    }
}

async fn publisher(
    worker: &Worker,
    shared: &RunContext,
    state: &FanOutState,
    number: usize,
) -> Result<(), BenchError> {
    let permit = shared.opening.acquire().await;
    let mut socket = session::open(worker, shared, Role::Publisher).await?;
    drop(permit);
    let Some(slot) = state.slots.get(number) else { return Ok(()) };
    let _first = slot.writer.set(Arc::clone(&socket.writer));
    shared.send_event(WorkerEvent::Ready);
    let publishers = state.slots.len();
    // The first event of each topic is acknowledged, so that a refusal is noticed: these are the
    // first requests, in the order of the topics.
    let mut handle = |_: &mut Tally, _, message: ServerMessage<'_>| match message {
        ServerMessage::Refused(refusal) => {
            Err(session::refused("publish to", refusal, |request| {
                let turn = usize::try_from(request?).ok()?.checked_sub(1)?;
                Some(shared.topic(number + turn * publishers))
            }))
        }
        ServerMessage::Event(_)
        | ServerMessage::Invocation { .. }
        | ServerMessage::Welcome
        | ServerMessage::Done { .. }
        | ServerMessage::Ended(_)
        | ServerMessage::Nothing => Ok(()),
    };
    if shared.plan.rate.is_some() {
        loop {
            socket.drive(worker, shared, &mut handle).await?;
        }
    }
    let mut event_writer = EventWriter::new(shared, number, publishers);
    loop {
        tokio::select! {
            turn = socket.drive(worker, shared, &mut handle) => turn?,
            () = slot.wake.notified() => {}
        }
        publish(&mut socket, worker, shared, &mut event_writer, &slot.credits)?;
    }
}

/// Publishes as many events as the window and the socket allow. Each is a write of its own, as with
/// most clients.
fn publish(
    socket: &mut Socket,
    worker: &Worker,
    shared: &RunContext,
    event_writer: &mut EventWriter,
    credits: &AtomicUsize,
) -> Result<(), BenchError> {
    let (mut published, mut measured) = (0, 0);
    let may = credits.load(Acquire);
    while published < may && socket.pending() == 0 {
        let now = shared.period.clock.now();
        if now >= shared.period.end() {
            break;
        }
        socket.send(|protocol, out| {
            measured += u64::from(event_writer.write(shared, protocol, out, now));
        })?;
        published += 1;
    }
    credits.fetch_sub(published, AcqRel);
    worker.local().tally.counts.requested += measured;
    Ok(())
}

/// Writes a publisher's events to its topics in turn: every n-th topic, for n publishers.
struct EventWriter {
    text: Vec<u8>,
    topics: Vec<TopicCursor>,
    turn: usize,
    requests: u64,
}

/// A topic and its next sequence number.
struct TopicCursor {
    topic: usize,
    name: String,
    /// The next sequence number.
    next: u32,
}

impl EventWriter {
    fn new(shared: &RunContext, number: usize, step: usize) -> Self {
        let topics = (number..shared.plan.work.topics()).step_by(step.max(1));
        let cursor = |topic| TopicCursor { topic, name: shared.topic(topic), next: 0 };
        let topics = topics.map(cursor).collect();
        Self { text: text(shared.plan.payload), topics, turn: 0, requests: 0 }
    }

    /// Writes the next event. Returns whether it is measured.
    fn write(
        &mut self,
        shared: &RunContext,
        protocol: &mut ClientProtocol,
        out: &mut Vec<u8>,
        time: u64,
    ) -> bool {
        let topics = self.topics.len();
        let Some(cursor) = self.topics.get_mut(self.turn) else { return false };
        self.turn = (self.turn + 1) % topics;
        self.requests += 1;
        let measured = shared.period.measures(time);
        // There are fewer topics than `u32::MAX`.
        let topic = u32::try_from(cursor.topic).unwrap_or(u32::MAX);
        let (run, sequence) = (shared.run, cursor.next);
        Timestamp { run, time, topic, sequence, measured }.write(&mut self.text);
        protocol.publish(out, self.requests, &cursor.name, &self.text, cursor.next == 0);
        cursor.next = cursor.next.wrapping_add(1);
        measured
    }
}

/// Publishes at a fixed rate, in the pacer thread.
struct Pacer {
    shared: Arc<RunContext>,
    state: Arc<FanOutState>,
    worker: Arc<Worker>,
    event_writers: Vec<EventWriter>,
    protocol: ClientProtocol,
    /// Publishers with pending bytes.
    dirty: Vec<usize>,
}

fn at_rate(
    coordinator: &Coordinator<'_>,
    state: &Arc<FanOutState>,
    workload: Workload,
    rate: f64,
) -> Result<(), BenchError> {
    let shared = Arc::clone(coordinator.shared());
    let schedule = Schedule::new(shared.period.clock.now(), rate);
    let event_writers = (0..workload.publishers)
        .map(|number| EventWriter::new(&shared, number, workload.publishers));
    let mut pacer = Pacer {
        event_writers: event_writers.collect(),
        protocol: ClientProtocol::new(shared.plan.dialect, false),
        state: Arc::clone(state),
        worker: Arc::clone(&coordinator.workers.pacer),
        dirty: Vec::new(),
        shared: Arc::clone(&shared),
    };
    pace::thread(shared, Arc::clone(&coordinator.workers.pacer), move || {
        let shared = Arc::clone(&pacer.shared);
        let pacer = std::cell::RefCell::new(&mut pacer);
        let unsent = pace::pace(
            &shared.period,
            schedule,
            |number, due| pacer.borrow_mut().publish(number, due).map(|()| true),
            || pacer.borrow_mut().flush(),
        )?;
        pacer.borrow().worker.local().tally.counts.unsent = unsent;
        // Writes the bytes that the sockets had not accepted at the end of the period.
        while !pacer.borrow().dirty.is_empty() {
            std::thread::sleep(pace::RETRY_INTERVAL);
            pacer.borrow_mut().flush()?;
            pacer.borrow().record_sent();
        }
        Ok(())
    })
}

impl Pacer {
    fn publish(&mut self, number: u64, due: u64) -> Result<(), BenchError> {
        let turn =
            usize::try_from(number % (self.event_writers.len() as u64).max(1)).unwrap_or_default();
        let (Some(event_writer), Some(writer)) =
            (self.event_writers.get_mut(turn), self.state.writer(turn))
        else {
            return Ok(());
        };
        let mut pending = writer.pending();
        let measured = event_writer.write(&self.shared, &mut self.protocol, &mut pending, due);
        writer.flush(&mut pending)?;
        if measured {
            let lag = self.shared.period.clock.now().saturating_sub(due);
            let mut local = self.worker.local();
            local.tally.counts.requested += 1;
            local.tally.lag.saturating_record(lag);
        }
        // The server is too slow: due events wait here, and their latency grows.
        let period = &self.shared.period;
        while pending.len() > MAX_BACKLOG_BYTES && period.clock.now() < period.deadline() {
            std::thread::sleep(pace::RETRY_INTERVAL);
            writer.flush(&mut pending)?;
        }
        if !pending.is_empty() && !self.dirty.contains(&turn) {
            self.dirty.push(turn);
        }
        drop(pending);
        if measured {
            self.record_sent();
        }
        Ok(())
    }

    fn record_sent(&self) {
        self.worker.local().tally.counts.sent = self.shared.period.clock.now();
    }

    fn flush(&mut self) -> Result<(), BenchError> {
        let mut dirty = std::mem::take(&mut self.dirty);
        let mut first_error = None;
        dirty.retain(|slot| {
            let Some(writer) = self.state.writer(*slot) else { return false };
            let mut pending = writer.pending();
            if let Err(error) = writer.flush(&mut pending) {
                first_error.get_or_insert(error);
            }
            !pending.is_empty()
        });
        self.dirty = dirty;
        first_error.map_or(Ok(()), Err)
    }
}
