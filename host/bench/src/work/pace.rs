//! Pacer: a thread of its own that sleeps until a message is due. The runtime's timers have a
//! resolution of a millisecond, which would dominate the latencies.

use std::sync::Arc;
use std::sync::atomic::Ordering::Release;
use std::time::Duration;

use crate::clock::{MeasuredPeriod, Schedule};
use crate::error::BenchError;
use crate::workers::{RunContext, Worker, WorkerEvent};

/// Longest sleep, as the end of the run may be brought forward.
const MAX_SLEEP: Duration = Duration::from_millis(20);

/// Due messages that are written together.
const MAX_BATCH: u32 = 64;

/// Delay before retrying a socket that accepts no more bytes.
pub(crate) const RETRY_INTERVAL: Duration = Duration::from_micros(100);

/// Starts the pacer thread. Its error is sent to the coordinator.
pub(crate) fn thread(
    shared: Arc<RunContext>,
    worker: Arc<Worker>,
    pace: impl FnOnce() -> Result<(), BenchError> + Send + 'static,
) -> Result<(), BenchError> {
    shared.pacing.store(true, Release);
    let keep_time = move || {
        worker.register_thread();
        if let Err(error) = pace() {
            shared.send_event(WorkerEvent::Failed(error));
        }
        shared.pacing.store(false, Release);
    };
    let thread = std::thread::Builder::new().name("bench-pace".to_owned()).spawn(keep_time);
    thread.map(|_| ()).map_err(|error| BenchError::System("start a thread", error))
}

/// Calls `act` for each due message until the period ends or `act` returns false. Calls `rest`
/// whenever no message is due. Returns the number of due messages that were dropped as too late.
///
/// # Errors
/// Errors of `act` and `rest`.
pub(crate) fn pace(
    period: &MeasuredPeriod,
    schedule: Schedule,
    mut act: impl FnMut(u64, u64) -> Result<bool, BenchError>,
    mut rest: impl FnMut() -> Result<(), BenchError>,
) -> Result<u64, BenchError> {
    let mut number = 0;
    let mut at_once = 0;
    loop {
        let due = schedule.due(number);
        let now = period.clock.now();
        if due >= period.end() || now >= period.deadline() {
            let missed = schedule.before(period.end()).saturating_sub(number);
            return rest().map(|()| missed);
        }
        if due > now {
            rest()?;
            at_once = 0;
            std::thread::sleep(Duration::from_nanos(due - now).min(MAX_SLEEP));
            continue;
        }
        if !act(number, due)? {
            return rest().map(|()| 0);
        }
        number += 1;
        at_once += 1;
        if at_once == MAX_BATCH {
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
        let period = MeasuredPeriod::new(Clock::start());
        period.set(0, u64::MAX);
        let schedule = Schedule::new(period.clock.now(), 10_000.0);
        let mut done = Vec::new();
        let act = |number, due| {
            assert!(period.clock.now() >= due);
            done.push(number);
            Ok(number < 99)
        };
        assert_eq!(pace(&period, schedule, act, || Ok(())).unwrap(), 0);
        assert_eq!(done, (0..100).collect::<Vec<u64>>());
    }

    #[test]
    fn runs_nothing_after_the_end() {
        let period = MeasuredPeriod::new(Clock::start());
        period.set(0, 0);
        let mut rested = 0;
        let rest = || {
            rested += 1;
            Ok(())
        };
        let nothing = |_, _| panic!("too late");
        assert_eq!(pace(&period, Schedule::new(0, 1.0), nothing, rest).unwrap(), 0);
        assert_eq!(rested, 1, "what is pending is still sent");
    }

    #[test]
    fn runs_and_counts_late_actions() {
        let period = MeasuredPeriod::new(Clock::start());
        period.set(0, 1_000_000);
        std::thread::sleep(Duration::from_millis(2));
        let mut done = 0;
        let act = |_, _| {
            done += 1;
            Ok(true)
        };
        assert_eq!(pace(&period, Schedule::new(0, 1e6), act, || Ok(())).unwrap(), 0);
        assert_eq!(done, 1_000, "all that was due before the end");
    }
}
