//! Keeps time at a fixed rate: a thread of its own that sleeps until something is due. Timers of the
//! runtime are a millisecond coarse, which would be most of what is measured.

use std::sync::Arc;
use std::sync::atomic::Ordering::Release;
use std::time::Duration;

use crate::clock::{Course, Schedule};
use crate::failure::Failure;
use crate::workers::{Lane, Shared, WorkerEvent};

/// The end of the run may be brought forward while nothing is due for a long time.
const LOOK_UP: Duration = Duration::from_millis(20);

/// What is due at the same time is written together, but not more than so much.
const AT_ONCE: u32 = 64;

/// How long the thread waits for a socket that takes no more.
pub(crate) const BREATH: Duration = Duration::from_micros(100);

/// Starts the thread that keeps the time. If it fails, the one who leads the run is told.
pub(crate) fn thread(
    shared: Arc<Shared>,
    lane: Arc<Lane>,
    pace: impl FnOnce() -> Result<(), Failure> + Send + 'static,
) -> Result<(), Failure> {
    shared.pacing.store(true, Release);
    let keep_time = move || {
        lane.start_connection();
        if let Err(failure) = pace() {
            shared.tell(WorkerEvent::Failed(failure));
        }
        shared.pacing.store(false, Release);
    };
    let thread = std::thread::Builder::new().name("bench-pace".to_owned()).spawn(keep_time);
    thread.map(|_| ()).map_err(|error| Failure::System("start a thread", error))
}

/// Does what is due until the course ends or `act` says that there is no more. `rest` is called
/// whenever nothing else is due for a moment. Returns how much that was due was not done, because
/// it was far too late.
///
/// # Errors
/// Those of `act` and `rest`.
pub(crate) fn pace(
    course: &Course,
    schedule: Schedule,
    mut act: impl FnMut(u64, u64) -> Result<bool, Failure>,
    mut rest: impl FnMut() -> Result<(), Failure>,
) -> Result<u64, Failure> {
    let mut number = 0;
    let mut at_once = 0;
    loop {
        let due = schedule.due(number);
        let now = course.clock.now();
        if due >= course.end() || now >= course.deadline() {
            let missed = schedule.before(course.end()).saturating_sub(number);
            return rest().map(|()| missed);
        }
        if due > now {
            rest()?;
            at_once = 0;
            std::thread::sleep(Duration::from_nanos(due - now).min(LOOK_UP));
            continue;
        }
        if !act(number, due)? {
            return rest().map(|()| 0);
        }
        number += 1;
        at_once += 1;
        if at_once == AT_ONCE {
            rest()?;
            at_once = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    #[test]
    fn runs_every_action_once_in_order_and_not_early() {
        let course = Course::new(Clock::start());
        course.set(0, u64::MAX);
        let schedule = Schedule::new(course.clock.now(), 10_000.0);
        let mut done = Vec::new();
        let act = |number, due| {
            assert!(course.clock.now() >= due);
            done.push(number);
            Ok(number < 99)
        };
        assert_eq!(pace(&course, schedule, act, || Ok(())).unwrap(), 0);
        assert_eq!(done, (0..100).collect::<Vec<u64>>());
    }

    #[test]
    fn runs_nothing_after_the_end() {
        let course = Course::new(Clock::start());
        course.set(0, 0);
        let mut rested = 0;
        let rest = || {
            rested += 1;
            Ok(())
        };
        let nothing = |_, _| panic!("too late");
        assert_eq!(pace(&course, Schedule::new(0, 1.0), nothing, rest).unwrap(), 0);
        assert_eq!(rested, 1, "what is pending is still sent");
    }

    #[test]
    fn runs_and_counts_late_actions() {
        let course = Course::new(Clock::start());
        course.set(0, 1_000_000);
        std::thread::sleep(Duration::from_millis(2));
        let mut done = 0;
        let act = |_, _| {
            done += 1;
            Ok(true)
        };
        assert_eq!(pace(&course, Schedule::new(0, 1e6), act, || Ok(())).unwrap(), 0);
        assert_eq!(done, 1_000, "all that was due before the end");
    }
}
