//! Results of the probe: the last one, and how many have failed in a row.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tracing::{info, warn};

/// The failures in a row after which the server is not ready. A single one may be chance: a machine
/// that was suspended, or a burst of connections.
pub(crate) const MAX_FAILURES: u32 = 3;

/// A step of the probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProbeStep {
    /// The connection to the port.
    Connect,
    /// The request for a WebSocket.
    Handshake,
    /// HELLO and WELCOME.
    Session,
    /// CALL of the probe's procedure, and RESULT.
    Call,
}

/// The failure of a probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ProbeError {
    pub(crate) step: ProbeStep,
    pub(crate) reason: String,
}

/// The results of the probe.
#[derive(Debug)]
pub(crate) struct ProbeResults {
    /// The time within which a probe has to follow the one before.
    patience: Duration,
    /// A std mutex, held for a few assignments.
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// When the first probe was begun.
    began: Option<Instant>,
    last: Option<Last>,
    failures: u32,
}

#[derive(Clone, Debug)]
struct Last {
    at: Instant,
    took: Duration,
    error: Option<ProbeError>,
}

/// The state of the probe at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ProbeStatus {
    /// Failures in a row; 0 after a success.
    pub(crate) failures: u32,
    /// The time since the end of the last probe; none if none has ended.
    pub(crate) age: Option<Duration>,
    /// The time that it took.
    pub(crate) took: Option<Duration>,
    /// The error of the last one.
    pub(crate) error: Option<ProbeError>,
    /// Whether no probe has ended for much longer than it should take.
    pub(crate) is_overdue: bool,
}

impl ProbeStep {
    /// A short name.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Handshake => "handshake",
            Self::Session => "session",
            Self::Call => "call",
        }
    }
}

impl fmt::Display for ProbeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.step.label(), self.reason)
    }
}

impl ProbeResults {
    /// No result yet; `round` is the longest time from one probe to the next.
    pub(crate) fn new(round: Duration) -> Self {
        Self { patience: round.saturating_mul(MAX_FAILURES), state: Mutex::default() }
    }

    /// The first probe begins.
    pub(crate) fn begin(&self, now: Instant) {
        self.lock().began = Some(now);
    }

    /// Adds the result of a probe. The change of the readiness is logged.
    pub(crate) fn add(&self, now: Instant, took: Duration, result: Result<(), ProbeError>) {
        let mut state = self.lock();
        let before = state.failures;
        state.failures = if result.is_ok() { 0 } else { before.saturating_add(1) };
        let failures = state.failures;
        state.last = Some(Last { at: now, took, error: result.clone().err() });
        drop(state);
        match result {
            Ok(()) if before >= MAX_FAILURES => {
                info!(name: "probe.recovered", failures = before, "the probe succeeds again: the server is ready");
            }
            Err(error) if failures == MAX_FAILURES => warn!(
                name: "probe.failed",
                step = error.step.label(),
                failures,
                "the probe has failed {failures} times in a row, the server is not ready: {error}"
            ),
            Ok(()) | Err(_) => {}
        }
    }

    /// The state of the probe now.
    pub(crate) fn status(&self, now: Instant) -> ProbeStatus {
        let state = self.lock();
        let last = state.last.as_ref();
        let since = last.map(|last| last.at).or(state.began);
        let age = |at: Instant| now.saturating_duration_since(at);
        ProbeStatus {
            failures: state.failures,
            age: last.map(|last| age(last.at)),
            took: last.map(|last| last.took),
            error: last.and_then(|last| last.error.clone()),
            is_overdue: since.is_some_and(|at| age(at) > self.patience),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Each change is a few assignments that cannot fail.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ProbeStatus {
    /// Whether the probe says that clients are served.
    pub(crate) const fn is_good(&self) -> bool {
        self.failures < MAX_FAILURES && !self.is_overdue
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed() -> Result<(), ProbeError> {
        Err(ProbeError { step: ProbeStep::Call, reason: "no answer".to_owned() })
    }

    #[test]
    fn three_failures_in_a_row_are_needed_and_one_success_ends_them() {
        let (results, now) = (ProbeResults::new(Duration::from_secs(15)), Instant::now());
        let is_good = || results.status(now).is_good();
        assert!(is_good(), "no probe has run");
        for results_of_probes in [[failed(), failed(), Ok(())], [failed(), failed(), Ok(())]] {
            for result in results_of_probes {
                results.add(now, Duration::ZERO, result);
                assert!(is_good());
            }
        }
        (0..3).for_each(|_| results.add(now, Duration::ZERO, failed()));
        let status = results.status(now);
        assert!(!status.is_good());
        assert_eq!((status.failures, status.error), (3, failed().err()));
        results.add(now, Duration::ZERO, Ok(()));
        assert_eq!(results.status(now).error, None);
        assert!(is_good());
    }

    #[test]
    fn a_probe_that_never_ends_is_a_failure() {
        let (results, now) = (ProbeResults::new(Duration::from_secs(15)), Instant::now());
        results.begin(now);
        let later = |seconds| now + Duration::from_secs(seconds);
        assert!(results.status(later(45)).is_good());
        assert!(!results.status(later(46)).is_good());
        results.add(later(50), Duration::from_secs(50), Ok(()));
        assert!(results.status(later(95)).is_good());
        assert!(!results.status(later(96)).is_good());
    }
}
