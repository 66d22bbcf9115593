//! Ticker: a thread that increments the engine's epoch every ten milliseconds while calls run, and
//! sleeps otherwise.
//!
//! A thread and not a task, because a busy loop starves tasks.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
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
    /// Number of running calls.
    calls: AtomicUsize,
    /// Whether the thread sleeps, or is about to, and has to be woken.
    parked: AtomicBool,
    stop: AtomicBool,
}

/// Length of a tick: the longest time that a busy loop occupies a worker.
pub(crate) const TICK: Duration = Duration::from_millis(10);
/// Ticks without calls before the thread sleeps: under load the next call comes sooner, and waking
/// a thread costs more than a call.
const MAX_IDLE_TICKS: u32 = 20;

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
        self.shared.calls.fetch_add(1, Ordering::SeqCst);
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

fn tick(shared: &Shared, engine: &EngineWeak) {
    let mut idle = 0;
    while !shared.stop.load(Ordering::SeqCst) {
        if shared.calls.load(Ordering::SeqCst) > 0 {
            idle = 0;
            let Some(engine) = engine.upgrade() else { return };
            engine.increment_epoch();
        } else {
            idle += 1;
        }
        if idle < MAX_IDLE_TICKS {
            thread::park_timeout(TICK);
        } else {
            shared.parked.store(true, Ordering::SeqCst);
            if shared.calls.load(Ordering::SeqCst) == 0 && !shared.stop.load(Ordering::SeqCst) {
                thread::park();
            }
            shared.parked.store(false, Ordering::SeqCst);
            idle = 0;
        }
    }
}

#[cfg(test)]
mod tests {
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
        let call = ticker.run();
        assert!(!parked(), "the thread sleeps while a call runs");
        drop(call);
        wait_until(parked);
        drop(ticker.run());
        assert!(!parked(), "a call does not wake the thread");
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
