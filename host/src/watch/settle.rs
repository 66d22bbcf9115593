//! Debouncing of file events: the time at which a change is complete.
//!
//! A change is usually many events: a copy is many writes, a deployment many files. It is complete
//! after a quiet period without events, if no written file is still open. Pure: the time is a
//! parameter. Used by [`super::Watch`].

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The maximum time to wait for a file to be closed after the last write to it. Some programs keep
/// files open.
const MAX_OPEN_WAIT: Duration = Duration::from_secs(3);
/// The maximum duration of a change: a site with constant writes is still read at this interval.
const MAX_DURATION: Duration = Duration::from_secs(10);

/// The state of one change.
#[derive(Debug)]
pub(super) struct Settle {
    quiet: Duration,
    change: Option<Change>,
}

#[derive(Debug)]
struct Change {
    first: Instant,
    /// The end of the quiet period, without further events.
    quiet_at: Instant,
    /// Written files that have not been closed, with the time of the last write.
    open: HashMap<PathBuf, Instant>,
}

impl Settle {
    /// Creates an empty state; `quiet` is the length of the quiet period.
    pub(super) fn new(quiet: Duration) -> Self {
        Self { quiet, change: None }
    }

    /// Records an event.
    pub(super) fn changed(&mut self, now: Instant) {
        self.changed_after(now, self.quiet);
    }

    /// Records an event whose quiet period is at least `wait`.
    pub(super) fn changed_after(&mut self, now: Instant, wait: Duration) {
        let quiet_at = now + wait.max(self.quiet);
        match &mut self.change {
            Some(change) => change.quiet_at = change.quiet_at.max(quiet_at),
            None => self.change = Some(Change { first: now, quiet_at, open: HashMap::new() }),
        }
    }

    /// Records a write to a file, which is therefore open.
    pub(super) fn written(&mut self, path: &Path, now: Instant) {
        self.changed(now);
        if let Some(change) = &mut self.change {
            change.open.insert(path.to_owned(), now);
        }
    }

    /// Records that a written file was closed, removed or renamed.
    pub(super) fn closed(&mut self, path: &Path, now: Instant) {
        self.changed(now);
        if let Some(change) = &mut self.change {
            change.open.remove(path);
        }
    }

    /// Returns the time at which the change is complete without further events; `None` if there is
    /// no change.
    pub(super) fn due(&self) -> Option<Instant> {
        let change = self.change.as_ref()?;
        let closed = change.open.values().map(|last| *last + MAX_OPEN_WAIT).max();
        let due = closed.map_or(change.quiet_at, |closed| closed.max(change.quiet_at));
        Some(due.min(change.first + MAX_DURATION))
    }

    /// Returns whether a change is complete by now; if so, the change is cleared.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        let complete = self.due().is_some_and(|due| due <= now);
        if complete {
            self.change = None;
        }
        complete
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks when a change is complete. Each step is a time in milliseconds and an event:
    /// `c`hanged, `w`ritten or closed (`x`), with a file's name.
    fn check(steps: &[(u64, &str)], expect: Option<u64>) {
        let start = Instant::now();
        let at = |millis: u64| start + Duration::from_millis(millis);
        let mut settle = Settle::new(Duration::from_millis(100));
        for &(millis, step) in steps {
            match step.split_at(1) {
                ("c", _) => settle.changed(at(millis)),
                ("w", file) => settle.written(Path::new(file), at(millis)),
                ("x", file) => settle.closed(Path::new(file), at(millis)),
                ("l", _) => settle.changed_after(at(millis), Duration::from_secs(1)),
                other => panic!("{other:?}"),
            }
        }
        let due = settle.due();
        assert_eq!(due, expect.map(at), "{steps:?}");
        if let (Some(due), Some(&(last, _))) = (due, steps.last()) {
            if due > at(last) {
                assert!(!settle.take(due.checked_sub(Duration::from_millis(1)).unwrap()));
            }
            assert!(settle.take(due.max(at(last))));
            assert_eq!(settle.due(), None, "it is over");
        }
    }

    #[test]
    fn a_change_is_complete_after_the_settle_time() {
        check(&[], None);
        check(&[(0, "c")], Some(100));
        check(&[(0, "c"), (90, "c")], Some(190));
        check(&[(0, "w1"), (10, "x1")], Some(110));
    }

    #[test]
    fn waits_for_an_open_file() {
        check(&[(0, "w1")], Some(3_000));
        check(&[(0, "w1"), (2_000, "w1")], Some(5_000));
        check(&[(0, "w1"), (2_000, "x1")], Some(2_100));
        check(&[(0, "w1"), (0, "w2"), (50, "x1")], Some(3_000));
        check(&[(0, "w1"), (1_000, "w2"), (1_050, "x2"), (1_060, "x1")], Some(1_160));
    }

    #[test]
    fn bounds_the_wait() {
        check(&[(0, "w1"), (2_900, "w1"), (5_800, "w1"), (8_700, "w1")], Some(10_000));
        check(&[(0, "c"), (9_950, "c")], Some(10_000));
        check(&[(0, "l")], Some(1_000));
        check(&[(0, "l"), (10, "c")], Some(1_000));
    }
}
