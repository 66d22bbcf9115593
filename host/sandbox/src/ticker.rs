//! Ticker: a thread that increments the engine's epoch every ten milliseconds while a call runs, and
//! sleeps while none does.
//!
//! A thread and not a task, because a busy loop starves tasks.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, Thread};
use std::time::Duration;

use wasmtime::{Engine, EngineWeak};

/// The ticking thread; it ends when the last handle is dropped.
#[derive(Debug)]
pub(crate) struct Ticker {
    shared: Arc<Shared>,
    thread: Thread,
}

/// Guard of a running call: the epoch advances while it lives.
#[derive(Debug)]
pub(crate) struct Running<'a> {
    shared: &'a Shared,
}

#[derive(Debug, Default)]
struct Shared {
    /// The number of running calls, and the number of started ones times [`STARTED`].
    calls: AtomicU64,
    /// Whether the thread sleeps, or is about to, and has to be woken.
    parked: AtomicBool,
    stop: AtomicBool,
}

/// Length of a tick: the longest time that a busy loop occupies a worker.
pub(crate) const TICK: Duration = Duration::from_millis(10);
/// One started call in `Shared::calls`.
const STARTED: u64 = 1 << 32;
/// The running calls in `Shared::calls`.
const RUNNING: u64 = STARTED - 1;

impl Ticker {
    pub(crate) fn start(engine: &Engine) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let engine = engine.weak();
        let handle = thread::Builder::new().name("jackfield-ticker".to_owned()).spawn({
            let shared = Arc::clone(&shared);
            move || tick(&shared, &engine)
        })?;
        Ok(Self { shared, thread: handle.thread().clone() })
    }

    /// Marks a call as running until the guard is dropped.
    pub(crate) fn run(&self) -> Running<'_> {
        // Sequentially consistent, as on the thread's side: either the thread sees the call, or the
        // call sees that the thread sleeps.
        self.shared.calls.fetch_add(STARTED + 1, Ordering::SeqCst);
        if self.shared.parked.swap(false, Ordering::SeqCst) {
            self.thread.unpark();
        }
        Running { shared: &self.shared }
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        self.thread.unpark();
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.shared.calls.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Sleeps until a call starts. Then ticks, until none has run for a whole tick: under load, the next
/// call comes sooner, and waking a thread costs more than a call. The first tick comes a whole tick
/// after the wake-up, so that a fast call is not interrupted.
fn tick(shared: &Shared, engine: &EngineWeak) {
    while !shared.stop.load(Ordering::SeqCst) {
        shared.parked.store(true, Ordering::SeqCst);
        let mut seen = shared.calls.load(Ordering::SeqCst);
        if seen & RUNNING == 0 && !shared.stop.load(Ordering::SeqCst) {
            thread::park();
        }
        shared.parked.store(false, Ordering::SeqCst);
        while !shared.stop.load(Ordering::SeqCst) {
            thread::park_timeout(TICK);
            let calls = shared.calls.load(Ordering::SeqCst);
            if calls & RUNNING != 0 {
                let Some(engine) = engine.upgrade() else { return };
                engine.increment_epoch();
            } else if calls == seen {
                break;
            }
            seen = calls;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    /// Waits without a clock of its own: the condition comes, or the test hangs.
    fn wait_until(condition: impl Fn() -> bool) {
        while !condition() {
            thread::yield_now();
        }
    }

    #[test]
    fn the_thread_sleeps_while_no_call_runs() {
        let engine = Engine::default();
        let ticker = Ticker::start(&engine).unwrap();
        let parked = || ticker.shared.parked.load(Ordering::SeqCst);
        wait_until(parked);
        let call = ticker.run();
        assert!(!parked(), "a call does not wake the thread");
        let until = Instant::now() + 5 * TICK;
        while Instant::now() < until {
            assert!(!parked(), "the thread sleeps while a call runs");
            thread::yield_now();
        }
        drop(call);
        wait_until(parked);
        drop(ticker.run());
        wait_until(parked);
    }

    #[test]
    fn the_thread_ends_with_its_handle() {
        let engine = Engine::default();
        let ticker = Ticker::start(&engine).unwrap();
        wait_until(|| ticker.shared.parked.load(Ordering::SeqCst));
        let shared = Arc::downgrade(&ticker.shared);
        drop(ticker);
        wait_until(|| shared.strong_count() == 0);
    }
}
