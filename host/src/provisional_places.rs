//! Places of connections, each provisional until the connection has proven that it is of use.
//!
//! When all places are taken, a new connection gets the place of the one whose place has been
//! provisional for the longest time: connections that send nothing cannot keep the others out. The
//! reserve of [`crate::connection_limit`] keeps places of connections that have sent a request,
//! [`crate::control`] those of clients with a token.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// A bounded number of places.
pub(crate) struct ProvisionalPlaces {
    max: usize,
    /// Held for a few assignments.
    state: Mutex<State>,
    freed: Notify,
}

#[derive(Default)]
struct State {
    used: usize,
    /// The number of the next place. Older connections have lower numbers.
    next: u64,
    provisional: BTreeMap<u64, Arc<Eviction>>,
}

/// The order to a connection to end, as another one has its place.
#[derive(Default)]
struct Eviction {
    is_ordered: AtomicBool,
    ordered: Notify,
}

/// The place of a connection. Dropping it frees it, unless another connection has it.
pub(crate) struct ProvisionalPlace {
    places: Arc<ProvisionalPlaces>,
    number: u64,
    eviction: Arc<Eviction>,
}

impl ProvisionalPlaces {
    pub(crate) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self { max, state: Mutex::default(), freed: Notify::new() })
    }

    /// The number of places in use.
    pub(crate) fn used(&self) -> usize {
        self.lock().used
    }

    /// Waits until all places are free.
    pub(crate) async fn all_free(&self) {
        loop {
            let freed = self.freed.notified();
            if self.used() == 0 {
                return;
            }
            freed.await;
        }
    }

    /// Takes a free place, or the oldest provisional one; `None` if all places are kept.
    pub(crate) fn take(self: &Arc<Self>) -> Option<ProvisionalPlace> {
        let mut state = self.lock();
        if state.used < self.max {
            state.used += 1;
        } else {
            let (_, oldest) = state.provisional.pop_first()?;
            oldest.is_ordered.store(true, Ordering::Relaxed);
            oldest.ordered.notify_one();
        }
        let (number, eviction) = (state.next, Arc::<Eviction>::default());
        state.next += 1;
        state.provisional.insert(number, Arc::clone(&eviction));
        drop(state);
        Some(ProvisionalPlace { places: Arc::clone(self), number, eviction })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Each change is complete before a panic could come.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ProvisionalPlace {
    /// Keeps the place to the end of the connection. Returns whether the connection still has it.
    pub(crate) fn keep(&self) -> bool {
        self.places.lock().provisional.remove(&self.number);
        !self.is_evicted()
    }

    /// Waits until another connection has the place. Cancel-safe.
    pub(crate) async fn evicted(&self) {
        self.eviction.ordered.notified().await;
    }

    fn is_evicted(&self) -> bool {
        // Written and read under the lock.
        self.eviction.is_ordered.load(Ordering::Relaxed)
    }
}

impl Drop for ProvisionalPlace {
    fn drop(&mut self) {
        let mut state = self.places.lock();
        state.provisional.remove(&self.number);
        if !self.is_evicted() {
            state.used = state.used.saturating_sub(1);
            self.places.freed.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn the_oldest_provisional_place_makes_room() {
        let places = ProvisionalPlaces::new(2);
        let (first, second) = (places.take().unwrap(), places.take().unwrap());
        assert!(first.keep());
        let third = places.take().unwrap();
        second.evicted().await;
        assert!(!second.keep());
        assert!(third.evicted().now_or_never().is_none());
        assert!(third.keep());
        assert!(places.take().is_none(), "both are kept");
        assert_eq!(places.used(), 2);
        drop(second);
        assert_eq!(places.used(), 2);
        let freed = places.all_free();
        drop((first, third));
        freed.await;
        assert_eq!(places.used(), 0);
    }
}
