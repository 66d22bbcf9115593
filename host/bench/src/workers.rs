//! Worker threads. Each has a runtime, one read buffer for all its connections, and one tally, so
//! that workers share no data while they handle events.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::JoinHandle;

use tokio::runtime::{Builder, Handle};
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::clock::{Clock, MeasuredPeriod};
use crate::error::BenchError;
use crate::plan::{Plan, Target};
use crate::process;
use crate::tally::{Counts, Tally};

/// Size of a read buffer. Large, so that many events written at once are read at once; small enough
/// for the cache.
const READ_BUFFER_BYTES: usize = 256 * 1024;

/// Connections opened at one time: a server's accept queue is bounded.
const MAX_OPENING: usize = 64;

/// State of one worker thread.
#[derive(Debug)]
pub(crate) struct Worker {
    local: Mutex<WorkerLocal>,
    /// The operating system's thread id, once it runs.
    thread: OnceLock<u32>,
}

/// Buffer and counters of a worker.
#[derive(Debug)]
pub(crate) struct WorkerLocal {
    pub(crate) buffer: Vec<u8>,
    pub(crate) tally: Tally,
}

impl Worker {
    fn new() -> Result<Self, BenchError> {
        let local = WorkerLocal { buffer: vec![0; READ_BUFFER_BYTES], tally: Tally::new()? };
        Ok(Self { local: Mutex::new(local), thread: OnceLock::new() })
    }

    /// Registers the calling thread as this worker.
    pub(crate) fn register_thread(&self) {
        if let Some(id) = process::thread_id() {
            let _first = self.thread.set(id);
        }
    }

    /// Returns the worker's buffer and counters. Only the thread itself uses them; the coordinator
    /// reads the tally once a second. The lock is taken once per read, not per event.
    pub(crate) fn local(&self) -> MutexGuard<'_, WorkerLocal> {
        self.local.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An event for the coordinator.
#[derive(Debug)]
pub(crate) enum WorkerEvent {
    /// A connection is ready.
    Ready,
    /// A connection could not be opened.
    NotOpened(BenchError),
    /// A task has failed.
    Failed(BenchError),
}

/// A server, and its address.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    pub(crate) target: Target,
    pub(crate) address: std::net::SocketAddr,
}

/// State shared by all tasks.
#[derive(Debug)]
pub(crate) struct RunContext {
    pub(crate) plan: Plan,
    pub(crate) period: MeasuredPeriod,
    /// Random id that distinguishes this run's events from other runs'.
    pub(crate) run: u16,
    pub(crate) opening: Semaphore,
    /// The server.
    pub(crate) endpoint: Endpoint,
    /// The servers of subscribers; that server if empty.
    pub(crate) subscribe_at: Vec<Endpoint>,
    /// Counter to take the source addresses in turn.
    pub(crate) turn: AtomicUsize,
    /// Counter to take the servers of subscribers in turn.
    pub(crate) subscriber_turn: AtomicUsize,
    /// Whether the pacer thread is running.
    pub(crate) pacing: AtomicBool,
    events: mpsc::UnboundedSender<WorkerEvent>,
}

impl RunContext {
    /// Sends an event to the coordinator. Ignored after the run.
    pub(crate) fn send_event(&self, event: WorkerEvent) {
        let _over = self.events.send(event);
    }

    /// Returns the name of a topic.
    pub(crate) fn topic(&self, index: usize) -> String {
        format!("{}{index}", self.plan.topic)
    }
}

/// All worker threads.
pub(crate) struct Workers {
    pub(crate) shared: Arc<RunContext>,
    pub(crate) spawner: Spawner,
    pub(crate) events: mpsc::UnboundedReceiver<WorkerEvent>,
    /// State of the pacer thread, which has no connections.
    pub(crate) pacer: Arc<Worker>,
    /// Joined on drop.
    _threads: Vec<WorkerThread>,
}

/// Spawns tasks on the workers, in turn.
#[derive(Clone)]
pub(crate) struct Spawner {
    pub(crate) shared: Arc<RunContext>,
    handles: Arc<[WorkerHandle]>,
    next: Arc<AtomicUsize>,
}

/// A worker and its runtime.
struct WorkerHandle {
    worker: Arc<Worker>,
    runtime: Handle,
}

/// A running thread, stopped and joined on drop.
struct WorkerThread {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Workers {
    /// Starts the threads.
    pub(crate) fn start(
        plan: &Plan,
        endpoint: Endpoint,
        subscribe_at: Vec<Endpoint>,
    ) -> Result<Self, BenchError> {
        let (sender, events) = mpsc::unbounded_channel();
        let shared = Arc::new(RunContext {
            plan: plan.clone(),
            period: MeasuredPeriod::new(Clock::start()),
            run: fastrand::u16(..),
            opening: Semaphore::new(MAX_OPENING),
            endpoint,
            subscribe_at,
            turn: AtomicUsize::new(0),
            subscriber_turn: AtomicUsize::new(0),
            pacing: AtomicBool::new(false),
            events: sender,
        });
        // Threads inherit the setting.
        process::minimize_timer_slack();
        let started = (0..plan.threads).map(|_| WorkerThread::start());
        let (threads, handles): (Vec<_>, Vec<_>) =
            started.collect::<Result<Vec<_>, _>>()?.into_iter().unzip();
        let next = Arc::default();
        let spawner = Spawner { shared: Arc::clone(&shared), handles: handles.into(), next };
        Ok(Self { shared, spawner, events, pacer: Arc::new(Worker::new()?), _threads: threads })
    }

    /// Returns the sum of all workers' tallies.
    pub(crate) fn tally(&self) -> Result<Tally, BenchError> {
        let mut sum = Tally::new()?;
        for worker in self.workers() {
            sum.add(&worker.local().tally);
        }
        Ok(sum)
    }

    /// Returns the sum of all workers' counters.
    pub(crate) fn counts(&self) -> Counts {
        let mut sum = Counts::default();
        for worker in self.workers() {
            sum.add(&worker.local().tally.counts);
        }
        sum
    }

    /// Returns the operating system's ids of the threads.
    pub(crate) fn threads(&self) -> Vec<u32> {
        self.workers().filter_map(|worker| worker.thread.get().copied()).collect()
    }

    fn workers(&self) -> impl Iterator<Item = &Arc<Worker>> {
        self.spawner.handles.iter().map(|handle| &handle.worker).chain([&self.pacer])
    }
}

impl Spawner {
    /// Spawns a task on the next worker.
    pub(crate) fn spawn<T>(&self, task: impl FnOnce(Arc<Worker>, Arc<RunContext>) -> T)
    where
        T: Future<Output = Result<(), BenchError>> + Send + 'static,
    {
        let turn = self.next.fetch_add(1, Relaxed) % self.handles.len().max(1);
        let Some(handle) = self.handles.get(turn) else { return };
        let shared = Arc::clone(&self.shared);
        let work = task(Arc::clone(&handle.worker), Arc::clone(&shared));
        handle.runtime.spawn(async move {
            if let Err(error) = work.await {
                shared.send_event(WorkerEvent::Failed(error));
            }
        });
    }
}

impl WorkerThread {
    fn start() -> Result<(Self, WorkerHandle), BenchError> {
        let worker = Arc::new(Worker::new()?);
        let failed = |error| BenchError::System("start a thread", error);
        // Tasks run between two polls of the sockets: with thousands of connections, polling more
        // often would take half of the time.
        let runtime = Builder::new_current_thread()
            .enable_all()
            .event_interval(256)
            .build()
            .map_err(failed)?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel();
        let local = Arc::clone(&worker);
        let (ready, is_ready) = std::sync::mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("bench".to_owned())
            .spawn(move || {
                local.register_thread();
                let _waiting = ready.send(());
                let _stopped = runtime.block_on(stopped);
                // The end of the process closes thousands of sockets faster.
                runtime.shutdown_background();
            })
            .map_err(failed)?;
        // Its CPU time is counted from the beginning.
        let _started = is_ready.recv();
        let handle = WorkerHandle { worker, runtime: handle };
        Ok((Self { stop: Some(stop), thread: Some(thread) }, handle))
    }
}

impl Drop for WorkerThread {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // The thread returns nothing.
            let _ended = thread.join();
        }
    }
}

impl RunContext {
    /// Returns the server of the next subscriber.
    pub(crate) fn next_subscribed(&self) -> &Endpoint {
        let turn = self.subscriber_turn.fetch_add(1, Relaxed);
        let place = turn.checked_rem(self.subscribe_at.len());
        place.and_then(|it| self.subscribe_at.get(it)).unwrap_or(&self.endpoint)
    }

    /// Returns the local address of the next connection.
    pub(crate) fn source(&self) -> Option<std::net::IpAddr> {
        let sources = &self.plan.sources;
        let turn = self.turn.fetch_add(1, Relaxed);
        sources.get(turn.checked_rem(sources.len())?).copied()
    }
}
