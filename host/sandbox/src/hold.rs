//! When a handler that keeps failing is called again. Nothing waits here.
//!
//! A few faults are forgiven: a client must not be able to switch a handler off with one bad
//! event. More of them within a short time put the handler on hold. After the pause calls go
//! through again; the first fault then means a longer pause, the first success a clean slate.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::fault::FaultKind;

/// What one handler of a plugin has been up to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Hold {
    state: State,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    /// Called as usual; `faults` of them since `since`.
    Called { faults: u32, since: Option<Instant> },
    /// Not called before `until`; after that, on probation: `pause` was the last one.
    Held { until: Instant, pause: Duration },
}

/// Faults within `WINDOW` that put a handler on hold.
const FAULTS: u32 = 5;
/// How long a fault is remembered.
const WINDOW: Duration = Duration::from_secs(10);
/// The first pause; each next one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

impl Hold {
    fn is_held(&self) -> bool {
        matches!(self.state, State::Held { .. })
    }

    /// Until when the handler must not be called; none if it may be.
    fn refused(&self, now: Instant) -> Option<Instant> {
        match self.state {
            State::Called { .. } => None,
            State::Held { until, .. } => (now < until).then_some(until),
        }
    }

    /// A call has failed.
    fn fault(&mut self, now: Instant) {
        self.state = match self.state {
            State::Called { faults, since } => {
                let recent = since.filter(|&s| now.saturating_duration_since(s) < WINDOW);
                let faults = if recent.is_some() { faults + 1 } else { 1 };
                if faults < FAULTS {
                    State::Called { faults, since: Some(recent.unwrap_or(now)) }
                } else {
                    State::Held { until: now + FIRST_PAUSE, pause: FIRST_PAUSE }
                }
            }
            // A call that began before the hold did: it is no news.
            State::Held { until, .. } if now < until => return,
            State::Held { pause, .. } => {
                let pause = (pause * 2).min(LONGEST_PAUSE);
                State::Held { until: now + pause, pause }
            }
        };
    }

    /// A call has succeeded. Only one after a pause counts: otherwise a handler that fails every
    /// second time would never be held.
    fn success(&mut self, now: Instant) {
        match self.state {
            State::Held { until, .. } if now >= until => self.state = State::default(),
            State::Held { .. } | State::Called { .. } => {}
        }
    }
}

/// One for all lanes of a plugin.
#[derive(Debug, Default)]
pub(crate) struct SharedHold {
    /// A std mutex: it is held for a comparison.
    hold: Mutex<Hold>,
    /// Whether the handler is on hold or on probation. Nearly never, so that nearly no call has to
    /// take the lock.
    suspect: AtomicBool,
}

impl SharedHold {
    /// Whether the handler may be called now.
    pub(crate) fn admit(&self, now: Instant) -> Result<(), FaultKind> {
        if !self.suspect.load(Ordering::Acquire) {
            return Ok(());
        }
        self.lock().refused(now).map_or(Ok(()), |until| Err(FaultKind::OnHold { until }))
    }

    /// A call has failed.
    pub(crate) fn failed(&self, now: Instant) {
        let mut hold = self.lock();
        hold.fault(now);
        self.suspect.store(hold.is_held(), Ordering::Release);
    }

    /// A call has succeeded.
    pub(crate) fn succeeded(&self) {
        if self.suspect.load(Ordering::Acquire) {
            let mut hold = self.lock();
            hold.success(Instant::now());
            self.suspect.store(hold.is_held(), Ordering::Release);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Hold> {
        self.hold.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for State {
    fn default() -> Self {
        Self::Called { faults: 0, since: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a script of `time:event` in milliseconds, `f` a fault, `s` a success, and `?` a
    /// question whose answer is the next number: until when calls are refused, 0 for not at all.
    fn check(script: &str) {
        let start = Instant::now();
        let ms = |n: u64| Duration::from_millis(n);
        let mut hold = Hold::default();
        for step in script.split_whitespace() {
            let (time, event) = step.split_once(':').unwrap();
            let now = start + ms(time.parse().unwrap());
            match event.split_at(1) {
                ("f", count) => {
                    (0..count.parse().unwrap_or(1)).for_each(|_| hold.fault(now));
                }
                ("s", _) => hold.success(now),
                ("?", until) => {
                    let until: u64 = until.parse().unwrap();
                    let expected = (until > 0).then(|| start + ms(until));
                    assert_eq!(hold.refused(now), expected, "{step} in {script}");
                }
                _ => panic!("{step}"),
            }
        }
    }

    #[test]
    fn a_few_faults_are_forgiven() {
        check("0:?0 0:f4 0:?0");
        check("0:f4 10000:f4 10000:?0 20000:f4 20000:?0");
    }

    #[test]
    fn more_faults_put_the_handler_on_hold() {
        check("0:f5 0:?1000 999:?1000 1000:?0");
        check("0:f 2000:f 4000:f 6000:f 8000:f 8000:?9000");
    }

    #[test]
    fn successes_in_between_do_not_hide_faults() {
        check("0:f 1:s 2:f 3:s 4:f 5:s 6:f 7:s 8:f 8:?1008");
    }

    #[test]
    fn pauses_grow_to_a_minute_and_a_success_ends_them() {
        check("0:f5 1000:f 1000:?3000 3000:f 3000:?7000 7000:s 7000:?0 7000:f4 7000:?0");
        check(
            "0:f5 1000:f 3000:f 7000:f 15000:f 31000:f 63000:f 63000:?123000 123000:f 123000:?183000",
        );
    }

    #[test]
    fn calls_that_began_before_the_hold_change_nothing() {
        check("0:f5 500:f 500:?1000 500:s 500:?1000 1000:f 1000:?3000");
    }
}
