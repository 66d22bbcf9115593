//! The threads that verify digests: a few, with a queue of a bounded length.
//!
//! After a restart every open page comes back at once, and each digest takes milliseconds of a
//! processor. They must not stall the tasks that carry messages, so they run elsewhere; and what
//! cannot be verified soon is refused, because the client's own retry is cheaper than a queue
//! that outgrows what clients wait for.

use std::num::NonZeroUsize;
use std::sync::Arc;

use tokio::sync::Semaphore;

/// A place for work that takes milliseconds of a processor. Clones share it.
#[derive(Clone, Debug)]
pub struct Verifiers {
    /// One permit for each piece of work that runs or waits: none left is a full queue.
    admitted: Arc<Semaphore>,
    /// One permit for each piece of work that runs.
    running: Arc<Semaphore>,
    capacity: usize,
}

/// Why work was not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifiersError {
    /// As much waits already as may.
    #[error(
        "{capacity} tickets are being verified or wait for it, which is all that may at a time; \
         the client may try again"
    )]
    Full {
        /// How many may run or wait.
        capacity: usize,
    },
    /// The work failed, or the server is about to end.
    #[error("the verification was given up")]
    Stopped,
}

impl Verifiers {
    /// Work runs on at most so many threads at a time, and so much more may wait.
    pub fn new(threads: NonZeroUsize, queue: usize) -> Self {
        let capacity = threads.get().saturating_add(queue).min(Semaphore::MAX_PERMITS);
        Self {
            admitted: Arc::new(Semaphore::new(capacity)),
            running: Arc::new(Semaphore::new(threads.get().min(Semaphore::MAX_PERMITS))),
            capacity,
        }
    }

    /// Does the work on a thread for such work. If the caller goes away meanwhile, what runs goes
    /// on and counts until it is done; what waits never starts.
    ///
    /// # Errors
    /// At once when the queue is full.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, VerifiersError> {
        let full = VerifiersError::Full { capacity: self.capacity };
        let admitted = Arc::clone(&self.admitted).try_acquire_owned().map_err(|_| full)?;
        let running = Arc::clone(&self.running).acquire_owned().await;
        let running = running.map_err(|_| VerifiersError::Stopped)?;
        let done = tokio::task::spawn_blocking(move || {
            let done = work();
            drop((running, admitted));
            done
        });
        done.await.map_err(|_| VerifiersError::Stopped)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    use super::*;

    fn verifiers(threads: usize, queue: usize) -> Verifiers {
        Verifiers::new(NonZeroUsize::new(threads).unwrap(), queue)
    }

    #[tokio::test]
    async fn a_full_queue_refuses_and_empties() {
        let verifiers = verifiers(1, 1);
        let (release, released) = mpsc::channel::<()>();
        let (started, start) = tokio::sync::oneshot::channel();
        let first = tokio::spawn({
            let verifiers = verifiers.clone();
            async move {
                let work = move || {
                    started.send(()).unwrap();
                    released.recv().unwrap();
                    1
                };
                verifiers.run(work).await
            }
        });
        start.await.unwrap();
        let second = verifiers.run(|| 2);
        tokio::pin!(second);
        // The second is admitted by being asked once; it waits for the first.
        let waits = std::future::poll_fn(|context| {
            std::task::Poll::Ready(second.as_mut().poll(context).is_pending())
        });
        assert!(waits.await);
        assert_eq!(verifiers.run(|| 3).await, Err(VerifiersError::Full { capacity: 2 }));
        release.send(()).unwrap();
        assert_eq!(first.await.unwrap(), Ok(1));
        assert_eq!(second.await, Ok(2));
        assert_eq!(verifiers.run(|| 4).await, Ok(4));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn no_more_run_than_may() {
        static RUNNING: AtomicUsize = AtomicUsize::new(0);
        static MOST: AtomicUsize = AtomicUsize::new(0);
        let verifiers = verifiers(2, 100);
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..50 {
            let verifiers = verifiers.clone();
            tasks.spawn(async move {
                let work = || {
                    let now = RUNNING.fetch_add(1, Ordering::SeqCst) + 1;
                    MOST.fetch_max(now, Ordering::SeqCst);
                    std::thread::yield_now();
                    RUNNING.fetch_sub(1, Ordering::SeqCst);
                };
                verifiers.run(work).await
            });
        }
        for done in tasks.join_all().await {
            assert_eq!(done, Ok(()));
        }
        assert!(MOST.load(Ordering::SeqCst) <= 2);
    }

    #[tokio::test]
    async fn work_that_panics_frees_its_place() {
        let verifiers = verifiers(1, 0);
        for _ in 0..3 {
            let failed: Result<(), _> = verifiers.run(|| panic!("on purpose")).await;
            assert_eq!(failed, Err(VerifiersError::Stopped));
        }
        assert_eq!(verifiers.run(|| 1).await, Ok(1));
    }
}
