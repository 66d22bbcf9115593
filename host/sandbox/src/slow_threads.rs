//! Threads of low priority, on which slow calls run.
//!
//! Calls run on idle threads ([`Priority`]) while probes get a core there soon, and on threads of low
//! priority otherwise. The caller's thread waits meanwhile, so that nothing has to be moved or
//! shared.

use std::any::Any;
use std::fmt::Display;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, TryLockError};
use std::time::{Duration, Instant};

use rayon::{ThreadPool, ThreadPoolBuilder};
use rustix::time::{ClockId, clock_gettime};
use tokio::runtime::{Handle, RuntimeFlavor};
use tracing::warn;

use crate::scheduling::Priority;

/// The longest wait of an idle thread for a core on a machine that is not saturated. Two threads
/// that compute on the same core take turns of three milliseconds.
const MAX_QUIET_WAIT: Duration = Duration::from_millis(20);
/// How long such a wait shows that the machine is not saturated.
const QUIET_TIME: Duration = Duration::from_secs(1);
/// The age of the last probe at which the next one is sent.
const PROBE_PAUSE: Duration = Duration::from_millis(100);
/// How long after a refusal the operating system is asked for threads again.
const REFUSED_PAUSE: Duration = Duration::from_secs(10);

/// Enters the log context of a task on another thread. It is left when the result is dropped.
pub type EnterLogContext = Box<dyn FnOnce() -> Box<dyn Any> + Send>;

/// How the context of the current task is taken along. One for the process, as its log is.
static LOG_CONTEXT: OnceLock<fn() -> EnterLogContext> = OnceLock::new();

/// Sets how log lines of slow calls get the context of the task that waits for them; the first call has
/// an effect.
pub fn set_log_context(carried: fn() -> EnterLogContext) {
    let _first_stays = LOG_CONTEXT.set(carried);
}

/// The threads, which start with the first slow call.
#[derive(Debug, Clone)]
pub(crate) struct SlowThreads(Arc<Pools>);

#[derive(Debug)]
struct Pools {
    idle: LazyPool,
    low: LazyPool,
    saturation: Arc<Saturation>,
}

/// Whether idle threads get a core, as far as is known.
#[derive(Debug)]
struct Saturation {
    created: Instant,
    /// When the last probe got a core soon: milliseconds since `created`. Zero if none did since
    /// a thread waited long.
    quiet_at: AtomicU64,
    /// Whether a probe waits for a core.
    is_probing: AtomicBool,
}

#[derive(Debug)]
struct LazyPool {
    threads: usize,
    priority: Priority,
    /// Empty before the first slow call, and while the operating system refuses threads: calls run
    /// on the thread of the caller then.
    pool: OnceLock<ThreadPool>,
    /// When threads may be asked for again after a refusal. Held while they start, by the first
    /// call; others do not wait for them.
    retry_at: Mutex<Option<Instant>>,
}

/// The time for which the current thread is ready to run, and waits for a core.
#[derive(Debug)]
pub(crate) struct WaitClock {
    began: Instant,
    /// CPU time of the thread at the beginning.
    used: Duration,
}

impl SlowThreads {
    /// Threads for `count` calls at a time.
    pub(crate) fn new(count: usize) -> Self {
        Self(Arc::new(Pools {
            // One more, for probes.
            idle: LazyPool::new(count + 1, Priority::Idle),
            low: LazyPool::new(count, Priority::Low),
            saturation: Arc::new(Saturation::new(Instant::now())),
        }))
    }

    /// Runs `work` on one of the threads, and waits for it. The tasks and sockets of the caller's
    /// worker go to another thread meanwhile.
    pub(crate) fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let Some((pool, runtime)) = self.0.chosen(Instant::now()).zip(runtime_with_workers())
        else {
            return work();
        };
        let context = LOG_CONTEXT.get().map(|carried| carried());
        let work = || {
            let _runtime = runtime.enter();
            let _context = context.map(|enter| enter());
            work()
        };
        tokio::task::block_in_place(|| pool.install(work))
    }

    /// Work has waited so long for a core.
    pub(crate) fn waited(&self, wait: Duration) {
        if wait > MAX_QUIET_WAIT {
            self.0.saturation.quiet_at.store(0, Ordering::Relaxed);
        }
    }
}

impl Pools {
    fn chosen(&self, now: Instant) -> Option<&ThreadPool> {
        if self.saturation.begins_probe(now)
            && let Some(idle) = self.idle.started(now)
        {
            let saturation = Arc::clone(&self.saturation);
            idle.spawn(move || saturation.end_probe(now, Instant::now()));
        }
        let pool = if self.saturation.is_quiet(now) { &self.idle } else { &self.low };
        pool.started(now)
    }
}

impl Saturation {
    fn new(created: Instant) -> Self {
        Self { created, quiet_at: AtomicU64::new(0), is_probing: AtomicBool::new(false) }
    }

    fn is_quiet(&self, now: Instant) -> bool {
        self.is_younger(QUIET_TIME, now)
    }

    /// Whether a probe is due, and none is on its way. The caller sends it.
    fn begins_probe(&self, now: Instant) -> bool {
        !self.is_younger(PROBE_PAUSE, now) && !self.is_probing.swap(true, Ordering::Relaxed)
    }

    fn end_probe(&self, sent: Instant, now: Instant) {
        if now.saturating_duration_since(sent) <= MAX_QUIET_WAIT {
            self.quiet_at.store(self.milliseconds(now), Ordering::Relaxed);
        }
        self.is_probing.store(false, Ordering::Relaxed);
    }

    /// Whether the last good probe is younger than `age`.
    fn is_younger(&self, age: Duration, now: Instant) -> bool {
        let quiet_at = self.quiet_at.load(Ordering::Relaxed);
        let age = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
        quiet_at != 0 && self.milliseconds(now) < quiet_at.saturating_add(age)
    }

    /// Since `created`, counted from one.
    fn milliseconds(&self, at: Instant) -> u64 {
        let passed = at.saturating_duration_since(self.created).as_millis();
        u64::try_from(passed).unwrap_or(u64::MAX).saturating_add(1)
    }
}

impl LazyPool {
    fn new(threads: usize, priority: Priority) -> Self {
        Self { threads, priority, pool: OnceLock::new(), retry_at: Mutex::new(None) }
    }

    fn started(&self, now: Instant) -> Option<&ThreadPool> {
        self.started_by(now, || {
            let priority = self.priority;
            let name = match priority {
                Priority::Idle => "slow-call",
                Priority::Low => "low-call",
            };
            let set_priority = move |_| {
                if let Err(error) = priority.set() {
                    warn!(name: "sandbox.normal_priority", %error, "slow calls run with normal priority");
                }
            };
            ThreadPoolBuilder::new()
                .num_threads(self.threads)
                .thread_name(move |number| format!("{name}-{number}"))
                .start_handler(set_priority)
                .build()
        })
    }

    /// The pool, which `start` makes if there is none. After a refusal it is not called for
    /// [`REFUSED_PAUSE`].
    fn started_by<E: Display>(
        &self,
        now: Instant,
        start: impl FnOnce() -> Result<ThreadPool, E>,
    ) -> Option<&ThreadPool> {
        if let Some(pool) = self.pool.get() {
            return Some(pool);
        }
        let mut retry_at = match self.retry_at.try_lock() {
            Ok(retry_at) => retry_at,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return None,
        };
        if let Some(pool) = self.pool.get() {
            return Some(pool);
        }
        if retry_at.is_some_and(|at| now < at) {
            return None;
        }
        match start() {
            Ok(pool) => Some(self.pool.get_or_init(|| pool)),
            Err(error) => {
                warn!(name: "sandbox.no_slow_threads", %error, "slow calls have no threads of their own");
                *retry_at = Some(now + REFUSED_PAUSE);
                None
            }
        }
    }
}

impl WaitClock {
    /// The wait began before the thread got the work.
    pub(crate) fn start(began: Instant) -> Self {
        Self { began, used: cpu_time() }
    }

    /// The wait since the start. To be read by the thread that started the clock.
    pub(crate) fn waited(&self) -> Duration {
        let used = cpu_time().saturating_sub(self.used);
        self.began.elapsed().saturating_sub(used)
    }
}

/// CPU time that the current thread has used.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.try_into().unwrap_or_default()
}

/// The runtime, if it has worker threads, one of which can be replaced while a call occupies it. The
/// runtime of a test may have none.
fn runtime_with_workers() -> Option<Handle> {
    Handle::try_current().ok().filter(|it| it.runtime_flavor() == RuntimeFlavor::MultiThread)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use thread_priority::{NormalThreadSchedulePolicy, ThreadSchedulePolicy};

    use super::*;
    use crate::scheduling::LOW_NICENESS;

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn runs_work_with_low_priority_at_first() {
        let (own, after, aside) = on_a_worker(SlowThreads::new(1)).await;
        assert_eq!(after, own, "the worker keeps its priority");
        assert_eq!(aside.name, "low-call-0");
        assert_eq!(aside.policy, own.policy);
        assert_eq!(aside.niceness, LOW_NICENESS.max(own.niceness));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn runs_work_on_cores_that_are_not_used() {
        let threads = SlowThreads::new(1);
        threads.0.saturation.end_probe(Instant::now(), Instant::now());
        let (own, after, aside) = on_a_worker(threads).await;
        assert_eq!(after, own, "the worker keeps its policy");
        assert!(aside.name.starts_with("slow-call-"), "{aside:?}");
        assert_eq!(aside.policy, NormalThreadSchedulePolicy::Idle);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn takes_the_log_context_along() {
        thread_local!(static CONTEXT: Cell<u32> = const { Cell::new(0) });
        set_log_context(|| {
            let context = CONTEXT.get();
            Box::new(move || {
                CONTEXT.set(context);
                Box::new(()) as Box<dyn Any>
            })
        });
        let there = tokio::spawn(async {
            CONTEXT.set(7);
            SlowThreads::new(1).run(|| (CONTEXT.get(), std::thread::current().id()))
        });
        let (context, thread) = there.await.unwrap();
        assert_eq!(context, 7);
        assert_ne!(thread, std::thread::current().id());
    }

    #[test]
    fn knows_for_a_second_that_cores_are_not_used() {
        let start = Instant::now();
        let saturation = Saturation::new(start);
        assert!(!saturation.is_quiet(start), "no probe has returned");
        assert!(saturation.begins_probe(start));
        assert!(!saturation.begins_probe(start), "one is on its way");
        let soon = start + MAX_QUIET_WAIT;
        saturation.end_probe(start, soon);
        assert!(saturation.is_quiet(soon));
        assert!(!saturation.begins_probe(soon), "one has just returned");
        let later = soon + PROBE_PAUSE;
        assert!(saturation.is_quiet(later));
        assert!(saturation.begins_probe(later));
        saturation.end_probe(later, later + MAX_QUIET_WAIT + Duration::from_millis(1));
        assert!(saturation.is_quiet(soon + QUIET_TIME.mul_f64(0.9)));
        assert!(!saturation.is_quiet(soon + QUIET_TIME), "the second probe waited long");
    }

    #[test]
    fn forgets_it_when_work_waits_long() {
        let threads = SlowThreads::new(1);
        let Pools { saturation, .. } = &*threads.0;
        let now = Instant::now();
        saturation.end_probe(now, now);
        threads.waited(MAX_QUIET_WAIT);
        assert!(saturation.is_quiet(now));
        threads.waited(MAX_QUIET_WAIT + Duration::from_millis(1));
        assert!(!saturation.is_quiet(now));
    }

    #[test]
    fn asks_for_threads_again_after_a_refusal() {
        let pool = LazyPool::new(1, Priority::Low);
        let now = Instant::now();
        let mut asked = 0;
        let mut refused = |at: Instant| {
            let refusal = || {
                asked += 1;
                Err("no more threads")
            };
            assert!(pool.started_by(at, refusal).is_none());
            asked
        };
        assert_eq!(refused(now), 1);
        assert_eq!(refused(now + REFUSED_PAUSE.mul_f64(0.9)), 1, "too soon");
        assert_eq!(refused(now + REFUSED_PAUSE), 2);
        assert!(pool.started(now + REFUSED_PAUSE).is_none(), "too soon");
        assert!(pool.started(now + 2 * REFUSED_PAUSE).is_some());
        assert!(pool.started(now).is_some(), "they stay");
    }

    #[derive(Debug, PartialEq)]
    struct Scheduling {
        name: String,
        policy: NormalThreadSchedulePolicy,
        niceness: i32,
    }

    impl Scheduling {
        fn of_this_thread() -> Self {
            let policy = thread_priority::thread_schedule_policy().unwrap();
            let ThreadSchedulePolicy::Normal(policy) = policy else { panic!("{policy:?}") };
            let name = std::thread::current().name().unwrap_or_default().to_owned();
            Self { name, policy, niceness: rustix::process::getpriority_process(None).unwrap() }
        }
    }

    /// The scheduling of a worker before and after some work, and of the work.
    async fn on_a_worker(threads: SlowThreads) -> (Scheduling, Scheduling, Scheduling) {
        let worker = tokio::spawn(async move {
            let before = Scheduling::of_this_thread();
            let aside = threads.run(|| {
                // Timers need the runtime.
                drop(tokio::time::sleep(Duration::ZERO));
                Scheduling::of_this_thread()
            });
            (before, Scheduling::of_this_thread(), aside)
        });
        worker.await.unwrap()
    }

    #[test]
    fn counts_the_time_without_a_core() {
        let clock = WaitClock::start(Instant::now());
        std::thread::sleep(Duration::from_millis(20));
        let waited = clock.waited();
        assert!(waited >= Duration::from_millis(15), "{waited:?}");
    }

    #[test]
    fn does_not_count_the_time_with_a_core() {
        let clock = WaitClock::start(Instant::now());
        let began = cpu_time();
        while cpu_time() < began + Duration::from_millis(20) {}
        let (waited, passed) = (clock.waited(), clock.began.elapsed());
        assert!(waited + Duration::from_millis(15) <= passed, "{waited:?} of {passed:?}");
    }
}
