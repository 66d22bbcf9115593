//! Doubts whether events are missing: clients are told of them at most once a second, since each client that is
//! told loads its state again.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The minimum time between two times that clients are told.
const INTERVAL: Duration = Duration::from_secs(1);

/// The doubts that clients are to be told of.
#[derive(Debug, Default)]
pub(super) struct Doubts {
    /// A std mutex: held for a comparison.
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    is_pending: bool,
    told: Option<Instant>,
}

impl Doubts {
    /// Adds a doubt.
    pub(super) fn add(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).is_pending = true;
    }

    /// Returns whether clients are to be told now; then they are no more until the next doubt.
    pub(super) fn take_due(&self, now: Instant) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let is_soon = state.told.is_some_and(|told| now.saturating_duration_since(told) < INTERVAL);
        if !state.is_pending || is_soon {
            return false;
        }
        *state = State { is_pending: false, told: Some(now) };
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubts_are_told_at_once_and_then_once_a_second() {
        let (doubts, start) = (Doubts::default(), Instant::now());
        let at = |ms| start + Duration::from_millis(ms);
        assert!(!doubts.take_due(at(0)));
        let mut told = Vec::new();
        for ms in (0..2_000).step_by(100) {
            doubts.add();
            if doubts.take_due(at(ms)) {
                told.push(ms);
            }
        }
        assert_eq!(told, [0, 1_000]);
        // The last ones are told, too, and once.
        assert!(!doubts.take_due(at(1_999)));
        assert!(doubts.take_due(at(2_000)));
        assert!(!doubts.take_due(at(9_000)));
    }
}
