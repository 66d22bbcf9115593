//! Coordinator: drives the phases of a run (open, warm-up, measure, drain), and samples CPU and
//! memory.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{Acquire, Relaxed};
use std::time::Duration;

use crate::clock::nanoseconds;
use crate::error::BenchError;
use crate::process::{self, Usage};
use crate::tally::Counts;
use crate::workers::{RunContext, WorkerEvent, Workers};

/// Interval between checks of the run's state.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// Longest silence before outstanding answers count as lost.
const MAX_SILENCE: Duration = Duration::from_secs(3);

/// Coordinator of a run.
pub(crate) struct Coordinator<'p> {
    pub(crate) workers: Workers,
    interrupted: Arc<AtomicBool>,
    progress: &'p mut dyn FnMut(&str),
    /// Due time of the next progress line.
    next_progress: u64,
    /// Messages seen at the last progress line, and its time.
    last_progress: (u64, u64),
    /// Connections lost during the measured period: their number, and the first error.
    pub(crate) disconnects: Option<(u64, BenchError)>,
    before: Option<Sample>,
    /// Usage of the server before the first connection.
    empty: Option<Usage>,
    /// Usage of the server with all connections open.
    full: Option<Usage>,
}

/// CPU and memory figures at one time.
#[derive(Clone, Debug)]
struct Sample {
    time: u64,
    /// Usage of each process of the server.
    processes: Vec<Option<Usage>>,
    threads: Vec<f64>,
    machine: Option<(f64, f64)>,
}

/// Resources used between two samples.
#[derive(Clone, Debug)]
pub(crate) struct Cost {
    /// Seconds between them.
    pub(crate) seconds: f64,
    /// CPU time of the server, in seconds.
    pub(crate) cpu: Option<f64>,
    /// CPU time of each of its processes.
    pub(crate) processes: Vec<(u32, f64)>,
    /// CPU share of the generator's busiest thread.
    pub(crate) busiest: Option<f64>,
    /// CPU share of the whole machine.
    pub(crate) machine: Option<f64>,
}

/// Result of waiting for outstanding answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WaitOutcome {
    /// All answers have arrived.
    Done,
    /// Some answers are missing.
    TimedOut,
}

impl<'p> Coordinator<'p> {
    pub(crate) fn new(
        workers: Workers,
        progress: &'p mut dyn FnMut(&str),
        interrupted: Arc<AtomicBool>,
    ) -> Self {
        let empty = process::usage(&workers.shared.plan.pids);
        Self {
            workers,
            interrupted,
            progress,
            next_progress: 0,
            last_progress: (0, 0),
            disconnects: None,
            before: None,
            empty,
            full: None,
        }
    }

    pub(crate) fn shared(&self) -> &Arc<RunContext> {
        &self.workers.shared
    }

    fn now(&self) -> u64 {
        self.workers.shared.period.clock.now()
    }

    /// Returns whether the user has pressed Ctrl-C.
    pub(crate) fn interrupted(&self) -> bool {
        self.interrupted.load(Relaxed)
    }

    /// Returns the next event of a worker; `None` after [`POLL_INTERVAL`].
    pub(crate) async fn next_event(&mut self) -> Option<WorkerEvent> {
        tokio::time::timeout(POLL_INTERVAL, self.workers.events.recv()).await.ok().flatten()
    }

    /// Waits until `count` connections are ready.
    pub(crate) async fn wait_ready(&mut self, count: usize, unit: &str) -> Result<(), BenchError> {
        let mut ready = 0;
        while ready < count {
            match self.next_event().await {
                Some(WorkerEvent::Ready) => ready += 1,
                Some(WorkerEvent::NotOpened(error) | WorkerEvent::Failed(error)) => {
                    return Err(error);
                }
                None => {}
            }
            if self.interrupted() {
                return Err(BenchError::Interrupted);
            }
            self.report_progress(|_| format!("opening: {ready} of {count} {unit}"));
        }
        Ok(())
    }

    /// Samples the server's memory with all connections open, after a pause for the server to
    /// settle.
    pub(crate) async fn measure_memory(&mut self) {
        if self.empty.is_some() {
            tokio::time::sleep(Duration::from_millis(200)).await;
            self.full = process::usage(&self.workers.shared.plan.pids);
        }
    }

    /// Memory of the server per connection, in bytes.
    pub(crate) fn bytes_per_connection(&self, connections: u64) -> Option<f64> {
        let (empty, full) = (self.empty?, self.full?);
        let grown = full.memory.saturating_sub(empty.memory);
        (connections > 0).then(|| float(grown) / float(connections))
    }

    /// Starts the warm-up now, and the measured period after it.
    pub(crate) fn start_period(&self) {
        let plan = &self.workers.shared.plan;
        let begin = self.now().saturating_add(nanoseconds(plan.warm_up));
        self.workers.shared.period.set(begin, begin.saturating_add(nanoseconds(plan.seconds)));
    }

    /// Waits for the end of the measured period. A lost connection brings it forward.
    pub(crate) async fn wait_period(&mut self, unit: &str) -> Result<(), BenchError> {
        let shared = Arc::clone(self.shared());
        let period = &shared.period;
        loop {
            let now = self.now();
            let measuring = now >= period.begin();
            if measuring && self.before.is_none() {
                self.start_cost();
            }
            if now >= period.end() {
                return if measuring { Ok(()) } else { Err(BenchError::Interrupted) };
            }
            if self.interrupted() {
                period.cut();
                continue;
            }
            match self.next_event().await {
                Some(WorkerEvent::Failed(error) | WorkerEvent::NotOpened(error)) => {
                    if !measuring || !matches!(error, BenchError::Ended(_)) {
                        return Err(error);
                    }
                    self.record_disconnect(error);
                    period.cut();
                }
                Some(WorkerEvent::Ready) | None => {}
            }
            let phase = if measuring { "" } else { "warming up: " };
            self.report_progress(|rate| format!("{phase}{rate:.0} {unit} a second"));
        }
    }

    /// Waits for outstanding answers.
    pub(crate) async fn wait_outstanding(
        &mut self,
        is_done: impl Fn(&Counts) -> bool,
    ) -> WaitOutcome {
        let mut seen = (self.workers.counts(), self.now());
        loop {
            let pacing = self.shared().pacing.load(Acquire);
            let counts = self.workers.counts();
            if !pacing && is_done(&counts) {
                return WaitOutcome::Done;
            }
            let now = self.now();
            if counts != seen.0 {
                seen = (counts, now);
            }
            if now - seen.1 > nanoseconds(MAX_SILENCE) || self.disconnects.is_some() {
                return WaitOutcome::TimedOut;
            }
            if let Some(WorkerEvent::Failed(error)) = self.next_event().await {
                self.record_disconnect(error);
            }
            self.report_progress(|_| "waiting for outstanding answers".to_owned());
        }
    }

    /// Records a lost connection.
    pub(crate) fn record_disconnect(&mut self, error: BenchError) {
        self.disconnects.get_or_insert((0, error)).0 += 1;
    }

    /// Checks that the result is not empty.
    pub(crate) fn check_result(&mut self, counts: &Counts) -> Result<(), BenchError> {
        let &Counts { done, requested, .. } = counts;
        match self.disconnects.take_if(|_| done == 0) {
            Some((_, error)) => Err(error),
            None if done == 0 && self.interrupted() => Err(BenchError::Interrupted),
            None if done == 0 => {
                Err(BenchError::NoResult { requested, at_rate: self.shared().plan.rate.is_some() })
            }
            None => Ok(()),
        }
    }

    /// Memory of the server with all connections open, in bytes.
    pub(crate) fn memory(&self) -> Option<u64> {
        self.full.map(|usage| usage.memory)
    }

    /// Starts counting resources.
    pub(crate) fn start_cost(&mut self) {
        self.before = Some(self.sample());
    }

    /// Resources used since [`Self::start_cost`].
    pub(crate) fn cost(&self) -> Cost {
        let after = self.sample();
        let before = self.before.as_ref().unwrap_or(&after);
        let seconds = float(after.time.saturating_sub(before.time)) / 1e9;
        let pids = &self.workers.shared.plan.pids;
        let used = before.processes.iter().zip(&after.processes).map(|(before, after)| {
            before.zip(*after).map(|(before, after)| after.cpu - before.cpu)
        });
        let used: Option<Vec<f64>> = used.collect();
        let used = used.filter(|used| !used.is_empty());
        let busiest =
            before.threads.iter().zip(&after.threads).map(|(before, after)| after - before);
        let busiest = busiest.reduce(f64::max).filter(|_| seconds > 0.0);
        let machine = before.machine.zip(after.machine);
        Cost {
            seconds,
            cpu: used.as_ref().map(|used| used.iter().sum()),
            processes: pids.iter().copied().zip(used.unwrap_or_default()).collect(),
            busiest: busiest.map(|busy| (busy / seconds).min(1.0)),
            machine: machine
                .map(|(before, after)| (after.0 - before.0) / (after.1 - before.1))
                .filter(|share| share.is_finite()),
        }
    }

    fn sample(&self) -> Sample {
        let pids = &self.workers.shared.plan.pids;
        Sample {
            time: self.now(),
            processes: pids.iter().map(|pid| process::usage(&[*pid])).collect(),
            threads: process::threads(&self.workers.threads()),
            machine: process::machine(),
        }
    }

    /// Prints a progress line once a second. `say` gets the messages seen per second.
    pub(crate) fn report_progress(&mut self, say: impl FnOnce(f64) -> String) {
        let now = self.now();
        if now < self.next_progress {
            return;
        }
        let seen = self.workers.counts().seen;
        let (seen_before, then) = self.last_progress;
        let span = float(now.saturating_sub(then)) / 1e9;
        let rate = if span > 0.0 { float(seen.saturating_sub(seen_before)) / span } else { 0.0 };
        self.last_progress = (seen, now);
        self.next_progress = now + 1_000_000_000;
        (self.progress)(&say(rate));
    }
}

/// Returns a number as a float; exact up to 2⁵³, a hundred days in nanoseconds.
#[expect(clippy::cast_precision_loss, reason = "exact enough for a report")]
pub(crate) const fn float(number: u64) -> f64 {
    number as f64
}
