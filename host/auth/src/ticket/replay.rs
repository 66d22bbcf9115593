//! Replay protection: a bounded set of used tickets, until they expire.
//!
//! When it is full it refuses new tickets rather than forget used ones: otherwise a flood would let
//! an attacker reuse a stolen ticket.

use std::collections::{BTreeSet, HashMap};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use sha2::{Digest as _, Sha256};

/// Fingerprint of a ticket: SHA-256 of its digest.
pub(crate) type Mark = [u8; 32];

/// Used tickets that are still valid.
#[derive(Debug)]
pub struct Replays {
    capacity: NonZeroUsize,
    /// A std mutex: nothing is awaited and nothing else is locked while it is held.
    /// Shared with the set before it, if the settings have changed.
    used: Arc<Mutex<Used>>,
}

/// Rejection by replay protection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplaysError {
    /// The ticket was used before.
    #[error("it was used before, and tickets are good for one connection")]
    Used,
    /// The set is full.
    #[error(
        "{capacity} used tickets are remembered, which is all there is room for: raise \
         `auth.tickets.replays`, or find out who opens so many connections"
    )]
    Full {
        /// The capacity.
        capacity: NonZeroUsize,
    },
    /// Another server has to remember it too, and none does.
    #[error("no other node of the cluster could remember that it is used now")]
    NotRemembered,
}

#[derive(Debug, Default)]
struct Used {
    until: HashMap<Mark, SystemTime>,
    /// The same entries, sorted by expiry.
    soonest: BTreeSet<(SystemTime, Mark)>,
}

impl Replays {
    /// A set of at most `capacity` tickets, about 150 bytes each.
    pub fn new(capacity: NonZeroUsize) -> Self {
        Self { capacity, used: Arc::default() }
    }

    /// Shares the used tickets of another set.
    pub(crate) fn continuing(self, before: &Self) -> Self {
        Self { used: Arc::clone(&before.used), ..self }
    }

    /// Records a verified ticket until `expires`.
    pub(crate) fn admit(
        &self,
        mark: Mark,
        expires: SystemTime,
        now: SystemTime,
    ) -> Result<(), ReplaysError> {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        used.forget(now);
        if used.until.contains_key(&mark) {
            return Err(ReplaysError::Used);
        }
        if used.until.len() >= self.capacity.get() {
            return Err(ReplaysError::Full { capacity: self.capacity });
        }
        used.until.insert(mark, expires);
        used.soonest.insert((expires, mark));
        Ok(())
    }
}

impl Used {
    fn forget(&mut self, now: SystemTime) {
        while let Some((expires, mark)) = self.soonest.first().copied() {
            if expires > now {
                return;
            }
            self.soonest.remove(&(expires, mark));
            self.until.remove(&mark);
        }
    }
}

/// Hashes the digest, which could otherwise be used as a ticket.
pub(super) fn mark(digest: &str) -> Mark {
    Sha256::digest(digest).into()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn replays(capacity: usize) -> Replays {
        Replays::new(NonZeroUsize::new(capacity).unwrap())
    }

    #[test]
    fn admits_a_valid_ticket_once() {
        let replays = replays(10);
        assert_eq!(replays.admit(mark("a"), at(300), at(0)), Ok(()));
        assert_eq!(replays.admit(mark("a"), at(300), at(299)), Err(ReplaysError::Used));
        assert_eq!(replays.admit(mark("b"), at(300), at(299)), Ok(()));
    }

    #[test]
    fn expired_tickets_free_space_and_a_full_memory_refuses() {
        let replays = replays(2);
        assert_eq!(replays.admit(mark("a"), at(300), at(0)), Ok(()));
        assert_eq!(replays.admit(mark("b"), at(310), at(0)), Ok(()));
        let full = ReplaysError::Full { capacity: NonZeroUsize::new(2).unwrap() };
        assert_eq!(replays.admit(mark("c"), at(320), at(299)), Err(full));
        assert_eq!(replays.admit(mark("a"), at(300), at(299)), Err(ReplaysError::Used));
        assert_eq!(replays.admit(mark("c"), at(320), at(300)), Ok(()));
    }

    proptest! {
        /// In any order of tickets, none is admitted twice while valid, and the set keeps its
        /// bound.
        #[test]
        fn nothing_is_admitted_twice(steps in prop::collection::vec((0u64..20, 0u64..8), 1..200)) {
            let replays = replays(5);
            let mut now = 0;
            let mut admitted: HashMap<u64, u64> = HashMap::new();
            for (ticket, pause) in steps {
                now += pause;
                let expires = now + 30 + ticket;
                let key = mark(&ticket.to_string());
                let good = admitted.get(&ticket).is_some_and(|until| *until > now);
                match replays.admit(key, at(expires), at(now)) {
                    Ok(()) => {
                        prop_assert!(!good);
                        admitted.insert(ticket, expires);
                    }
                    Err(ReplaysError::Used) => prop_assert!(good),
                    Err(ReplaysError::Full { .. } | ReplaysError::NotRemembered) => {
                        prop_assert!(!good);
                    }
                }
                let used = replays.used.lock().unwrap();
                prop_assert!(used.until.len() <= 5);
                prop_assert_eq!(used.until.len(), used.soonest.len());
            }
        }
    }
}
