//! Waiting for a handler's answer to a call, and ending the wait early: by the caller's CANCEL, or
//! by the option `timeout`. WAMP v2 specification, sections "Call Canceling" and "Call Timeouts".

use std::convert::Infallible;
use std::future::Pending;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jackfield_broker::{PendingFlushes, Session};
use jackfield_sandbox::{CallAnswer, Effect, Hook, HookOutcome, HookRequest, Later, Passage};
use jackfield_wamp::message::{Call, CancelMode};
use jackfield_wamp::payload::Payload;
use tokio::time::{Instant, sleep_until};

use crate::dispatch::home::HookCall;
use crate::dispatch::{Dispatch, Refusal, effects, flush_before_wait};
use crate::generation::RouteMatch;

/// The caller's CANCEL: ends with its mode, or never. Polled while a handler's call waits or runs,
/// and not at all if the handler answers at once.
pub(crate) trait Cancellation: Future<Output = CancelMode> + Send {
    /// Returns the time at which the call arrived; `None` if that is now.
    fn arrived(&self) -> Option<Instant>;
}

/// The reason for ending the wait for a handler's answer early.
#[derive(Clone, Copy, Debug)]
enum Stop {
    Canceled(CancelMode),
    TimedOut(Timeout),
}

/// The maximum time for which a caller waits for a handler's answer.
#[derive(Clone, Copy, Debug)]
pub(in crate::dispatch) struct Timeout {
    milliseconds: u64,
    due: Instant,
}

/// The answer of a handler.
pub(super) enum Answer {
    Now(Payload),
    /// A later hook gives it.
    Later(Later),
}

/// The end of a call: its answer, its effects, and the passage that is held while they are queued.
pub(super) struct Asked<'a> {
    pub(super) answer: Result<Answer, Refusal>,
    pub(super) effects: Vec<Effect>,
    pub(super) passage: Passage<'a>,
}

impl Dispatch {
    /// Asks a handler. Returns its answer and its effects. `depth` is the number of calls of plugins
    /// that have led to the call.
    ///
    /// A stopped call that has not begun never begins. A running one continues to its end: an
    /// interruption would end the instance, and with it the data of other topics there. Its answer
    /// is dropped; its effects are applied, as with a callee that cannot be interrupted.
    pub(super) async fn ask<'a>(
        &self,
        routed: &RouteMatch<'a, '_>,
        from: &Session,
        (call, depth): (&Call, u8),
        (timeout, mut cancellation): (Option<Timeout>, Pin<&mut impl Cancellation>),
        tell_at_once: impl FnOnce(&Refusal) + Send,
        batch: &mut PendingFlushes,
    ) -> Asked<'a> {
        let (args, kwargs) = match self.hook_arguments(&call.payload) {
            Ok(arguments) => arguments,
            Err(refusal) => return Asked::refused(refusal),
        };
        let attributes = routed.attributes();
        let request = HookRequest { depth, ..self.hook_request(routed, &attributes, Some(from)) };
        let has_begun = AtomicBool::new(false);
        let lane = routed.handler.lane(&call.procedure);
        let hook = HookCall {
            hook: Hook::Call,
            request: &request,
            is_again: false,
            event: (&args, &kwargs),
        };
        let here = Box::pin(lane.on_call(&request, &args, &kwargs, &has_begun));
        // A call at another node has begun there for all that is known.
        let mut hook = flush_before_wait(batch, self.decide(routed, hook, here));
        let (outcome, stopped) = tokio::select! {
            biased;
            outcome = &mut hook => (outcome, None),
            stop = stop(timeout, cancellation.as_mut()) => {
                let refusal = stop.refusal();
                if !has_begun.load(Ordering::Relaxed) && self.home_elsewhere(routed.handler).is_none()
                {
                    return Asked::refused(refusal);
                }
                if stop.is_immediate() {
                    tell_at_once(&refusal);
                }
                // Calls that wait behind this one can be cancelled until it has ended.
                let outcome = tokio::select! {
                    biased;
                    outcome = &mut hook => outcome,
                    never = read_on(cancellation) => match never {},
                };
                (outcome, Some(refusal))
            }
        };
        match outcome {
            Ok(HookOutcome { answer, effects, passage }) => {
                let answer = match (stopped, answer) {
                    (Some(refusal), _) => Err(refusal),
                    (None, CallAnswer::Later(later)) => Ok(Answer::Later(later)),
                    (None, CallAnswer::Now(answer)) => {
                        let payload = answer.map_err(Refusal::from);
                        payload.and_then(|it| effects::payload(&it)).map(Answer::Now)
                    }
                };
                Asked { answer, effects, passage }
            }
            Err(refusal) => Asked::refused(refusal),
        }
    }
}

impl Asked<'_> {
    /// A call without effects.
    pub(super) fn refused(refusal: Refusal) -> Self {
        Self { answer: Err(refusal), effects: Vec::new(), passage: Passage::default() }
    }
}

impl Stop {
    fn refusal(self) -> Refusal {
        match self {
            Self::Canceled(_) => Refusal::canceled(),
            Self::TimedOut(timeout) => timeout.refusal(),
        }
    }

    /// Returns whether the caller is answered while the handler runs. With `kill` it waits for the
    /// callee, and may rely on the call having no effects afterwards.
    fn is_immediate(self) -> bool {
        match self {
            Self::Canceled(CancelMode::Kill) => false,
            Self::Canceled(CancelMode::Skip | CancelMode::KillNoWait) | Self::TimedOut(_) => true,
        }
    }
}

impl Timeout {
    /// Returns the timeout of a call. `None` without one, for 0, and beyond the range of the clock.
    pub(super) fn of(call: &Call, arrived: Option<Instant>) -> Option<Self> {
        let milliseconds = call.options.timeout.filter(|milliseconds| *milliseconds > 0)?;
        let arrived = arrived.unwrap_or_else(Instant::now);
        let due = arrived.checked_add(Duration::from_millis(milliseconds))?;
        Some(Self { milliseconds, due })
    }

    pub(in crate::dispatch) fn due(self) -> Instant {
        self.due
    }

    pub(super) fn is_over(self) -> bool {
        self.due <= Instant::now()
    }

    pub(in crate::dispatch) fn refusal(self) -> Refusal {
        Refusal::timed_out(self.milliseconds)
    }
}

/// Continues to read ahead after a call was stopped.
async fn read_on(mut cancellation: Pin<&mut impl Cancellation>) -> Infallible {
    loop {
        cancellation.as_mut().await;
    }
}

/// For calls that cannot be cancelled.
impl Cancellation for Pending<CancelMode> {
    fn arrived(&self) -> Option<Instant> {
        None
    }
}

/// Ends when the caller cancels the call, or its timeout is over.
async fn stop(timeout: Option<Timeout>, cancellation: Pin<&mut impl Cancellation>) -> Stop {
    match timeout {
        Some(timeout) => tokio::select! {
            mode = cancellation => Stop::Canceled(mode),
            () = sleep_until(timeout.due) => Stop::TimedOut(timeout),
        },
        None => Stop::Canceled(cancellation.await),
    }
}
