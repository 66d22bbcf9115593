//! The lock of a lane: held for the microseconds that most hooks take, and now and then for as long
//! as a deadline allows.
//!
//! A task that waits costs more than such a hook runs, so it is worth a moment of spinning. A lock
//! that is handed to whoever waits longest would make everybody wait once one does, since the next
//! holder has to wake up first; here whoever comes at the right moment gets it, and only those who
//! missed it several times are handed it in their turn.

use std::ops::{Deref, DerefMut};

use tokio::sync::{Mutex, MutexGuard, Notify, TryLockError};

/// A lock whose holder may wait for something.
#[derive(Debug)]
pub(crate) struct SpinMutex<T> {
    /// tokio's mutex, because it is held while the plugin runs, which may yield. It bounds nothing:
    /// a session waits for its own call, so there are no more waiters than sessions.
    value: Mutex<T>,
    /// Wakes one of those who wait out of turn.
    released: Notify,
    spins: u32,
}

/// The value, while nobody else has it.
#[derive(Debug)]
pub(crate) struct SpinMutexGuard<'a, T> {
    // Dropped in this order: whoever is woken is to find it free.
    value: MutexGuard<'a, T>,
    _release: Release<'a>,
}

#[derive(Debug)]
struct Release<'a>(&'a Notify);

/// How often to look again before sleeping: a few microseconds, about the length of a small hook.
const SPINS: u32 = 64;
/// How often to miss it before insisting on a turn.
const PATIENCE: u32 = 8;

impl<T> SpinMutex<T> {
    pub(crate) fn new(value: T) -> Self {
        // Where nothing runs beside, nobody lets go of it while this thread spins.
        let alone = std::thread::available_parallelism().is_ok_and(|count| count.get() == 1);
        let spins = if alone { 0 } else { SPINS };
        Self { value: Mutex::new(value), released: Notify::new(), spins }
    }

    /// The value, if nobody has it.
    pub(crate) fn try_take(&self) -> Option<SpinMutexGuard<'_, T>> {
        self.try_lock().ok().map(|value| self.held(value))
    }

    /// Waits for the value. May be dropped while it waits.
    pub(crate) async fn take(&self) -> SpinMutexGuard<'_, T> {
        for _ in 0..PATIENCE {
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
        // Made before the wait: whoever gives up while it has been chosen passes the chance on.
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
        for _ in 0..=PATIENCE {
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
