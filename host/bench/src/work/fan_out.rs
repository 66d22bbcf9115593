//! Publishes to topics with subscribers: how quickly events go out, and how long each is on its way.

use std::sync::atomic::{AtomicU32, Ordering::AcqRel, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::sync::Notify;

use super::{pace, text};
use crate::clock::Schedule;
use crate::crew::{Lane, News, Shared};
use crate::failure::Failure;
use crate::lead::{Lead, float};
use crate::protocol::{Said, Talk};
use crate::report::Report;
use crate::session::{self, Role};
use crate::socket::{Socket, Writer};
use crate::stamp::Stamp;
use crate::tally::Tally;

/// Who takes part.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cast {
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
}

/// The events of a topic that are in flight: the number of an event chooses its slot.
struct Window(Box<[AtomicU32]>);

/// A publisher's.
#[derive(Default)]
struct Post {
    /// Topics to which one more event may be published, as often as they are in here.
    credits: Mutex<Vec<u32>>,
    wake: Notify,
    /// For the thread that publishes at a fixed rate.
    writer: OnceLock<Arc<Writer>>,
}

/// Written at once at most, in bytes: enough for the events that one read of a subscriber's makes
/// room for, and no more than a socket takes.
const AT_ONCE: usize = 64 * 1024;

/// What may wait for a publisher's socket at a fixed rate before the rate is not kept: 4 MiB.
const BACKLOG: usize = 4 * 1024 * 1024;

pub(crate) async fn run(lead: &mut Lead<'_>, cast: Cast) -> Result<Report, Failure> {
    let shared = Arc::clone(lead.shared());
    let stage = Arc::new(Stage::new(&shared, cast));
    let Cast { topics, subscribers, publishers, subscriptions_per_connection: each } = cast;
    let subscribing = topics.div_ceil(each) * subscribers;
    for number in 0..subscribing {
        let first = number / subscribers * each;
        let last = (first + each).min(topics);
        let stage = Arc::clone(&stage);
        lead.crew.spawner.spawn(move |lane, shared| async move {
            let receivers = u32::try_from(subscribers).unwrap_or(u32::MAX);
            subscriber(&lane, &shared, &stage, first..last, receivers).await
        });
    }
    lead.all_ready(subscribing, "subscribers").await?;
    for number in 0..publishers {
        let stage = Arc::clone(&stage);
        lead.crew
            .spawner
            .spawn(move |lane, shared| async move { publisher(&lane, &shared, &stage, number).await });
    }
    lead.all_ready(publishers, "publishers").await?;
    lead.all_open().await;

    lead.set_course();
    match shared.plan.rate {
        Some(rate) => at_rate(lead, &stage, cast, rate)?,
        None => stage.posts.iter().for_each(|post| post.wake.notify_one()),
    }
    lead.course("deliveries").await?;
    let receivers = subscribers as u64;
    let waited = lead.rest(|counts| counts.done >= counts.asked.saturating_mul(receivers)).await;
    let cost = lead.cost();

    let tally = lead.crew.tally()?;
    let counts = tally.counts;
    let expected = counts.asked.saturating_mul(receivers);
    let course = &shared.course;
    let published = float(course.end().saturating_sub(course.begin())) / 1e9;
    let delivered = float(course.end().max(counts.last).saturating_sub(course.begin())) / 1e9;
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
    report.lag(&tally.lag);
    report.generator(&cost);
    report.waited(waited);
    report.ended(lead);
    Ok(report)
}

impl Stage {
    fn new(shared: &Shared, cast: Cast) -> Self {
        let windows = if shared.plan.rate.is_none() { cast.topics } else { 0 };
        // A power of two divides the numbers of events also where they wrap.
        let slots = shared.plan.window.next_power_of_two();
        let posts: Vec<Post> = (0..cast.publishers).map(|_| Post::default()).collect();
        // All topics get their first event, then all their second …
        for topic in (0..windows).cycle().take(windows * shared.plan.window) {
            if let Some(post) = posts.get(topic % posts.len().max(1)) {
                post.credits().extend(u32::try_from(topic));
            }
        }
        let window = || Window((0..slots).map(|_| AtomicU32::new(0)).collect());
        Self { windows: (0..windows).map(|_| window()).collect(), posts }
    }

    fn writer(&self, post: usize) -> Option<Arc<Writer>> {
        self.posts.get(post)?.writer.get().cloned()
    }

    /// A subscriber of the topic has that event. If it was the last of them, another event may go.
    fn received(&self, topic: u32, event: u32, receivers: u32) {
        let topic_index = topic as usize;
        let Some(Window(slots)) = self.windows.get(topic_index) else { return };
        let Some(slot) = slots.get(event as usize & (slots.len() - 1)) else { return };
        if slot.fetch_add(1, AcqRel) + 1 < receivers {
            return;
        }
        slot.store(0, Relaxed);
        if let Some(post) = self.posts.get(topic_index % self.posts.len().max(1)) {
            post.credits().push(topic);
            post.wake.notify_one();
        }
    }
}

impl Post {
    fn credits(&self) -> MutexGuard<'_, Vec<u32>> {
        self.credits.lock().unwrap_or_else(PoisonError::into_inner)
    }

}

async fn subscriber(
    lane: &Lane,
    shared: &Shared,
    stage: &Stage,
    topics: std::ops::Range<usize>,
    receivers: u32,
) -> Result<(), Failure> {
    let permit = shared.opening.acquire().await;
    let mut socket = session::open(lane, shared, Role::Subscriber).await?;
    session::subscribe(&mut socket, lane, shared, topics.clone()).await?;
    drop(permit);
    shared.tell(News::Ready);
    let first = topics.start;
    // The number of the event that comes next in each topic.
    let mut next = vec![0_u32; topics.len()];
    let mut listen = |tally: &mut Tally, now, said: Said<'_>| {
        let Said::Event(text) = said else { return Ok(()) };
        // What others publish to the same topics is none of ours.
        let Some(stamp) = Stamp::read(text) else { return Ok(()) };
        let index = (stamp.topic as usize).wrapping_sub(first);
        let Some(expected) = next.get_mut(index) else { return Ok(()) };
        let Some(ahead) = stamp.ahead_of(*expected) else { return Ok(()) };
        tally.counts.seen += 1;
        if stamp.measured {
            tally.done(now, stamp.age(now));
        }
        // Those between are lost; nobody waits for them.
        for _ in 0..=ahead {
            stage.received(stamp.topic, *expected, receivers);
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
    shared.tell(News::Ready);
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
    let mut pen = Pen::new(shared, number, publishers);
    let mut credits = Vec::new();
    loop {
        tokio::select! {
            turn = socket.turn(lane, shared, &mut listen) => turn?,
            () = post.wake.notified() => {}
        }
        while socket.pending() == 0 {
            if credits.is_empty() {
                credits.append(&mut post.credits());
                credits.reverse();
            }
            if credits.is_empty() || shared.course.clock.now() >= shared.course.end() {
                break;
            }
            publish(&mut socket, lane, shared, &mut pen, &mut credits)?;
        }
    }
}

/// Publishes one event for each credit, as far as they go into one write.
fn publish(
    socket: &mut Socket,
    lane: &Lane,
    shared: &Shared,
    pen: &mut Pen,
    credits: &mut Vec<u32>,
) -> Result<(), Failure> {
    let mut published = 0;
    socket.send(|talk, out| {
        while out.len() < AT_ONCE
            && let Some(topic) = credits.pop()
        {
            let now = shared.course.clock.now();
            published += u64::from(pen.write(shared, talk, out, topic, now));
        }
    })?;
    lane.desk().tally.counts.asked += published;
    Ok(())
}

/// Writes a publisher's events: knows the number of the next in each of its topics, which are every
/// so manieth one.
struct Pen {
    text: Vec<u8>,
    lines: Vec<Line>,
    step: usize,
    requests: u64,
}

/// A topic.
struct Line {
    name: String,
    next: u32,
}

impl Pen {
    fn new(shared: &Shared, number: usize, step: usize) -> Self {
        let topics = (number..shared.plan.work.topics()).step_by(step.max(1));
        let lines = topics.map(|topic| Line { name: shared.topic(topic), next: 0 }).collect();
        Self { text: text(shared.plan.payload), lines, step: step.max(1), requests: 0 }
    }

    /// Whether the event counts.
    fn write(
        &mut self,
        shared: &Shared,
        talk: &mut Talk,
        out: &mut Vec<u8>,
        topic: u32,
        time: u64,
    ) -> bool {
        let Some(line) = self.lines.get_mut(topic as usize / self.step) else { return false };
        self.requests += 1;
        let measured = shared.course.measures(time);
        Stamp { time, topic, sequence: line.next, measured }.write(&mut self.text);
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
    topics: usize,
    pens: Vec<Pen>,
    talk: Talk,
    /// Publishers whose socket may have something to write.
    dirty: Vec<usize>,
}

fn at_rate(lead: &Lead<'_>, stage: &Arc<Stage>, cast: Cast, rate: f64) -> Result<(), Failure> {
    let shared = Arc::clone(lead.shared());
    let schedule = Schedule::new(shared.course.clock.now(), rate);
    let pens = (0..cast.publishers).map(|number| Pen::new(&shared, number, cast.publishers));
    let mut pacer = Pacer {
        pens: pens.collect(),
        talk: Talk::new(shared.plan.dialect, false),
        stage: Arc::clone(stage),
        lane: Arc::clone(&lead.crew.pacer),
        topics: cast.topics,
        dirty: Vec::new(),
        shared: Arc::clone(&shared),
    };
    pace::thread(shared, Arc::clone(&lead.crew.pacer), move || {
        let shared = Arc::clone(&pacer.shared);
        let pacer = std::cell::RefCell::new(&mut pacer);
        pace::pace(
            &shared.course,
            schedule,
            |number, due| pacer.borrow_mut().publish(number, due).map(|()| true),
            || pacer.borrow_mut().flush(),
        )?;
        // What the sockets did not take at the end of the course.
        while !pacer.borrow().dirty.is_empty() {
            std::thread::sleep(pace::BREATH);
            pacer.borrow_mut().flush()?;
        }
        Ok(())
    })
}

impl Pacer {
    fn publish(&mut self, number: u64, due: u64) -> Result<(), Failure> {
        // The remainder is smaller than the number of topics.
        let topic = (number % self.topics as u64) as usize;
        let post = topic % self.pens.len().max(1);
        let (Some(pen), Some(writer)) = (self.pens.get_mut(post), self.stage.writer(post)) else {
            return Ok(());
        };
        let mut pending = writer.pending();
        let topic = u32::try_from(topic).unwrap_or(u32::MAX);
        let measured = pen.write(&self.shared, &mut self.talk, &mut pending, topic, due);
        if !self.dirty.contains(&post) {
            self.dirty.push(post);
        }
        let lag = self.shared.course.clock.now().saturating_sub(due);
        let mut desk = self.lane.desk();
        if measured {
            desk.tally.counts.asked += 1;
            desk.tally.lag.saturating_record(lag);
        }
        drop(desk);
        // The server does not keep up: what is due waits here, and its latency grows.
        while pending.len() > BACKLOG && self.shared.course.clock.now() < self.shared.course.end() {
            writer.flush(&mut pending)?;
            std::thread::sleep(pace::BREATH);
        }
        Ok(())
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
