//! Spin mutex: an async mutex that spins briefly before it waits.
//!
//! It is the lock of a lane: held for microseconds by most hooks, and occasionally up to a
//! deadline. Waking a task costs more than such a hook, so spinning pays off. A fair lock would
//! make every task wait once one waits, since the next holder has to wake up first; here a task
//! that arrives at the right moment takes the lock, and only tasks that missed it several times get
//! it in order.

use std::ops::{Deref, DerefMut};

use tokio::sync::{Mutex, MutexGuard, Notify, TryLockError};

/// A mutex whose holder may await.
#[derive(Debug)]
pub(crate) struct SpinMutex<T> {
    /// tokio's mutex, because it is held while the plugin runs, which may yield. Its queue is
    /// bounded by the number of sessions, each of which waits for one call at most.
    value: Mutex<T>,
    /// Wakes one of the tasks outside of the mutex's queue.
    released: Notify,
    spins: u32,
}

/// Exclusive access to the value.
#[derive(Debug)]
pub(crate) struct SpinMutexGuard<'a, T> {
    // Drop order: the mutex is free before a waiter is woken.
    value: MutexGuard<'a, T>,
    _release: Release<'a>,
}

#[derive(Debug)]
struct Release<'a>(&'a Notify);

/// Attempts before sleeping: a few microseconds, about the length of a small hook.
const MAX_SPINS: u32 = 64;
/// Wake-ups without success before a task queues for the mutex.
const MAX_MISSES: u32 = 8;

impl<T> SpinMutex<T> {
    pub(crate) fn new(value: T) -> Self {
        // On one core, the holder cannot release it while this thread spins.
        let alone = std::thread::available_parallelism().is_ok_and(|count| count.get() == 1);
        let spins = if alone { 0 } else { MAX_SPINS };
        Self { value: Mutex::new(value), released: Notify::new(), spins }
    }

    /// Takes the lock, if it is free.
    pub(crate) fn try_take(&self) -> Option<SpinMutexGuard<'_, T>> {
        self.try_lock().ok().map(|value| self.held(value))
    }

    /// Waits for the lock. Cancel safe.
    pub(crate) async fn take(&self) -> SpinMutexGuard<'_, T> {
        for _ in 0..MAX_MISSES {
            for _ in 0..self.spins {
                if let Some(held) = self.try_take() {
                    return held;
                }
                std::hint::spin_loop();
            }
            let released = self.released.notified();
            if let Some(held) = self.try_take() {
                return held;
            }
            released.await;
        }
        // Made before the wait, so that a cancelled waiter wakes the next one.
        let release = Release(&self.released);
        let value = self.value.lock().await;
        SpinMutexGuard { value, _release: release }
    }

    fn try_lock(&self) -> Result<MutexGuard<'_, T>, TryLockError> {
        self.value.try_lock()
    }

    fn held<'a>(&'a self, value: MutexGuard<'a, T>) -> SpinMutexGuard<'a, T> {
        SpinMutexGuard { value, _release: Release(&self.released) }
    }
}

impl<T> Deref for SpinMutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> DerefMut for SpinMutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

impl Drop for Release<'_> {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::{Future, poll_fn};
    use std::sync::Arc;
    use std::task::Poll;

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn excludes_other_holders_and_wakes_every_waiter() {
        let slot = Arc::new(SpinMutex::new(0_u64));
        let tasks: Vec<_> = (0..50)
            .map(|task| {
                let slot = Arc::clone(&slot);
                tokio::spawn(async move {
                    for round in 0..200 {
                        let mut held = slot.take().await;
                        let before = *held;
                        // Some hold it for longer, over a wait of their own.
                        if (task + round) % 7 == 0 {
                            tokio::task::yield_now().await;
                        }
                        *held = before + 1;
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(*slot.take().await, 50 * 200);
    }

    #[tokio::test]
    async fn a_dropped_waiter_whose_turn_it_is_wakes_the_next() {
        async fn poll(waiting: &mut (impl Future + Unpin)) -> bool {
            let mut waiting = std::pin::Pin::new(waiting);
            poll_fn(|context| Poll::Ready(waiting.as_mut().poll(context).is_ready())).await
        }
        let slot = SpinMutex::new(());
        let mut insisting = Box::pin(slot.take());
        // It misses it so often that it insists.
        for _ in 0..=MAX_MISSES {
            let held = slot.try_take().unwrap();
            assert!(!poll(&mut insisting).await);
            drop(held);
        }
        let mut waiting = Box::pin(slot.take());
        assert!(!poll(&mut waiting).await);
        drop(insisting);
        waiting.await;
    }

    #[tokio::test]
    async fn a_dropped_waiter_that_was_woken_wakes_the_next() {
        let slot = SpinMutex::new(());
        let held = slot.take().await;
        let mut first = Box::pin(slot.take());
        let mut second = Box::pin(slot.take());
        for waiting in [&mut first, &mut second] {
            let polled = poll_fn(|context| Poll::Ready(waiting.as_mut().poll(context))).await;
            assert!(polled.is_pending());
        }
        drop(held);
        drop(first);
        second.await;
    }
}
