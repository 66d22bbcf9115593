//! The threads that do the work. Each has a runtime of its own, one buffer that all its connections
//! read into, and one tally, so that nothing is shared on the way of an event.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::JoinHandle;

use tokio::runtime::{Builder, Handle};
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::clock::{Clock, Course};
use crate::failure::Failure;
use crate::plan::Plan;
use crate::process;
use crate::tally::{Counts, Tally};

/// What one read takes at most. Large, so that a server that writes many events at once is not
/// read in pieces; small enough to stay in the cache.
const READ_BUFFER: usize = 256 * 1024;

/// Connections that are opened at one time: servers have a bounded queue of those that they have
/// not accepted yet.
const OPENING: usize = 64;

/// One thread's desk.
#[derive(Debug)]
pub(crate) struct Lane {
    desk: Mutex<WorkerContext>,
    /// The thread's id with the operating system, once it works.
    thread: OnceLock<u32>,
}

/// What a thread works with.
#[derive(Debug)]
pub(crate) struct WorkerContext {
    pub(crate) buffer: Vec<u8>,
    pub(crate) tally: Tally,
}

impl Lane {
    fn new() -> Result<Self, Failure> {
        let desk = WorkerContext { buffer: vec![0; READ_BUFFER], tally: Tally::new()? };
        Ok(Self { desk: Mutex::new(desk), thread: OnceLock::new() })
    }

    /// The calling thread works here from now on.
    pub(crate) fn start_connection(&self) {
        if let Some(id) = process::thread_id() {
            let _first = self.thread.set(id);
        }
    }

    /// Only the thread itself works at its desk; others look at the tally once a second. A lock
    /// is taken once a read, not once an event.
    pub(crate) fn desk(&self) -> MutexGuard<'_, WorkerContext> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a task tells the one who leads the run.
#[derive(Debug)]
pub(crate) enum WorkerEvent {
    /// A connection is open and has what it needs.
    Ready,
    /// A connection could not be opened.
    NotOpened(Failure),
    /// A task has failed.
    Failed(Failure),
}

/// What all tasks share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) plan: Plan,
    pub(crate) course: Course,
    /// Tells this run's events from those of others.
    pub(crate) run: u16,
    pub(crate) opening: Semaphore,
    /// For [`crate::socket`]: the addresses of the server, and whose turn it is among the sources.
    pub(crate) address: std::net::SocketAddr,
    pub(crate) turn: AtomicUsize,
    /// Whether the thread that keeps the time has something to send.
    pub(crate) pacing: AtomicBool,
    news: mpsc::UnboundedSender<WorkerEvent>,
}

impl Shared {
    /// Told to the one who leads; where nobody listens any more, the run is over.
    pub(crate) fn tell(&self, news: WorkerEvent) {
        let _over = self.news.send(news);
    }

    /// The name of a topic.
    pub(crate) fn topic(&self, index: usize) -> String {
        format!("{}{index}", self.plan.topic)
    }
}

/// The threads.
pub(crate) struct Crew {
    pub(crate) shared: Arc<Shared>,
    pub(crate) spawner: Spawner,
    pub(crate) news: mpsc::UnboundedReceiver<WorkerEvent>,
    /// For the thread that keeps the time at a fixed rate. It connects to nobody.
    pub(crate) pacer: Arc<Lane>,
    /// Joined when the crew is dismissed.
    _hands: Vec<Worker>,
}

/// Gives tasks to the threads, in turn.
#[derive(Clone)]
pub(crate) struct Spawner {
    pub(crate) shared: Arc<Shared>,
    seats: Arc<[WorkerConnection]>,
    next: Arc<AtomicUsize>,
}

/// Where a thread works.
struct WorkerConnection {
    lane: Arc<Lane>,
    runtime: Handle,
}

/// A thread, until it is stopped.
struct Worker {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Crew {
    /// Starts the threads.
    pub(crate) fn start(plan: &Plan, address: std::net::SocketAddr) -> Result<Self, Failure> {
        let (sender, news) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            plan: plan.clone(),
            course: Course::new(Clock::start()),
            run: fastrand::u16(..),
            opening: Semaphore::new(OPENING),
            address,
            turn: AtomicUsize::new(0),
            pacing: AtomicBool::new(false),
            news: sender,
        });
        // Threads inherit it from here.
        process::wake_in_time();
        let started = (0..plan.threads).map(|_| Worker::start());
        let (hands, seats): (Vec<_>, Vec<_>) =
            started.collect::<Result<Vec<_>, _>>()?.into_iter().unzip();
        let next = Arc::default();
        let spawner = Spawner { shared: Arc::clone(&shared), seats: seats.into(), next };
        Ok(Self { shared, spawner, news, pacer: Arc::new(Lane::new()?), _hands: hands })
    }

    /// What all threads have counted until now.
    pub(crate) fn tally(&self) -> Result<Tally, Failure> {
        let mut sum = Tally::new()?;
        for lane in self.lanes() {
            sum.add(&lane.desk().tally);
        }
        Ok(sum)
    }

    /// The numbers alone, for a look.
    pub(crate) fn counts(&self) -> Counts {
        let mut sum = Counts::default();
        for lane in self.lanes() {
            sum.add(&lane.desk().tally.counts);
        }
        sum
    }

    /// The ids of the threads with the operating system.
    pub(crate) fn threads(&self) -> Vec<u32> {
        self.lanes().filter_map(|lane| lane.thread.get().copied()).collect()
    }

    fn lanes(&self) -> impl Iterator<Item = &Arc<Lane>> {
        self.spawner.seats.iter().map(|seat| &seat.lane).chain([&self.pacer])
    }
}

impl Spawner {
    /// Gives a task to the next thread in turn.
    pub(crate) fn spawn<T>(&self, task: impl FnOnce(Arc<Lane>, Arc<Shared>) -> T)
    where
        T: Future<Output = Result<(), Failure>> + Send + 'static,
    {
        let turn = self.next.fetch_add(1, Relaxed) % self.seats.len().max(1);
        let Some(seat) = self.seats.get(turn) else { return };
        let shared = Arc::clone(&self.shared);
        let work = task(Arc::clone(&seat.lane), Arc::clone(&shared));
        seat.runtime.spawn(async move {
            if let Err(failure) = work.await {
                shared.tell(WorkerEvent::Failed(failure));
            }
        });
    }
}

impl Worker {
    fn start() -> Result<(Self, WorkerConnection), Failure> {
        let lane = Arc::new(Lane::new()?);
        let failed = |error| Failure::System("start a thread", error);
        // Sockets are asked for news after so many tasks: with thousands of connections, asking
        // more often would be half of the work.
        let runtime = Builder::new_current_thread()
            .enable_all()
            .event_interval(256)
            .build()
            .map_err(failed)?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel();
        let desk = Arc::clone(&lane);
        let (seated, is_seated) = std::sync::mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("bench".to_owned())
            .spawn(move || {
                desk.start_connection();
                let _asked = seated.send(());
                let _stopped = runtime.block_on(stopped);
                // Thousands of sockets are closed by the end of the process more quickly.
                runtime.shutdown_background();
            })
            .map_err(failed)?;
        // What it computes is counted from the beginning.
        let _seated = is_seated.recv();
        let seat = WorkerConnection { lane, runtime: handle };
        Ok((Self { stop: Some(stop), thread: Some(thread) }, seat))
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It has nothing to report.
            let _ended = thread.join();
        }
    }
}

impl Shared {
    /// The local address that the next connection comes from.
    pub(crate) fn source(&self) -> Option<std::net::IpAddr> {
        let sources = &self.plan.sources;
        let turn = self.turn.fetch_add(1, Relaxed);
        sources.get(turn.checked_rem(sources.len())?).copied()
    }
}
