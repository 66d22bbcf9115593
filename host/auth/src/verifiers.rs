//! Verifier pool: a few threads with a bounded queue for the digests of tickets and the signatures
//! of tokens.
//!
//! After a restart every open page reconnects at once, and each digest takes milliseconds of CPU
//! time. They run outside of the tasks that carry messages. A full queue refuses, because a
//! client's retry is cheaper than a queue longer than clients wait. One address may use half of the
//! queue, so that a flood from one address shuts out no other.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Semaphore;

/// Network half of an IPv6 address, which identifies a provider's customer.
const NETWORK: u128 = !0 << 64;

/// Pool for CPU-bound work. Clones share it.
#[derive(Clone, Debug)]
pub struct Verifiers {
    /// One permit for each running or waiting job; none left means a full queue.
    admitted: Arc<Semaphore>,
    /// One permit for each running job.
    running: Arc<Semaphore>,
    capacity: usize,
    shares: Arc<Shares>,
}

/// Number of running and waiting jobs by address.
#[derive(Debug)]
struct Shares {
    most: usize,
    /// A std mutex: nothing is awaited and nothing else is locked while it is held.
    taken: Mutex<HashMap<IpAddr, usize>>,
}

/// Permit of one job in its address's share, returned on drop.
struct Share {
    shares: Arc<Shares>,
    of: IpAddr,
}

/// Error of the pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifiersError {
    /// The queue is full.
    #[error(
        "the limit of {capacity} pending verifications of tickets and tokens is reached; the client \
         may try again"
    )]
    Full {
        /// The maximum of running and waiting work.
        capacity: usize,
    },
    /// The address's share of the queue is full.
    #[error(
        "{most} tickets or tokens from {address} are being verified or wait for it, which is all \
         that may of one address; the client may try again"
    )]
    Share {
        /// The address; for IPv6 its network.
        address: IpAddr,
        /// The maximum per address.
        most: usize,
    },
    /// The job panicked, or the server is stopping.
    #[error("the verification was given up")]
    Stopped,
}

impl Verifiers {
    /// Creates a pool of `threads` threads, with a queue of at most `queue` waiting jobs.
    pub fn new(threads: NonZeroUsize, queue: usize) -> Self {
        let capacity = threads.get().saturating_add(queue).min(Semaphore::MAX_PERMITS);
        Self {
            admitted: Arc::new(Semaphore::new(capacity)),
            running: Arc::new(Semaphore::new(threads.get().min(Semaphore::MAX_PERMITS))),
            capacity,
            shares: Arc::new(Shares { most: capacity.div_ceil(2), taken: Mutex::default() }),
        }
    }

    /// Runs a job of the client at the address `from` on a thread of the pool. If the caller is
    /// dropped, a running job continues and counts until it ends; a waiting job never starts.
    ///
    /// # Errors
    /// If the queue or the address's half of it is full, immediately; or if the job panics.
    pub async fn run<T: Send + 'static>(
        &self,
        from: IpAddr,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, VerifiersError> {
        let share = self.shares.take(from)?;
        let full = VerifiersError::Full { capacity: self.capacity };
        let admitted = Arc::clone(&self.admitted).try_acquire_owned().map_err(|_| full)?;
        let running = Arc::clone(&self.running).acquire_owned().await;
        let running = running.map_err(|_| VerifiersError::Stopped)?;
        let done = tokio::task::spawn_blocking(move || {
            let done = work();
            drop((running, admitted, share));
            done
        });
        done.await.map_err(|_| VerifiersError::Stopped)
    }
}

impl Shares {
    fn take(self: &Arc<Self>, from: IpAddr) -> Result<Share, VerifiersError> {
        let address = match from.to_canonical() {
            IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & NETWORK).into(),
            address @ IpAddr::V4(_) => address,
        };
        let mut all = self.taken();
        let taken = all.entry(address).or_default();
        if *taken >= self.most {
            return Err(VerifiersError::Share { address, most: self.most });
        }
        *taken += 1;
        Ok(Share { shares: Arc::clone(self), of: address })
    }

    fn taken(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut all = self.shares.taken();
        if let Some(taken) = all.get_mut(&self.of) {
            *taken -= 1;
            if *taken == 0 {
                all.remove(&self.of);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn verifiers(threads: usize, queue: usize) -> Verifiers {
        Verifiers::new(NonZeroUsize::new(threads).unwrap(), queue)
    }

    #[tokio::test]
    async fn a_full_queue_refuses_and_empties() {
        let verifiers = verifiers(1, 1);
        let elsewhere = "192.0.2.1".parse().unwrap();
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
                verifiers.run(HERE, work).await
            }
        });
        start.await.unwrap();
        let second = verifiers.run(elsewhere, || 2);
        tokio::pin!(second);
        // One poll admits the second; it waits for the first.
        let waits = std::future::poll_fn(|context| {
            std::task::Poll::Ready(second.as_mut().poll(context).is_pending())
        });
        assert!(waits.await);
        let third = verifiers.run("192.0.2.2".parse().unwrap(), || 3).await;
        assert_eq!(third, Err(VerifiersError::Full { capacity: 2 }));
        release.send(()).unwrap();
        assert_eq!(first.await.unwrap(), Ok(1));
        assert_eq!(second.await, Ok(2));
        assert_eq!(verifiers.run(HERE, || 4).await, Ok(4));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn bounds_concurrent_verifications() {
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
                verifiers.run(HERE, work).await
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
            let failed: Result<(), _> = verifiers.run(HERE, || panic!("on purpose")).await;
            assert_eq!(failed, Err(VerifiersError::Stopped));
        }
        assert_eq!(verifiers.run(HERE, || 1).await, Ok(1));
    }

    #[test]
    fn limits_one_address_to_half_of_the_places() {
        let verifiers = verifiers(1, 4);
        let take = |from: &str| verifiers.shares.take(from.parse().unwrap());
        let full = |from: &str| {
            let address = from.parse().unwrap();
            Some(VerifiersError::Share { address, most: 3 })
        };
        let mut held: Vec<_> = (0..3).map(|_| take("192.0.2.1").unwrap()).collect();
        assert_eq!(take("192.0.2.1").err(), full("192.0.2.1"));
        assert_eq!(take("::ffff:192.0.2.1").err(), full("192.0.2.1"));
        held.push(take("192.0.2.2").unwrap());
        // A client with one address of an IPv6 network has all of them.
        for host in ["2001:db8::1", "2001:db8::2", "2001:db8:0:0:ffff::"] {
            held.push(take(host).unwrap());
        }
        assert_eq!(take("2001:db8::3").err(), full("2001:db8::"));
        held.push(take("2001:db8:0:1::1").unwrap());
        held.remove(0);
        held.push(take("192.0.2.1").unwrap());
        held.clear();
        assert!(verifiers.shares.taken().is_empty(), "nobody is remembered for ever");
    }

    #[tokio::test]
    async fn releases_the_place_of_an_address() {
        let verifiers = verifiers(1, 0);
        assert_eq!(verifiers.run(HERE, || 1).await, Ok(1));
        let failed: Result<(), _> = verifiers.run(HERE, || panic!("on purpose")).await;
        assert_eq!(failed, Err(VerifiersError::Stopped));
        // A waiting job whose client has disconnected does not count either.
        let _busy = verifiers.running.acquire().await.unwrap();
        let waiting = tokio::spawn({
            let verifiers = verifiers.clone();
            async move { verifiers.run(HERE, || 2).await }
        });
        tokio::task::yield_now().await;
        assert_eq!(verifiers.shares.taken().get(&HERE), Some(&1));
        waiting.abort();
        assert!(waiting.await.unwrap_err().is_cancelled());
        assert!(verifiers.shares.taken().is_empty());
    }
}
