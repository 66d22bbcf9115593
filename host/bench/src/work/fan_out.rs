//! Publishes to topics with subscribers: how quickly events go out, and how long each is on its way.

use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};
use std::sync::atomic::{AtomicU32, AtomicUsize};
use std::sync::{Arc, OnceLock};

use tokio::sync::Notify;

use super::{pace, text};
use crate::clock::Schedule;
use crate::coordinator::{Lead, float};
use crate::failure::Failure;
use crate::protocol::{Said, Talk};
use crate::report::Report;
use crate::session::{self, Role};
use crate::socket::{Socket, Writer};
use crate::tally::Tally;
use crate::timestamp::Stamp;
use crate::workers::{Lane, Shared, WorkerEvent};

/// Who takes part.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Workload {
    pub(crate) topics: usize,
    pub(crate) subscribers: usize,
    pub(crate) publishers: usize,
    pub(crate) subscriptions_per_connection: usize,
}

/// What the publishers and the subscribers share.
struct Stage {
    /// For each topic, how many subscribers have each event that is in flight. Empty at a fixed
    /// rate, which does not wait for anybody.
    windows: Vec<Window>,
    posts: Vec<Post>,
    /// Subscribers of each topic.
    receivers: u32,
}

/// The events of a topic that are in flight: the number of an event chooses its slot. There are none
/// where the first who has an event is the last.
struct Window(Box<[AtomicU32]>);

/// A publisher's.
#[derive(Default)]
struct Post {
    /// How many more events may be published.
    credits: AtomicUsize,
    wake: Notify,
    /// For the thread that publishes at a fixed rate.
    writer: OnceLock<Arc<Writer>>,
}

/// What may wait for a publisher's socket at a fixed rate before the rate is not kept: 4 MiB.
const BACKLOG: usize = 4 * 1024 * 1024;

pub(crate) async fn run(lead: &mut Lead<'_>, who: Workload) -> Result<Report, Failure> {
    let shared = Arc::clone(lead.shared());
    let stage = Arc::new(Stage::new(&shared, who));
    let Workload { topics, subscribers, publishers, subscriptions_per_connection: each } = who;
    let subscribing = topics.div_ceil(each) * subscribers;
    for number in 0..subscribing {
        let first = number / subscribers * each;
        let last = (first + each).min(topics);
        let stage = Arc::clone(&stage);
        lead.workers.spawner.spawn(move |lane, shared| async move {
            subscriber(&lane, &shared, &stage, first..last).await
        });
    }
    lead.all_ready(subscribing, "subscribers").await?;
    for number in 0..publishers {
        let stage = Arc::clone(&stage);
        lead.workers.spawner.spawn(move |lane, shared| async move {
            publisher(&lane, &shared, &stage, number).await
        });
    }
    lead.all_ready(publishers, "publishers").await?;
    lead.all_open().await;

    lead.set_course();
    match shared.plan.rate {
        Some(rate) => at_rate(lead, &stage, who, rate)?,
        None => stage.posts.iter().for_each(|post| post.wake.notify_one()),
    }
    lead.course("deliveries").await?;
    let receivers = subscribers as u64;
    let waited = lead.rest(|counts| counts.done >= counts.asked.saturating_mul(receivers)).await;
    let cost = lead.cost();

    let tally = lead.workers.tally()?;
    let counts = tally.counts;
    lead.judge(&counts)?;
    let expected = counts.asked.saturating_mul(receivers);
    let course = &shared.course;
    // At a rate that is not kept, sending goes on for a while after the end.
    let sent = course.end().max(counts.sent);
    let published = float(sent.saturating_sub(course.begin())) / 1e9;
    let delivered = float(sent.max(counts.last).saturating_sub(course.begin())) / 1e9;
    let mut report = Report::new(&shared.plan, published);
    report.count("publishes", "events published", counts.asked);
    report.count("deliveries", "deliveries", counts.done);
    report.count("lost", "lost", expected.saturating_sub(counts.done));
    report.rate("publishes_per_second", "publishes", counts.asked, published);
    report.rate("deliveries_per_second", "deliveries", counts.done, delivered);
    report.cpu("server_cpu_us_per_delivery", "server CPU a delivery", &cost, counts.done);
    report.cpu("server_cpu_us_per_publish", "server CPU a publish", &cost, counts.asked);
    report.memory(lead, (subscribing + publishers) as u64);
    report.latency("latency_us", "publish to delivery", &tally.latency);
    report.lag(&tally.lag, counts.unsent, sent.saturating_sub(course.end()));
    report.generator(&cost);
    report.waited(waited);
    report.ended(lead);
    Ok(report)
}

impl Stage {
    fn new(shared: &Shared, who: Workload) -> Self {
        let windows = if shared.plan.rate.is_none() { who.topics } else { 0 };
        // A power of two divides the numbers of events also where they wrap.
        let slots = if who.subscribers == 1 { 0 } else { shared.plan.window.next_power_of_two() };
        let window = || Window((0..slots).map(|_| AtomicU32::new(0)).collect());
        let credits = || AtomicUsize::new(shared.plan.window);
        let post = || Post { credits: credits(), ..Post::default() };
        Self {
            windows: (0..windows).map(|_| window()).collect(),
            posts: (0..who.publishers).map(|_| post()).collect(),
            receivers: u32::try_from(who.subscribers).unwrap_or(u32::MAX),
        }
    }

    fn writer(&self, post: usize) -> Option<Arc<Writer>> {
        self.posts.get(post)?.writer.get().cloned()
    }

    /// A subscriber of the topic has that event. If it was the last of them, another may go.
    fn received(&self, topic: usize, event: u32) {
        let Some(Window(slots)) = self.windows.get(topic) else { return };
        if let Some(slot) = slots.get(event as usize & slots.len().saturating_sub(1)) {
            if slot.fetch_add(1, AcqRel) + 1 < self.receivers {
                return;
            }
            slot.store(0, Relaxed);
        }
        if let Some(post) = self.posts.get(topic % self.posts.len().max(1)) {
            post.credits.fetch_add(1, AcqRel);
            post.wake.notify_one();
        }
    }
}

async fn subscriber(
    lane: &Lane,
    shared: &Shared,
    stage: &Stage,
    topics: std::ops::Range<usize>,
) -> Result<(), Failure> {
    let permit = shared.opening.acquire().await;
    let mut socket = session::open(lane, shared, Role::Subscriber).await?;
    session::subscribe(&mut socket, lane, shared, topics.clone()).await?;
    drop(permit);
    shared.tell(WorkerEvent::Ready);
    let first = topics.start;
    // The number of the event that comes next in each topic.
    let mut next = vec![0_u32; topics.len()];
    let mut listen = |tally: &mut Tally, now, said: Said<'_>| {
        let Said::Event(text) = said else { return Ok(()) };
        // What others publish to the same topics is none of ours.
        let stamp = Stamp::read(text).filter(|stamp| stamp.run == shared.run);
        let Some(stamp) = stamp else { return Ok(()) };
        let topic = stamp.topic as usize;
        let Some(expected) = next.get_mut(topic.wrapping_sub(first)) else { return Ok(()) };
        let Some(ahead) = stamp.ahead_of(*expected) else { return Ok(()) };
        tally.counts.seen += 1;
        if stamp.measured {
            tally.done(now, stamp.age(now));
        }
        // Those between are lost; nobody waits for them.
        for _ in 0..=ahead {
            stage.received(topic, *expected);
            *expected = expected.wrapping_add(1);
        }
        Ok(())
    };
    loop {
        socket.turn(lane, shared, &mut listen).await?;
    }
}

async fn publisher(
    lane: &Lane,
    shared: &Shared,
    stage: &Stage,
    number: usize,
) -> Result<(), Failure> {
    let permit = shared.opening.acquire().await;
    let mut socket = session::open(lane, shared, Role::Publisher).await?;
    drop(permit);
    let Some(post) = stage.posts.get(number) else { return Ok(()) };
    let _first = post.writer.set(Arc::clone(&socket.writer));
    shared.tell(WorkerEvent::Ready);
    let publishers = stage.posts.len();
    // The first event of each topic is acknowledged, so that a refusal is heard: these are the first
    // requests, in the order of the topics.
    let mut listen = |_: &mut Tally, _, said: Said<'_>| match said {
        Said::Refused(refusal) => Err(session::refused("publish to", refusal, |request| {
            let turn = usize::try_from(request?).ok()?.checked_sub(1)?;
            Some(shared.topic(number + turn * publishers))
        })),
        Said::Event(_) | Said::Welcome | Said::Done { .. } | Said::Ended(_) | Said::Nothing => {
            Ok(())
        }
    };
    if shared.plan.rate.is_some() {
        loop {
            socket.turn(lane, shared, &mut listen).await?;
        }
    }
    let mut pen = FrameWriter::new(shared, number, publishers);
    loop {
        tokio::select! {
            turn = socket.turn(lane, shared, &mut listen) => turn?,
            () = post.wake.notified() => {}
        }
        publish(&mut socket, lane, shared, &mut pen, &post.credits)?;
    }
}

/// Publishes as many events as may be in flight and the socket takes. Each is a write of its own, as
/// it is with most clients.
fn publish(
    socket: &mut Socket,
    lane: &Lane,
    shared: &Shared,
    pen: &mut FrameWriter,
    credits: &AtomicUsize,
) -> Result<(), Failure> {
    let (mut published, mut measured) = (0, 0);
    let may = credits.load(Acquire);
    while published < may && socket.pending() == 0 {
        let now = shared.course.clock.now();
        if now >= shared.course.end() {
            break;
        }
        socket.send(|talk, out| measured += u64::from(pen.write(shared, talk, out, now)))?;
        published += 1;
    }
    credits.fetch_sub(published, AcqRel);
    lane.desk().tally.counts.asked += measured;
    Ok(())
}

/// Writes a publisher's events, to its topics in turn, which are every so manieth one.
struct FrameWriter {
    text: Vec<u8>,
    lines: Vec<Line>,
    turn: usize,
    requests: u64,
}

/// A topic.
struct Line {
    topic: usize,
    name: String,
    /// The number of its next event.
    next: u32,
}

impl FrameWriter {
    fn new(shared: &Shared, number: usize, step: usize) -> Self {
        let topics = (number..shared.plan.work.topics()).step_by(step.max(1));
        let line = |topic| Line { topic, name: shared.topic(topic), next: 0 };
        let lines = topics.map(line).collect();
        Self { text: text(shared.plan.payload), lines, turn: 0, requests: 0 }
    }

    /// Whether the event counts.
    fn write(&mut self, shared: &Shared, talk: &mut Talk, out: &mut Vec<u8>, time: u64) -> bool {
        let lines = self.lines.len();
        let Some(line) = self.lines.get_mut(self.turn) else { return false };
        self.turn = (self.turn + 1) % lines;
        self.requests += 1;
        let measured = shared.course.measures(time);
        // There are fewer topics than that.
        let topic = u32::try_from(line.topic).unwrap_or(u32::MAX);
        let (run, sequence) = (shared.run, line.next);
        Stamp { run, time, topic, sequence, measured }.write(&mut self.text);
        talk.publish(out, self.requests, &line.name, &self.text, line.next == 0);
        line.next = line.next.wrapping_add(1);
        measured
    }
}

/// Publishes what is due, in a thread of its own.
struct Pacer {
    shared: Arc<Shared>,
    stage: Arc<Stage>,
    lane: Arc<Lane>,
    pens: Vec<FrameWriter>,
    talk: Talk,
    /// Publishers whose socket may have something to write.
    dirty: Vec<usize>,
}

fn at_rate(lead: &Lead<'_>, stage: &Arc<Stage>, who: Workload, rate: f64) -> Result<(), Failure> {
    let shared = Arc::clone(lead.shared());
    let schedule = Schedule::new(shared.course.clock.now(), rate);
    let pens = (0..who.publishers).map(|number| FrameWriter::new(&shared, number, who.publishers));
    let mut pacer = Pacer {
        pens: pens.collect(),
        talk: Talk::new(shared.plan.dialect, false),
        stage: Arc::clone(stage),
        lane: Arc::clone(&lead.workers.pacer),
        dirty: Vec::new(),
        shared: Arc::clone(&shared),
    };
    pace::thread(shared, Arc::clone(&lead.workers.pacer), move || {
        let shared = Arc::clone(&pacer.shared);
        let pacer = std::cell::RefCell::new(&mut pacer);
        let unsent = pace::pace(
            &shared.course,
            schedule,
            |number, due| pacer.borrow_mut().publish(number, due).map(|()| true),
            || pacer.borrow_mut().flush(),
        )?;
        pacer.borrow().lane.desk().tally.counts.unsent = unsent;
        // What the sockets did not take at the end of the course.
        while !pacer.borrow().dirty.is_empty() {
            std::thread::sleep(pace::BREATH);
            pacer.borrow_mut().flush()?;
            pacer.borrow().has_sent();
        }
        Ok(())
    })
}

impl Pacer {
    fn publish(&mut self, number: u64, due: u64) -> Result<(), Failure> {
        let turn = usize::try_from(number % (self.pens.len() as u64).max(1)).unwrap_or_default();
        let (Some(pen), Some(writer)) = (self.pens.get_mut(turn), self.stage.writer(turn)) else {
            return Ok(());
        };
        let mut pending = writer.pending();
        let measured = pen.write(&self.shared, &mut self.talk, &mut pending, due);
        writer.flush(&mut pending)?;
        if measured {
            let lag = self.shared.course.clock.now().saturating_sub(due);
            let mut desk = self.lane.desk();
            desk.tally.counts.asked += 1;
            desk.tally.lag.saturating_record(lag);
        }
        // The server does not keep up: what is due waits here, and its latency grows.
        let course = &self.shared.course;
        while pending.len() > BACKLOG && course.clock.now() < course.deadline() {
            std::thread::sleep(pace::BREATH);
            writer.flush(&mut pending)?;
        }
        if !pending.is_empty() && !self.dirty.contains(&turn) {
            self.dirty.push(turn);
        }
        drop(pending);
        if measured {
            self.has_sent();
        }
        Ok(())
    }

    fn has_sent(&self) {
        self.lane.desk().tally.counts.sent = self.shared.course.clock.now();
    }

    fn flush(&mut self) -> Result<(), Failure> {
        let mut dirty = std::mem::take(&mut self.dirty);
        let mut failure = None;
        dirty.retain(|post| {
            let Some(writer) = self.stage.writer(*post) else { return false };
            let mut pending = writer.pending();
            if let Err(error) = writer.flush(&mut pending) {
                failure.get_or_insert(error);
            }
            !pending.is_empty()
        });
        self.dirty = dirty;
        failure.map_or(Ok(()), Err)
    }
}
