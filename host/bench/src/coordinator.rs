//! Leads a run: waits for connections, watches what is measured, and samples what it costs.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{Acquire, Relaxed};
use std::time::Duration;

use crate::clock::nanoseconds;
use crate::failure::Failure;
use crate::process::{self, Usage};
use crate::tally::Counts;
use crate::workers::{Crew, Shared, WorkerEvent};

/// How often it is looked whether the run goes on.
const LOOK: Duration = Duration::from_millis(10);

/// How long nothing may arrive that is still expected before it is given up.
const GIVEN_UP_AFTER: Duration = Duration::from_secs(3);

/// The leader.
pub(crate) struct Lead<'p> {
    pub(crate) workers: Crew,
    interrupted: Arc<AtomicBool>,
    progress: &'p mut dyn FnMut(&str),
    /// When the next progress line is due.
    next_line: u64,
    /// How much had been seen at the last one, and when that was.
    last_line: (u64, u64),
    /// Why connections have ended while it was measured: how many, and the first reason.
    pub(crate) ended: Option<(u64, Failure)>,
    before: Option<Sample>,
    /// What the server held before anything was opened.
    empty: Option<Usage>,
    /// … and when everything was open.
    full: Option<Usage>,
}

/// What everything had cost at one time.
#[derive(Clone, Debug)]
struct Sample {
    time: u64,
    server: Option<Usage>,
    threads: Vec<f64>,
    machine: Option<(f64, f64)>,
}

/// What was used between two samples.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    /// Seconds between them.
    pub(crate) seconds: f64,
    /// CPU time of the server, in seconds.
    pub(crate) cpu: Option<f64>,
    /// The share of its time in which the busiest thread of this process computed.
    pub(crate) busiest: Option<f64>,
    /// The share of the machine's CPU time that was used.
    pub(crate) machine: Option<f64>,
}

/// How waiting ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waited {
    /// All that was waited for has come.
    Done,
    /// Something is missing, and will not come.
    TimedOut,
}

impl<'p> Lead<'p> {
    pub(crate) fn new(
        workers: Crew,
        progress: &'p mut dyn FnMut(&str),
        interrupted: Arc<AtomicBool>,
    ) -> Self {
        let empty = process::usage(&workers.shared.plan.pids);
        Self {
            workers,
            interrupted,
            progress,
            next_line: 0,
            last_line: (0, 0),
            ended: None,
            before: None,
            empty,
            full: None,
        }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.workers.shared
    }

    fn now(&self) -> u64 {
        self.workers.shared.course.clock.now()
    }

    /// Whether the user has had enough.
    pub(crate) fn interrupted(&self) -> bool {
        self.interrupted.load(Relaxed)
    }

    /// The next news; none for a moment without.
    pub(crate) async fn news(&mut self) -> Option<WorkerEvent> {
        tokio::time::timeout(LOOK, self.workers.news.recv()).await.ok().flatten()
    }

    /// Waits until so many connections are ready.
    pub(crate) async fn all_ready(&mut self, count: usize, what: &str) -> Result<(), Failure> {
        let mut ready = 0;
        while ready < count {
            match self.news().await {
                Some(WorkerEvent::Ready) => ready += 1,
                Some(WorkerEvent::NotOpened(failure) | WorkerEvent::Failed(failure)) => {
                    return Err(failure);
                }
                None => {}
            }
            if self.interrupted() {
                return Err(Failure::Interrupted);
            }
            self.line(|_| format!("opening: {ready} of {count} {what}"));
        }
        Ok(())
    }

    /// Everything is open: a look at the memory, after the server has put its things in order.
    pub(crate) async fn all_open(&mut self) {
        if self.empty.is_some() {
            tokio::time::sleep(Duration::from_millis(200)).await;
            self.full = process::usage(&self.workers.shared.plan.pids);
        }
    }

    /// Bytes that each of so many connections costs the server.
    pub(crate) fn bytes_per_connection(&self, connections: u64) -> Option<f64> {
        let (empty, full) = (self.empty?, self.full?);
        let grown = full.memory.saturating_sub(empty.memory);
        (connections > 0).then(|| float(grown) / float(connections))
    }

    /// Sets the course: warm-up from now, then what is measured.
    pub(crate) fn set_course(&self) {
        let plan = &self.workers.shared.plan;
        let begin = self.now().saturating_add(nanoseconds(plan.warm_up));
        self.workers.shared.course.set(begin, begin.saturating_add(nanoseconds(plan.seconds)));
    }

    /// Waits for the course's end. A connection that ends brings it forward, once something is
    /// measured.
    pub(crate) async fn course(&mut self, what: &str) -> Result<(), Failure> {
        let shared = Arc::clone(self.shared());
        let course = &shared.course;
        loop {
            let now = self.now();
            let measuring = now >= course.begin();
            if measuring && self.before.is_none() {
                self.begin();
            }
            if now >= course.end() {
                return if measuring { Ok(()) } else { Err(Failure::Interrupted) };
            }
            if self.interrupted() {
                course.cut();
                continue;
            }
            match self.news().await {
                Some(WorkerEvent::Failed(failure) | WorkerEvent::NotOpened(failure)) => {
                    if !measuring || !matches!(failure, Failure::Ended(_)) {
                        return Err(failure);
                    }
                    self.has_ended(failure);
                    course.cut();
                }
                Some(WorkerEvent::Ready) | None => {}
            }
            let phase = if measuring { "" } else { "warming up: " };
            self.line(|rate| format!("{phase}{rate:.0} {what} a second"));
        }
    }

    /// Waits for what was asked for before the end and is not done yet.
    pub(crate) async fn rest(&mut self, is_done: impl Fn(&Counts) -> bool) -> Waited {
        let mut seen = (self.workers.counts(), self.now());
        loop {
            let pacing = self.shared().pacing.load(Acquire);
            let counts = self.workers.counts();
            if !pacing && is_done(&counts) {
                return Waited::Done;
            }
            let now = self.now();
            if counts != seen.0 {
                seen = (counts, now);
            }
            if now - seen.1 > nanoseconds(GIVEN_UP_AFTER) || self.ended.is_some() {
                return Waited::TimedOut;
            }
            if let Some(WorkerEvent::Failed(failure)) = self.news().await {
                self.has_ended(failure);
            }
            self.line(|_| "waiting for what is still on its way".to_owned());
        }
    }

    /// A connection has ended that should not have.
    pub(crate) fn has_ended(&mut self, failure: Failure) {
        self.ended.get_or_insert((0, failure)).0 += 1;
    }

    /// Whether there is anything to tell about. If not, why.
    pub(crate) fn judge(&mut self, counts: &Counts) -> Result<(), Failure> {
        let &Counts { done, asked, .. } = counts;
        match self.ended.take_if(|_| done == 0) {
            Some((_, failure)) => Err(failure),
            None if done == 0 && self.interrupted() => Err(Failure::Interrupted),
            None if done == 0 => {
                Err(Failure::Nothing { asked, at_rate: self.shared().plan.rate.is_some() })
            }
            None => Ok(()),
        }
    }

    /// What the server holds when everything is open, in bytes.
    pub(crate) fn memory(&self) -> Option<u64> {
        self.full.map(|usage| usage.memory)
    }

    /// From here on it counts what is used.
    pub(crate) fn begin(&mut self) {
        self.before = Some(self.sample());
    }

    /// What was used since [`Self::begin`].
    pub(crate) fn cost(&self) -> Cost {
        let after = self.sample();
        let before = self.before.as_ref().unwrap_or(&after);
        let seconds = float(after.time.saturating_sub(before.time)) / 1e9;
        let server = before.server.zip(after.server);
        let busiest =
            before.threads.iter().zip(&after.threads).map(|(before, after)| after - before);
        let busiest = busiest.reduce(f64::max).filter(|_| seconds > 0.0);
        let machine = before.machine.zip(after.machine);
        Cost {
            seconds,
            cpu: server.map(|(before, after)| after.cpu - before.cpu),
            busiest: busiest.map(|busy| (busy / seconds).min(1.0)),
            machine: machine
                .map(|(before, after)| (after.0 - before.0) / (after.1 - before.1))
                .filter(|share| share.is_finite()),
        }
    }

    fn sample(&self) -> Sample {
        Sample {
            time: self.now(),
            server: process::usage(&self.workers.shared.plan.pids),
            threads: process::threads(&self.workers.threads()),
            machine: process::machine(),
        }
    }

    /// Once a second: a line for whoever waits. It is told how many things a second were seen.
    pub(crate) fn line(&mut self, say: impl FnOnce(f64) -> String) {
        let now = self.now();
        if now < self.next_line {
            return;
        }
        let seen = self.workers.counts().seen;
        let (seen_before, then) = self.last_line;
        let span = float(now.saturating_sub(then)) / 1e9;
        let rate = if span > 0.0 { float(seen.saturating_sub(seen_before)) / span } else { 0.0 };
        self.last_line = (seen, now);
        self.next_line = now + 1_000_000_000;
        (self.progress)(&say(rate));
    }
}

/// Exact up to 2⁵³, which is a hundred days in nanoseconds.
#[expect(clippy::cast_precision_loss, reason = "for people")]
pub(crate) const fn float(number: u64) -> f64 {
    number as f64
}
