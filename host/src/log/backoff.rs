//! Exponential backoff for repeated log messages: on the 1st, 2nd, 4th … occurrence, and at least
//! once a minute. Pure: the time is a parameter.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The maximum time between two log messages of an event that keeps occurring.
const MAX_GAP: Duration = Duration::from_mins(1);
/// The time without an occurrence after which an event is forgotten.
const RESET_AFTER: Duration = Duration::from_mins(10);
/// The maximum number of remembered keys.
const MAX_ENTRIES: usize = 256;

/// The repeated events, by key.
#[derive(Debug)]
pub(crate) struct Backoff<K> {
    /// Held for one look-up.
    known: Mutex<HashMap<K, Known>>,
}

#[derive(Debug)]
struct Known {
    times: u64,
    logged: u64,
    logged_at: Instant,
    last: Instant,
}

impl<K: Eq + Hash> Backoff<K> {
    /// Counts an occurrence. Returns the count if it has to be logged.
    pub(crate) fn happened(&self, key: K, now: Instant) -> Option<u64> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let since = |at: Instant| now.saturating_duration_since(at);
        if known.len() >= MAX_ENTRIES && !known.contains_key(&key) {
            known.retain(|_, it| since(it.last) < RESET_AFTER);
            if known.len() >= MAX_ENTRIES {
                return Some(1);
            }
        }
        let new = || Known { times: 0, logged: 0, logged_at: now, last: now };
        let it = known.entry(key).or_insert_with(new);
        if since(it.last) >= RESET_AFTER {
            *it = new();
        }
        it.times += 1;
        it.last = now;
        if it.times < it.logged.saturating_mul(2) && since(it.logged_at) < MAX_GAP {
            return None;
        }
        (it.logged, it.logged_at) = (it.times, now);
        Some(it.times)
    }
}

impl<K> Default for Backoff<K> {
    fn default() -> Self {
        Self { known: Mutex::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs_a_repeated_event_with_exponential_backoff() {
        let (backoff, start) = (Backoff::default(), Instant::now());
        let mut logged = Vec::new();
        // Every 100 ms for ten minutes.
        for tick in 0..6_000 {
            let now = start + Duration::from_millis(100) * tick;
            logged.extend(backoff.happened("trap", now));
        }
        assert_eq!(logged[..10], [1, 2, 4, 8, 16, 32, 64, 128, 256, 512]);
        // From then on once a minute, or a little earlier if the count has doubled.
        assert_eq!(logged[10..13], [1_024, 1_624, 2_224]);
        assert!(logged.len() < 22, "{logged:?}");
    }

    #[test]
    fn other_keys_and_later_events_start_anew() {
        let (backoff, start) = (Backoff::default(), Instant::now());
        let check = |what: &str, seconds: u64, expect: Option<u64>| {
            let now = start + Duration::from_secs(seconds);
            assert_eq!(backoff.happened(what.to_owned(), now), expect, "{what} at {seconds}");
        };
        check("a", 0, Some(1));
        check("b", 0, Some(1));
        check("a", 1, Some(2));
        check("a", 2, None);
        check("a", 61, Some(4));
        check("a", 660, Some(5));
        check("a", 660 + 600, Some(1));
    }

    #[test]
    fn memory_is_bounded() {
        let (backoff, start) = (Backoff::default(), Instant::now());
        for what in 0..MAX_ENTRIES * 2 {
            assert_eq!(backoff.happened(what, start), Some(1));
        }
        assert_eq!(backoff.known.lock().unwrap().len(), MAX_ENTRIES);
        assert_eq!(backoff.happened(MAX_ENTRIES, start + RESET_AFTER), Some(1));
        assert_eq!(backoff.known.lock().unwrap().len(), 1);
    }
}
