//! Spaces on hold, and when each is tried again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::SharedSpace;

/// The first pause of a space that could not be saved; each further one is twice as long.
const MIN_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause.
const MAX_PAUSE: Duration = Duration::from_secs(30);

/// The spaces that could not be saved.
#[derive(Default)]
pub(super) struct Pauses(Vec<Pause>);

/// A space on hold. After its release it is remembered for as long again: a failure meanwhile is
/// taken for the same one, as a disk may have room for the trial alone.
struct Pause {
    space: SharedSpace,
    until: Instant,
    length: Duration,
    is_released: bool,
}

impl Pauses {
    /// Notes a failure, and returns the time to the next trial.
    pub(super) fn failed(&mut self, space: &SharedSpace, now: Instant) -> Duration {
        if let Some(pause) = self.find(space) {
            pause.length = pause.length.saturating_mul(2).min(MAX_PAUSE);
            pause.until = now + pause.length;
            pause.is_released = false;
            return pause.length;
        }
        let (space, until) = (Arc::clone(space), now + MIN_PAUSE);
        self.0.push(Pause { space, until, length: MIN_PAUSE, is_released: false });
        MIN_PAUSE
    }

    /// Notes that a trial has succeeded.
    pub(super) fn released(&mut self, space: &SharedSpace, now: Instant) {
        if let Some(pause) = self.find(space) {
            pause.is_released = true;
            pause.until = now + pause.length;
        }
    }

    /// Whether the space will be tried again.
    pub(super) fn has(&self, space: &SharedSpace) -> bool {
        self.0.iter().any(|pause| !pause.is_released && Arc::ptr_eq(&pause.space, space))
    }

    /// The spaces to try again.
    pub(super) fn due(&mut self, now: Instant) -> Vec<SharedSpace> {
        self.0.retain(|pause| !pause.is_released || now < pause.until);
        let due = self.0.iter().filter(|pause| !pause.is_released && pause.until <= now);
        due.map(|pause| Arc::clone(&pause.space)).collect()
    }

    /// The next time at which there is something to do.
    pub(super) fn next(&self) -> Option<Instant> {
        self.0.iter().map(|pause| pause.until).min()
    }

    fn find(&mut self, space: &SharedSpace) -> Option<&mut Pause> {
        self.0.iter_mut().find(|pause| Arc::ptr_eq(&pause.space, space))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_soon_after_a_release_lengthen_the_pause() {
        let (mut pauses, space) = (Pauses::default(), SharedSpace::default());
        let start = Instant::now();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        // The trials succeed, and the first write after each fails.
        let (mut now, mut found) = (0, Vec::new());
        for _ in 0..7 {
            assert!(pauses.due(at(now)).is_empty());
            let length = pauses.failed(&space, at(now)).as_secs();
            found.push(length);
            now += length;
            assert_eq!((pauses.due(at(now)).len(), pauses.next()), (1, Some(at(now))));
            assert!(pauses.has(&space));
            pauses.released(&space, at(now));
            assert!(!pauses.has(&space));
        }
        assert_eq!(found, [1, 2, 4, 8, 16, 30, 30]);
        // It has been well for as long as the last pause.
        assert!(pauses.due(at(now + 30)).is_empty() && pauses.next().is_none());
        assert_eq!(pauses.failed(&space, at(now + 30)), MIN_PAUSE);
    }
}
