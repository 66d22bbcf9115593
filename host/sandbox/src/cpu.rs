//! CPU scheduling of slow calls: they take turns, so that they leave a worker to everything else.
//!
//! The engine interrupts a guest every ten milliseconds (`ticker`). A call that is interrupted
//! twice is slow, and a lane whose calls take more than a millisecond on average is slow from the
//! start. A slow call runs while it has one of [`Turns`], of which there is one less than workers,
//! and keeps it until it ends or waits for something. It runs on a thread of low priority
//! (`slow_threads`). The time that it waits for a turn or for a core does not count for its deadline.
//! A plugin that uses more than its [`Budget`] waits until it has time again.
//!
//! The measure is a sample: each tick that meets a call charges it a whole tick, which is right on
//! average and costs fast calls nothing.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{sleep, timeout};

use crate::slow_threads::{SlowThreads, WaitClock};
use crate::ticker::TICK;

/// Permits for slow calls of all plugins, and the threads on which they run.
#[derive(Debug, Clone)]
pub(crate) struct Turns {
    permits: Arc<Semaphore>,
    threads: SlowThreads,
}

/// CPU time of one plugin's slow calls: a token bucket.
#[derive(Debug)]
pub(crate) struct Budget {
    /// In per cent of one core.
    percent: u32,
    /// A std mutex: it is held for a few additions.
    bucket: Mutex<Bucket>,
}

#[derive(Debug)]
struct Bucket {
    /// CPU time in hand; below zero it is owed.
    nanoseconds: i64,
    refilled: Instant,
}

/// The CPU time of one lane's calls, one at a time.
#[derive(Debug)]
pub(crate) struct Meter {
    turns: Turns,
    budget: Arc<Budget>,
    /// Ticks that met the call.
    ticks: AtomicU32,
    /// Whether a tick has interrupted the call since it was polled.
    was_interrupted: AtomicBool,
    /// Nanoseconds for which the call has waited for turns.
    waited: AtomicU64,
    /// Nanoseconds for which the call could run and had no core. Beyond [`MAX_STARVED`] it has
    /// normal priority.
    starved: AtomicU64,
    /// The wait for a core of a slow call that is being polled. A std mutex: it is held for a look.
    clock: Mutex<Option<WaitClock>>,
    /// Whether calls run without turns: those that begin to serve a plugin, as the operator asked.
    is_exempt: AtomicBool,
    /// Whether the lane makes an instance.
    is_starting: AtomicBool,
    /// Whether the call waits for turns without a bound: it cannot be refused.
    is_certain: AtomicBool,
    /// Milliseconds that calls took beyond [`MAX_FAST_MS`] each, up to [`MAX_EXCESS_MS`].
    excess: AtomicU32,
}

/// An instance that is being made.
#[must_use]
pub(crate) struct Starting<'a>(&'a Meter);

/// A call gets no turn within [`MAX_WAIT`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooBusy;

/// Ticks that meet a call before it is slow: the first one may come by chance.
const MIN_SLOW_TICKS: u32 = 2;
/// Milliseconds that a call may take on average for its lane to be fast.
const MAX_FAST_MS: u32 = 1;
/// A tick, in the unit of `excess`.
const TICK_MS: u32 = 10;
/// Milliseconds of `excess` above which a lane is slow: three unlucky ticks in a row are chance.
const MIN_SLOW_EXCESS_MS: u32 = 3 * TICK_MS;
/// The largest `excess`: a lane is fast again after so many fast calls.
const MAX_EXCESS_MS: u32 = 60;
/// The longest that a call waits for its turns.
pub(crate) const MAX_WAIT: Duration = Duration::from_secs(5);
/// The wait for cores of a call after which it runs with normal priority.
const MAX_STARVED: Duration = Duration::from_millis(250);
/// CPU time that a plugin has in hand, or owes, at most.
const MAX_BALANCE: Duration = Duration::from_secs(1);

impl Turns {
    /// For so many workers. One of them is left to other tasks.
    pub(crate) fn new(workers: usize) -> Self {
        let count = workers.saturating_sub(1).max(1);
        Self { permits: Arc::new(Semaphore::new(count)), threads: SlowThreads::new(count) }
    }
}

impl Budget {
    pub(crate) fn new(percent: u32, now: Instant) -> Self {
        let bucket = Bucket { nanoseconds: nanoseconds(MAX_BALANCE), refilled: now };
        Self { percent, bucket: Mutex::new(bucket) }
    }

    fn charge(&self, time: Duration, now: Instant) {
        let least = -nanoseconds(MAX_BALANCE);
        self.with(now, |bucket| {
            bucket.nanoseconds = (bucket.nanoseconds - nanoseconds(time)).max(least);
        });
    }

    /// How long until the plugin has time again; none if it has some.
    fn debt(&self, now: Instant) -> Option<Duration> {
        let owed = self.with(now, |bucket| bucket.nanoseconds).min(0).unsigned_abs();
        let wait = owed.saturating_mul(100) / u64::from(self.percent.max(1));
        (wait > 0).then(|| Duration::from_nanos(wait))
    }

    fn with<T>(&self, now: Instant, f: impl FnOnce(&mut Bucket) -> T) -> T {
        let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        let passed = nanoseconds(now.saturating_duration_since(bucket.refilled));
        let gained = passed.saturating_mul(i64::from(self.percent)) / 100;
        let full = nanoseconds(MAX_BALANCE);
        bucket.nanoseconds = bucket.nanoseconds.saturating_add(gained).min(full);
        bucket.refilled = now;
        f(&mut bucket)
    }
}

fn nanoseconds(time: Duration) -> i64 {
    i64::try_from(time.as_nanos()).unwrap_or(i64::MAX)
}

impl Meter {
    pub(crate) fn new(turns: Turns, budget: Arc<Budget>) -> Self {
        Self {
            turns,
            budget,
            ticks: AtomicU32::new(0),
            was_interrupted: AtomicBool::new(false),
            waited: AtomicU64::new(0),
            starved: AtomicU64::new(0),
            clock: Mutex::new(None),
            is_exempt: AtomicBool::new(true),
            is_starting: AtomicBool::new(false),
            is_certain: AtomicBool::new(false),
            excess: AtomicU32::new(0),
        }
    }

    /// The lane serves clients from now on.
    pub(crate) fn end_exemption(&self) {
        self.is_exempt.store(false, Ordering::Relaxed);
    }

    /// The lane goes to a call that is refused after [`MAX_WAIT`], or to one that is certain to run.
    pub(crate) fn set_certain(&self, is_certain: bool) {
        if self.is_certain.load(Ordering::Relaxed) != is_certain {
            self.is_certain.store(is_certain, Ordering::Relaxed);
        }
    }

    /// Whether the call cannot be refused.
    pub(crate) fn is_certain(&self) -> bool {
        self.is_certain.load(Ordering::Relaxed)
    }

    /// The lane makes an instance until the guard is dropped. It counts as slow meanwhile, because
    /// that costs more than most calls.
    pub(crate) fn starting(&self) -> Starting<'_> {
        self.is_starting.store(true, Ordering::Relaxed);
        Starting(self)
    }

    /// A call begins.
    pub(crate) fn begin(&self) {
        // Stores would cost fast calls more than these looks do.
        if self.ticks.load(Ordering::Relaxed) != 0 {
            self.ticks.store(0, Ordering::Relaxed);
            self.was_interrupted.store(false, Ordering::Relaxed);
        }
        if self.waited.load(Ordering::Relaxed) != 0 {
            self.waited.store(0, Ordering::Relaxed);
        }
        if self.starved.load(Ordering::Relaxed) != 0 {
            self.starved.store(0, Ordering::Relaxed);
        }
        let excess = self.excess.load(Ordering::Relaxed);
        if excess != 0 {
            self.excess.store(excess.saturating_sub(MAX_FAST_MS), Ordering::Relaxed);
        }
    }

    /// The engine has interrupted the call.
    pub(crate) fn tick(&self) {
        let ticks = self.ticks.load(Ordering::Relaxed).saturating_add(1);
        self.ticks.store(ticks, Ordering::Relaxed);
        self.was_interrupted.store(true, Ordering::Relaxed);
        let excess = self.excess.load(Ordering::Relaxed).saturating_add(TICK_MS);
        self.excess.store(excess.min(MAX_EXCESS_MS), Ordering::Relaxed);
        if self.is_slow() {
            self.budget.charge(TICK, Instant::now());
        }
    }

    /// Whether the call was interrupted since this was last asked: it computes, and waits for
    /// nothing.
    pub(crate) fn take_interrupted(&self) -> bool {
        self.was_interrupted.swap(false, Ordering::Relaxed)
    }

    /// Whether the call needs a turn to run.
    pub(crate) fn is_slow(&self) -> bool {
        self.ticks.load(Ordering::Relaxed) >= MIN_SLOW_TICKS
            || self.excess.load(Ordering::Relaxed) >= MIN_SLOW_EXCESS_MS
            || self.is_starting.load(Ordering::Relaxed)
    }

    /// How long the call has waited for turns and for cores.
    pub(crate) fn waited(&self) -> Duration {
        let of =
            |nanoseconds: &AtomicU64| Duration::from_nanos(nanoseconds.load(Ordering::Relaxed));
        let waited = of(&self.waited) + of(&self.starved);
        if !self.is_slow() {
            return waited;
        }
        let clock = self.clock.lock().unwrap_or_else(PoisonError::into_inner);
        waited + clock.as_ref().map(WaitClock::waited).unwrap_or_default()
    }

    /// The call was ready to run since `began`, and runs only now.
    pub(crate) fn starved_since(&self, began: Instant) {
        let starved = nanoseconds(began.elapsed()).unsigned_abs();
        self.starved.fetch_add(starved, Ordering::Relaxed);
    }

    /// Runs a piece of a slow call, such as a poll, and waits for its end. A call that has waited
    /// long for cores runs on the worker: it holds up its lane.
    pub(crate) fn run_slow<T: Send>(&self, poll: impl FnOnce() -> T + Send) -> T {
        let began = Instant::now();
        let timed = || {
            self.set_clock(Some(WaitClock::start(began)));
            let polled = poll();
            if let Some(clock) = self.set_clock(None) {
                let starved = clock.waited();
                self.turns.threads.waited(starved);
                self.starved.fetch_add(nanoseconds(starved).unsigned_abs(), Ordering::Relaxed);
            }
            polled
        };
        let starved = Duration::from_nanos(self.starved.load(Ordering::Relaxed));
        if starved >= MAX_STARVED { timed() } else { self.turns.threads.run(timed) }
    }

    fn set_clock(&self, clock: Option<WaitClock>) -> Option<WaitClock> {
        std::mem::replace(&mut *self.clock.lock().unwrap_or_else(PoisonError::into_inner), clock)
    }

    /// Waits for a turn; none where none is needed.
    pub(crate) async fn turn(&self) -> Result<Option<SemaphorePermit<'_>>, TooBusy> {
        if self.is_exempt.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let began = Instant::now();
        let in_debt = self.budget.debt(began);
        if in_debt.is_none()
            && let Ok(turn) = self.turns.permits.try_acquire()
        {
            return Ok(Some(turn));
        }
        let left = if self.is_certain() {
            Duration::MAX
        } else {
            MAX_WAIT.saturating_sub(Duration::from_nanos(self.waited.load(Ordering::Relaxed)))
        };
        if in_debt.is_some_and(|debt| debt >= left) {
            // A wait in vain would keep the lane from all others.
            return Err(TooBusy);
        }
        let wait = async {
            if let Some(debt) = in_debt {
                sleep(debt).await;
            }
            self.turns.permits.acquire().await
        };
        let turn = timeout(left, wait).await;
        let waited = nanoseconds(began.elapsed()).unsigned_abs();
        self.waited.fetch_add(waited, Ordering::Relaxed);
        // The semaphore is never closed.
        turn.ok().and_then(Result::ok).map(Some).ok_or(TooBusy)
    }
}

impl Drop for Starting<'_> {
    fn drop(&mut self) {
        self.0.is_starting.store(false, Ordering::Relaxed);
    }
}

#[cfg(test)]
impl Meter {
    /// A lane's that serves clients, of a plugin with a budget of its own.
    pub(crate) fn serving(turns: &Turns) -> Self {
        let meter = Self::new(turns.clone(), Arc::new(Budget::new(100, Instant::now())));
        meter.end_exemption();
        meter
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn begins_each_call_with_a_whole_wait() {
        let turns = Turns::new(2);
        let meter = Meter::serving(&turns);
        // The lane is slow, and its next call waits and ends before a tick meets it.
        (0..10).for_each(|_| meter.tick());
        meter.begin();
        assert!(meter.is_slow());
        let held = turns.permits.acquire().await.unwrap();
        let (turn, ()) = tokio::join!(meter.turn(), async {
            tokio::time::sleep(TICK).await;
            drop(held);
        });
        assert!(turn.unwrap().is_some());
        assert!(meter.waited() >= TICK);
        meter.begin();
        assert_eq!(meter.waited(), Duration::ZERO);
    }

    #[tokio::test]
    async fn refuses_at_once_where_the_debt_is_longer_than_the_wait() {
        let budget = Arc::new(Budget::new(10, Instant::now()));
        let meter = Meter::new(Turns::new(2), Arc::clone(&budget));
        meter.end_exemption();
        budget.charge(Duration::from_mins(1), Instant::now());
        // Ten seconds are owed, and five may be waited.
        assert_eq!(meter.turn().await.unwrap_err(), TooBusy);
        assert_eq!(meter.waited(), Duration::ZERO);
    }

    #[tokio::test]
    async fn never_refuses_a_call_that_is_certain() {
        let budget = Arc::new(Budget::new(10, Instant::now()));
        let meter = Meter::new(Turns::new(2), Arc::clone(&budget));
        meter.end_exemption();
        meter.set_certain(true);
        budget.charge(Duration::from_mins(1), Instant::now());
        assert!(timeout(TICK, meter.turn()).await.is_err(), "it waits");
        meter.set_certain(false);
        assert_eq!(meter.turn().await.unwrap_err(), TooBusy);
    }

    #[tokio::test]
    async fn exempts_the_start_of_a_plugin() {
        let turns = Turns::new(2);
        let starting = Meter::new(turns.clone(), Arc::new(Budget::new(100, Instant::now())));
        let serving = Meter::serving(&turns);
        let turn = serving.turn().await.unwrap();
        assert!(turn.is_some());
        // A version that replaces a slow one does not wait for it.
        assert!(starting.turn().await.unwrap().is_none());
    }

    #[test]
    fn charges_slow_calls_alone() {
        let budget = Arc::new(Budget::new(100, Instant::now()));
        let meter = Meter::new(Turns::new(2), Arc::clone(&budget));
        for _ in 0..1_000 {
            (0..100).for_each(|_| meter.begin());
            meter.tick();
        }
        assert_eq!(budget.debt(Instant::now()), None, "ten seconds of fast calls");
        (0..1_000).for_each(|_| meter.tick());
        assert!(budget.debt(Instant::now()).is_some());
    }

    #[test]
    fn is_slow_from_the_second_tick_on() {
        let meter = Meter::serving(&Turns::new(2));
        meter.begin();
        assert!(!meter.is_slow());
        meter.tick();
        assert!(!meter.is_slow(), "one tick may come by chance");
        meter.tick();
        assert!(meter.is_slow());
        meter.begin();
        assert!(!meter.is_slow(), "the next call has not been slow yet");
    }

    #[test]
    fn is_slow_while_an_instance_is_made() {
        let meter = Meter::serving(&Turns::new(2));
        let starting = meter.starting();
        meter.begin();
        assert!(meter.is_slow());
        drop(starting);
        assert!(!meter.is_slow(), "a fault makes the next calls no slower");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn runs_a_call_that_starves_with_normal_priority() {
        let meter = Meter::serving(&Turns::new(2));
        meter.begin();
        let ran = tokio::spawn(async move {
            let name = || std::thread::current().name().map(str::to_owned);
            let own = name();
            let first = meter.run_slow(|| {
                // No core for so long.
                std::thread::sleep(MAX_STARVED);
                name()
            });
            let second = meter.run_slow(|| {
                std::thread::sleep(TICK);
                name()
            });
            let starved = Duration::from_nanos(meter.starved.load(Ordering::Relaxed));
            (own, first, second, starved)
        });
        let (own, first, second, starved) = ran.await.unwrap();
        assert_ne!(first, own);
        assert_eq!(second, own);
        assert!(
            starved > MAX_STARVED + TICK / 2,
            "the worker may have no core either: {starved:?}"
        );
    }

    #[test]
    fn is_slow_at_once_where_calls_take_long_on_average() {
        let meter = Meter::serving(&Turns::new(2));
        // Nine milliseconds each: nine of ten meet a tick.
        for call in 0..10 {
            meter.begin();
            if call != 0 {
                meter.tick();
            }
        }
        meter.begin();
        assert!(meter.is_slow());
        (0..MAX_EXCESS_MS).for_each(|_| meter.begin());
        assert!(!meter.is_slow(), "fast calls do not make it fast again");
        // A tenth of a millisecond each: one of a hundred meets a tick.
        for call in 0..10_000 {
            meter.begin();
            if call % 100 == 0 {
                meter.tick();
            }
            assert!(!meter.is_slow());
        }
    }

    #[test]
    fn leaves_one_worker_for_other_tasks() {
        for (workers, expected) in [(1, 1), (2, 1), (4, 3)] {
            let turns = Turns::new(workers);
            assert_eq!(turns.permits.available_permits(), expected, "{workers} workers");
        }
    }

    #[test]
    fn delays_a_plugin_that_has_used_its_cpu_budget() {
        let start = Instant::now();
        let budget = Budget::new(50, start);
        assert_eq!(budget.debt(start), None);
        budget.charge(Duration::from_millis(1_100), start);
        // A tenth of a second is owed, at half a second a second.
        assert_eq!(budget.debt(start), Some(Duration::from_millis(200)));
        assert_eq!(
            budget.debt(start + Duration::from_millis(100)),
            Some(Duration::from_millis(100))
        );
        assert_eq!(budget.debt(start + Duration::from_millis(200)), None);
        // Debts are bounded, so that a plugin is refused for a while and not for long.
        budget.charge(Duration::from_mins(1), start);
        assert_eq!(budget.debt(start), Some(Duration::from_secs(2)));
    }
}
