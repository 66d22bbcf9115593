//! Connections that ask and are answered, each with a window of requests in flight, or all together
//! at a fixed rate: what [`super::publish`] and [`super::call`] have in common. They say what is
//! asked, with a [`FrameWriter`], and how it is called in the report.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::sync::Notify;

use super::outstanding::Asked;
use super::pace;
use crate::clock::Schedule;
use crate::coordinator::{Lead, float};
use crate::failure::Failure;
use crate::protocol::{Refusal, Said, Talk};
use crate::report::Report;
use crate::session::{self, Role};
use crate::socket::{Listen, Writer};
use crate::tally::Tally;
use crate::timestamp::Stamp;
use crate::workers::{Lane, Shared, WorkerEvent};

/// Writes the requests of one connection.
pub(crate) trait FrameWriter: Send + Sync + 'static {
    /// Writes the next one.
    fn write(&mut self, talk: &mut Talk, out: &mut Vec<u8>, request: u64, stamp: Stamp);

    /// Why one was not granted, with what it was about.
    fn refused(&self, refusal: Refusal) -> Failure;
}

/// How a report calls the requests: under which name each figure is told in JSON, and what people
/// read instead.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Words {
    /// Who asks, such as `publishers`.
    pub(crate) who: &'static str,
    /// What is done so many times a second.
    pub(crate) what: &'static str,
    pub(crate) asked: (&'static str, &'static str),
    /// What `lost` is for people.
    pub(crate) lost: &'static str,
    /// The name of the rate, which people read as [`Self::what`].
    pub(crate) rate: &'static str,
    pub(crate) cpu: (&'static str, &'static str),
    /// From when to when the latency is.
    pub(crate) latency: &'static str,
}

/// What a connection's task shares with the thread that keeps the time.
#[derive(Default)]
struct Post {
    /// Locked for a moment by whoever asks, and by the task when an answer comes.
    asked: Mutex<Asked>,
    go: Notify,
    writer: OnceLock<Arc<Writer>>,
}

impl Post {
    fn asked(&self) -> MutexGuard<'_, Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What may wait for a connection's socket at a fixed rate before the rate is not kept: 4 MiB.
const BACKLOG: usize = 4 * 1024 * 1024;

/// Opens so many connections, each with a pen that is made for its number, and has them ask.
pub(crate) async fn run<P: FrameWriter>(
    lead: &mut Lead<'_>,
    connections: usize,
    pen: impl Fn(usize) -> P,
    words: Words,
) -> Result<Report, Failure> {
    let shared = Arc::clone(lead.shared());
    let posts: Arc<[Post]> = (0..connections).map(|_| Post::default()).collect();
    for number in 0..connections {
        let posts = Arc::clone(&posts);
        let pen = pen(number);
        lead.workers.spawner.spawn(move |lane, shared| async move {
            let Some(post) = posts.get(number) else { return Ok(()) };
            connection(&lane, &shared, post, pen).await
        });
    }
    lead.all_ready(connections, words.who).await?;
    lead.all_open().await;

    lead.set_course();
    match shared.plan.rate {
        Some(rate) => at_rate(lead, &posts, (0..connections).map(pen).collect(), rate)?,
        None => posts.iter().for_each(|post| post.go.notify_one()),
    }
    lead.course(words.what).await?;
    let waited = lead.rest(|counts| counts.done >= counts.asked).await;
    let cost = lead.cost();

    let tally = lead.workers.tally()?;
    let counts = tally.counts;
    lead.judge(&counts)?;
    let course = &shared.course;
    let seconds = float(course.end().saturating_sub(course.begin())) / 1e9;
    let answered = float(course.end().max(counts.last).saturating_sub(course.begin())) / 1e9;
    let mut report = Report::new(&shared.plan, seconds);
    report.count(words.asked.0, words.asked.1, counts.asked);
    report.count("lost", words.lost, counts.asked.saturating_sub(counts.done));
    report.rate(words.rate, words.what, counts.done, answered);
    report.cpu(words.cpu.0, words.cpu.1, &cost, counts.done);
    report.memory(lead, connections as u64);
    report.latency("latency_us", words.latency, &tally.latency);
    report.lag(&tally.lag, counts.unsent, 0);
    report.generator(&cost);
    report.waited(waited);
    report.ended(lead);
    Ok(report)
}

async fn connection<P: FrameWriter>(
    lane: &Lane,
    shared: &Shared,
    post: &Post,
    mut pen: P,
) -> Result<(), Failure> {
    let permit = shared.opening.acquire().await;
    let mut socket = session::open(lane, shared, Role::Answered).await?;
    drop(permit);
    let _first = post.writer.set(Arc::clone(&socket.writer));
    shared.tell(WorkerEvent::Ready);
    if shared.plan.rate.is_some() {
        let mut listen = listener(post, &pen);
        loop {
            socket.turn(lane, shared, &mut listen).await?;
        }
    }
    let mut started = false;
    loop {
        let mut listen = listener(post, &pen);
        tokio::select! {
            turn = socket.turn(lane, shared, &mut listen) => turn?,
            () = post.go.notified() => started = true,
        }
        drop(listen);
        while started && socket.pending() == 0 && post.asked().in_flight() < shared.plan.window {
            let time = shared.course.clock.now();
            if time >= shared.course.end() {
                break;
            }
            let measured = shared.course.measures(time);
            let request = post.asked().ask(time, measured);
            let stamp = Stamp { run: shared.run, time, topic: 0, sequence: 0, measured };
            lane.desk().tally.counts.asked += u64::from(measured);
            // Each is a write of its own, as it is with most clients.
            socket.send(|talk, out| pen.write(talk, out, request, stamp))?;
        }
    }
}

/// Counts answers.
fn listener<'a>(post: &'a Post, pen: &'a impl FrameWriter) -> impl Listen + 'a {
    move |tally: &mut Tally, now: u64, said: Said<'_>| match said {
        Said::Done { request, .. } => {
            if let Some((time, measured)) = post.asked().answered(request) {
                tally.counts.seen += 1;
                if measured {
                    tally.done(now, now.saturating_sub(time));
                }
            }
            Ok(())
        }
        Said::Refused(refusal) => Err(pen.refused(refusal)),
        Said::Event(_) | Said::Welcome | Said::Ended(_) | Said::Nothing => Ok(()),
    }
}

/// A thread that asks what is due, of each connection in turn.
fn at_rate<P: FrameWriter>(
    lead: &Lead<'_>,
    posts: &Arc<[Post]>,
    mut pens: Vec<P>,
    rate: f64,
) -> Result<(), Failure> {
    let shared = Arc::clone(lead.shared());
    let lane = Arc::clone(&lead.workers.pacer);
    let posts = Arc::clone(posts);
    let schedule = Schedule::new(shared.course.clock.now(), rate);
    let count = posts.len();
    let mut talk = Talk::new(shared.plan.dialect, true);
    pace::thread(Arc::clone(&shared), Arc::clone(&lane), move || {
        let flush = |post: &Post| {
            let Some(writer) = post.writer.get() else { return Ok(true) };
            let mut pending = writer.pending();
            writer.flush(&mut pending).map(|()| pending.is_empty())
        };
        let ask = |number: u64, due| {
            let turn = usize::try_from(number % (count as u64).max(1)).unwrap_or_default();
            let (Some(post), Some(pen)) = (posts.get(turn), pens.get_mut(turn)) else {
                return Ok(false);
            };
            let Some(writer) = post.writer.get() else { return Ok(false) };
            let mut pending = writer.pending();
            let measured = shared.course.measures(due);
            let request = post.asked().ask(due, measured);
            let stamp = Stamp { run: shared.run, time: due, topic: 0, sequence: 0, measured };
            pen.write(&mut talk, &mut pending, request, stamp);
            if measured {
                let lag = shared.course.clock.now().saturating_sub(due);
                let mut desk = lane.desk();
                desk.tally.counts.asked += 1;
                desk.tally.lag.saturating_record(lag);
            }
            // The server does not keep up: what is due waits here, and its latency grows.
            while pending.len() > BACKLOG && shared.course.clock.now() < shared.course.deadline() {
                writer.flush(&mut pending)?;
                std::thread::sleep(pace::BREATH);
            }
            writer.flush(&mut pending)?;
            Ok(true)
        };
        let unsent = pace::pace(&shared.course, schedule, ask, || Ok(()))?;
        lane.desk().tally.counts.unsent = unsent;
        for post in &*posts {
            while !flush(post)? {
                std::thread::sleep(pace::BREATH);
            }
        }
        Ok(())
    })
}
