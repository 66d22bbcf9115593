//! Publishes to topics without subscribers, and waits for the acknowledgements: what a publication
//! costs by itself.

use std::collections::VecDeque;
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
use crate::socket::Writer;
use crate::stamp::Stamp;
use crate::tally::Tally;

/// What a publisher's task shares with the thread that keeps the time.
#[derive(Default)]
struct Post {
    asked: Mutex<Asked>,
    go: Notify,
    writer: OnceLock<Arc<Writer>>,
}

/// Publications whose acknowledgement has not come.
#[derive(Debug, Default)]
struct Asked {
    /// The number of the first of them.
    first: u64,
    /// When each was due or sent, and whether it counts; none if it was acknowledged before those
    /// in front of it.
    times: VecDeque<Option<(u64, bool)>>,
}

impl Asked {
    /// Notes a publication, and gives it its number, from 1.
    fn ask(&mut self, time: u64, measured: bool) -> u64 {
        self.times.push_back(Some((time, measured)));
        self.first + self.times.len() as u64
    }

    /// The time of the one that is acknowledged: that with the number, or the first where there
    /// are no numbers.
    fn answered(&mut self, request: Option<u64>) -> Option<(u64, bool)> {
        let place = request.map_or(Some(0), |request| request.checked_sub(self.first + 1))?;
        let time = self.times.get_mut(usize::try_from(place).ok()?)?.take();
        while let Some(None) = self.times.front() {
            self.times.pop_front();
            self.first += 1;
        }
        time
    }
}

impl Post {
    fn asked(&self) -> MutexGuard<'_, Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What may wait for a publisher's socket at a fixed rate before the rate is not kept: 4 MiB.
const BACKLOG: usize = 4 * 1024 * 1024;

pub(crate) async fn run(
    lead: &mut Lead<'_>,
    publishers: usize,
    topics: usize,
) -> Result<Report, Failure> {
    let shared = Arc::clone(lead.shared());
    let posts: Arc<[Post]> = (0..publishers).map(|_| Post::default()).collect();
    for number in 0..publishers {
        let posts = Arc::clone(&posts);
        lead.crew.spawner.spawn(move |lane, shared| async move {
            let Some(post) = posts.get(number) else { return Ok(()) };
            publisher(&lane, &shared, post, Pen::new(&shared, number, publishers, topics)).await
        });
    }
    lead.all_ready(publishers, "publishers").await?;
    lead.all_open().await;

    lead.set_course();
    match shared.plan.rate {
        Some(rate) => at_rate(lead, &posts, topics, rate)?,
        None => posts.iter().for_each(|post| post.go.notify_one()),
    }
    lead.course("publishes").await?;
    let waited = lead.rest(|counts| counts.done >= counts.asked).await;
    let cost = lead.cost();

    let tally = lead.crew.tally()?;
    let counts = tally.counts;
    lead.judge(&counts)?;
    let course = &shared.course;
    let seconds = float(course.end().saturating_sub(course.begin())) / 1e9;
    let answered = float(course.end().max(counts.last).saturating_sub(course.begin())) / 1e9;
    let mut report = Report::new(&shared.plan, seconds);
    report.count("publishes", "publications", counts.asked);
    report.count("lost", "not acknowledged", counts.asked.saturating_sub(counts.done));
    report.rate("publishes_per_second", "publishes", counts.done, answered);
    report.cpu("server_cpu_us_per_publish", "server CPU a publish", &cost, counts.done);
    report.memory(lead, publishers as u64);
    report.latency("latency_us", "publish to acknowledgement", &tally.latency);
    report.lag(&tally.lag, counts.unsent, 0);
    report.generator(&cost);
    report.waited(waited);
    report.ended(lead);
    Ok(report)
}

/// Writes publications of one publisher: to its topics in turn.
struct Pen {
    text: Vec<u8>,
    names: Vec<String>,
    turn: usize,
}

impl Pen {
    fn new(shared: &Shared, number: usize, publishers: usize, topics: usize) -> Self {
        // With fewer topics than publishers, some share one.
        let topics = (number % topics..topics).step_by(publishers);
        let names = topics.map(|topic| shared.topic(topic)).collect();
        Self { text: text(shared.plan.payload), names, turn: 0 }
    }

    /// The topic of a publication.
    fn topic(&self, request: Option<u64>) -> Option<String> {
        let turn = usize::try_from(request.unwrap_or(1)).ok()?.checked_sub(1)?;
        self.names.get(turn % self.names.len().max(1)).cloned()
    }

    fn write(&mut self, talk: &mut Talk, out: &mut Vec<u8>, request: u64, stamp: Stamp) {
        let Some(name) = self.names.get(self.turn % self.names.len().max(1)) else { return };
        self.turn += 1;
        stamp.write(&mut self.text);
        talk.publish(out, request, name, &self.text, true);
    }
}

async fn publisher(lane: &Lane, shared: &Shared, post: &Post, mut pen: Pen) -> Result<(), Failure> {
    let permit = shared.opening.acquire().await;
    let mut socket = session::open(lane, shared, Role::Acknowledged).await?;
    drop(permit);
    let _first = post.writer.set(Arc::clone(&socket.writer));
    shared.tell(News::Ready);
    let names = Pen { text: Vec::new(), names: pen.names.clone(), turn: 0 };
    let mut started = false;
    let mut listen = |tally: &mut Tally, now: u64, said: Said<'_>| match said {
        Said::Done { request, .. } => {
            if let Some((time, measured)) = post.asked().answered(request) {
                tally.counts.seen += 1;
                if measured {
                    tally.done(now, now.saturating_sub(time));
                }
            }
            Ok(())
        }
        Said::Refused(refusal) => {
            Err(session::refused("publish to", refusal, |request| names.topic(request)))
        }
        Said::Event(_) | Said::Welcome | Said::Ended(_) | Said::Nothing => Ok(()),
    };
    if shared.plan.rate.is_some() {
        loop {
            socket.turn(lane, shared, &mut listen).await?;
        }
    }
    loop {
        tokio::select! {
            turn = socket.turn(lane, shared, &mut listen) => turn?,
            () = post.go.notified() => started = true,
        }
        while started && socket.pending() == 0 && post.asked().times.len() < shared.plan.window {
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

/// A thread that publishes what is due.
fn at_rate(lead: &Lead<'_>, posts: &Arc<[Post]>, topics: usize, rate: f64) -> Result<(), Failure> {
    let shared = Arc::clone(lead.shared());
    let lane = Arc::clone(&lead.crew.pacer);
    let posts = Arc::clone(posts);
    let schedule = Schedule::new(shared.course.clock.now(), rate);
    let count = posts.len();
    let mut pens: Vec<Pen> =
        (0..count).map(|number| Pen::new(&shared, number, count, topics)).collect();
    let mut talk = Talk::new(shared.plan.dialect, true);
    pace::thread(Arc::clone(&shared), Arc::clone(&lane), move || {
        let flush = |post: &Post| {
            let Some(writer) = post.writer.get() else { return Ok(true) };
            let mut pending = writer.pending();
            writer.flush(&mut pending).map(|()| pending.is_empty())
        };
        let publish = |number: u64, due| {
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
        let unsent = pace::pace(&shared.course, schedule, publish, || Ok(()))?;
        lane.desk().tally.counts.unsent = unsent;
        for post in &*posts {
            while !flush(post)? {
                std::thread::sleep(pace::BREATH);
            }
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acknowledgements_find_their_publications_in_any_order() {
        let mut asked = Asked::default();
        let numbers: Vec<u64> = (10..14).map(|time| asked.ask(time, true)).collect();
        assert_eq!(numbers, [1, 2, 3, 4]);
        assert_eq!(asked.answered(Some(2)), Some((11, true)));
        assert_eq!(asked.answered(Some(2)), None, "once");
        assert_eq!(asked.answered(Some(1)), Some((10, true)));
        assert_eq!(asked.times.len(), 2, "those that are answered are forgotten");
        assert_eq!(asked.answered(None), Some((12, true)), "without a number it is the first");
        assert_eq!(asked.ask(20, false), 5);
        assert_eq!(asked.answered(Some(5)), Some((20, false)));
        assert_eq!(asked.answered(Some(9)), None);
        assert_eq!(asked.answered(Some(4)), Some((13, true)));
        assert!(asked.times.is_empty());
    }
}
