//! Bounds how many lines of a kind reach the log: what any stranger can bring about as often as
//! they please must not fill a disk, nor hide what else is there.

use std::fmt::Display;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tracing::{debug, warn};

/// Lines that may come at once.
const BURST: u32 = 20;

/// After these, one more may come each …
const EVERY: Duration = Duration::from_secs(1);

/// Lets some pass, and counts the others.
#[derive(Debug)]
pub(crate) struct Throttle(Mutex<State>);

#[derive(Debug)]
struct State {
    /// Lines that may pass now.
    left: u32,
    /// Until when those that time has brought are in `left`.
    counted_until: Instant,
    held_back: u64,
}

impl Throttle {
    pub(crate) fn new(now: Instant) -> Self {
        Self(Mutex::new(State { left: BURST, counted_until: now, held_back: 0 }))
    }

    /// Warns of it, or leaves it to those who debug.
    pub(crate) fn warn(&self, what: impl Display) {
        match self.pass(Instant::now()) {
            Some(0) => warn!("{what}"),
            Some(held_back) => warn!("{what} ({held_back} others like it were not told of)"),
            None => debug!("{what}"),
        }
    }

    /// Whether a line may pass now: if so, how many did not since the last that did.
    fn pass(&self, now: Instant) -> Option<u64> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while state.left < BURST && now.saturating_duration_since(state.counted_until) >= EVERY {
            state.counted_until += EVERY;
            state.left += 1;
        }
        if state.left == BURST {
            state.counted_until = now;
        }
        let Some(left) = state.left.checked_sub(1) else {
            state.held_back += 1;
            return None;
        };
        state.left = left;
        Some(std::mem::take(&mut state.held_back))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_leaves_a_line_a_second_and_a_count() {
        let start = Instant::now();
        let throttle = Throttle::new(start);
        for line in 0..BURST {
            assert_eq!(throttle.pass(start), Some(0), "{line}");
        }
        for _ in 0..7 {
            assert_eq!(throttle.pass(start + EVERY / 2), None);
        }
        assert_eq!(throttle.pass(start + EVERY), Some(7));
        assert_eq!(throttle.pass(start + EVERY), None);
        // Quiet for long, it takes as many as at first, and not more.
        let later = start + EVERY * 1000;
        assert_eq!(throttle.pass(later), Some(1));
        let passed = (0..100).filter(|_| throttle.pass(later).is_some()).count();
        assert_eq!(passed + 1, BURST as usize);
    }
}
