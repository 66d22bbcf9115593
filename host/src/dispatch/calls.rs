//! Calls: a procedure is a topic whose route's handler answers calls, or else what a client has
//! registered.
//!
//! Like everything that a session asks of a handler, such a call is handled before the session's
//! next request: a slow one holds back its own session alone. Only CANCEL overtakes, see
//! [`crate::connection`], and with the option `timeout` it is one way to stop a call ([`stop`]).
//! The option `progress` is refused, because no callee takes arguments in parts. The other options
//! need nothing done: results before the last are the callee's choice, and handlers know their
//! callers anyway.
//!
//! A call of a client's procedure is passed on, and its answer comes when it comes; see
//! [`super::procedures`].

use std::convert::Infallible;
use std::future::{Pending, pending};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jackfield_broker::{CallError, CloseReason, PendingFlushes, Session};
use jackfield_routing::Action;
use jackfield_sandbox::{Effect, Hook, HookOutcome};
use jackfield_wamp::error_uri;
use jackfield_wamp::message::{Call, CallId, CancelMode};
use jackfield_wamp::payload::Payload;
use jackfield_wamp::protocol::{self as wamp, ErrorTo, Reply};
use jackfield_wamp::uri::{self, MatchPolicy};
use tokio::time::{Instant, sleep_until};

use super::{Dispatch, Refusal, effects, flush_before_wait, uris};
use crate::frame;
use crate::generation::{Generation, RouteMatch};

/// The caller's CANCEL: ends with its mode, or never. It is polled while a handler's call waits or
/// runs, and not at all where the handler answers at once.
pub(crate) trait Cancellation: Future<Output = CancelMode> + Send {
    /// When the call arrived; none if that is now.
    fn arrived(&self) -> Option<Instant>;
}

/// The end of a caller's wait for a handler's answer before there is one.
#[derive(Clone, Copy, Debug)]
enum Stop {
    Canceled(CancelMode),
    TimedOut(Timeout),
}

/// How long a caller waits for a handler's answer.
#[derive(Clone, Copy, Debug)]
struct Timeout {
    milliseconds: u64,
    due: Instant,
}

/// A call of a client's procedure that was not refused.
enum Passed {
    /// Its callee has been asked.
    On,
    /// It has the id of an open call.
    Repeated,
}

impl Dispatch {
    /// One call. A handler's answer is queued before what the handler wants done is.
    pub(super) async fn call(
        &self,
        from: &Arc<Session>,
        dialogue: &wamp::Protocol,
        call: &Call,
        cancellation: impl Cancellation,
        batch: &mut PendingFlushes,
    ) {
        let generation = self.generations.current();
        let to = ErrorTo::Call { call: &call.request };
        let tell = |reply: &Reply<'_>, batch: &mut PendingFlushes| {
            if let Some(message) = dialogue.reply(reply) {
                from.reply(frame::message(from.dialect, &message), batch);
            }
        };
        let mut is_told = false;
        let (answer, effects) = match self.procedure(&generation, from, call) {
            Ok(Some(routed)) if routed.handler.hooks().contains(Hook::Call) => {
                if self.dealer.is_open(from.id, &call.request) {
                    return Self::reject_repeated(from, dialogue, call, batch);
                }
                let timeout = Timeout::of(call, cancellation.arrived());
                let tell_at_once = |refusal: &Refusal| {
                    is_told = true;
                    tell(&refusal.reply(to), &mut PendingFlushes::default());
                };
                match timeout {
                    Some(timeout) if timeout.is_over() => (Err(timeout.refusal()), Vec::new()),
                    timeout => {
                        let stops = (timeout, pin!(cancellation));
                        self.ask(&routed, from, call, stops, tell_at_once, batch).await
                    }
                }
            }
            Ok(routed) => match self.route_to_callee(routed.as_ref(), from, call, batch) {
                Ok(Passed::On) => return,
                Ok(Passed::Repeated) => return Self::reject_repeated(from, dialogue, call, batch),
                Err(refusal) => (Err(refusal), Vec::new()),
            },
            Err(refusal) => (Err(refusal), Vec::new()),
        };
        if let Err(refusal) = &answer {
            refusal.log("call", from, uris::shown(&call.procedure));
        }
        match &answer {
            _ if is_told => {}
            Ok(payload) => {
                tell(&Reply::Result { call: &call.request, progress: false, payload }, batch);
            }
            Err(refusal) => tell(&refusal.reply(to), batch),
        }
        self.apply(&generation, effects, batch).await;
    }

    /// One call of a backend, which has no connection here to be answered on: only handlers answer
    /// it, because what a client answers comes when it comes.
    pub(crate) async fn call_for(
        &self,
        from: &Arc<Session>,
        call: &Call,
        batch: &mut PendingFlushes,
    ) -> Result<Payload, Refusal> {
        let generation = self.generations.current();
        let procedure = self.procedure(&generation, from, call).and_then(|routed| match routed {
            Some(routed) if routed.handler.hooks().contains(Hook::Call) => Ok(routed),
            Some(routed) => Err(Refusal::not_callable(from.dialect, &routed.route.name)),
            None => Err(Refusal::no_procedure(&call.procedure)),
        });
        let (answer, effects) = match procedure {
            Ok(routed) => {
                let stops = (None, pin!(pending()));
                self.ask(&routed, from, call, stops, |_| {}, batch).await
            }
            Err(refusal) => (Err(refusal), Vec::new()),
        };
        self.apply(&generation, effects, batch).await;
        answer.inspect_err(|refusal| refusal.log("call", from, uris::shown(&call.procedure)))
    }

    /// The route of the procedure, if the session may call it at all.
    fn procedure<'g, 'c>(
        &self,
        generation: &'g Generation,
        from: &Session,
        call: &'c Call,
    ) -> Result<Option<RouteMatch<'g, 'c>>, Refusal> {
        let Call { procedure, options, .. } = call;
        uris::check(from, procedure, MatchPolicy::Exact)?;
        let routed =
            self.route(generation, procedure).map_err(|_| Refusal::no_procedure(procedure))?;
        self.check_allowed(routed.as_ref(), Action::Call, from)?;
        if options.progress {
            return Err(Refusal::no_progress());
        }
        Ok(routed)
    }

    /// Asks a handler. Returns its answer, and what it wants done.
    ///
    /// When the call is stopped, one that has not begun is not begun. One that runs goes on to its
    /// end: to interrupt it would end the instance, and with it what others keep there. Its answer
    /// is dropped; what it wants done is done, as with a callee that cannot be interrupted.
    async fn ask(
        &self,
        routed: &RouteMatch<'_, '_>,
        from: &Session,
        call: &Call,
        (timeout, mut cancellation): (Option<Timeout>, Pin<&mut impl Cancellation>),
        tell_at_once: impl FnOnce(&Refusal) + Send,
        batch: &mut PendingFlushes,
    ) -> (Result<Payload, Refusal>, Vec<Effect>) {
        if let Err(error) = call.payload.check_portable() {
            return (Err(error.into()), Vec::new());
        }
        let (args, kwargs) = (call.payload.args_json(), call.payload.kwargs_json());
        let attributes = routed.attributes();
        let request = self.hook_request(routed, &attributes, Some(from));
        let has_begun = AtomicBool::new(false);
        let lane = routed.handler.lane(&call.procedure);
        let mut hook = flush_before_wait(batch, lane.on_call(&request, &args, &kwargs, &has_begun));
        let (outcome, stopped) = tokio::select! {
            biased;
            outcome = &mut hook => (outcome, None),
            stop = stop(timeout, cancellation.as_mut()) => {
                let refusal = stop.refusal();
                if !has_begun.load(Ordering::Relaxed) {
                    return (Err(refusal), Vec::new());
                }
                if stop.is_immediate() {
                    tell_at_once(&refusal);
                }
                // Calls that wait behind it can be cancelled until it has ended.
                let outcome = tokio::select! {
                    biased;
                    outcome = &mut hook => outcome,
                    never = read_on(cancellation) => match never {},
                };
                (outcome, Some(refusal))
            }
        };
        match outcome {
            Ok(HookOutcome { answer, effects }) => {
                let answer = match stopped {
                    Some(refusal) => Err(refusal),
                    None => answer.map_err(Refusal::from).and_then(|it| effects::payload(&it)),
                };
                (answer, effects)
            }
            Err(fault) => (Err(routed.failed(&fault)), Vec::new()),
        }
    }

    /// Passes the call on to a client that has registered the procedure.
    fn route_to_callee(
        &self,
        routed: Option<&RouteMatch<'_, '_>>,
        from: &Arc<Session>,
        call: &Call,
        batch: &mut PendingFlushes,
    ) -> Result<Passed, Refusal> {
        // A pattern names no procedure: its callee is judged at each call. No client answers in
        // the router's name.
        let reserved = uri::is_reserved(&call.procedure);
        let may_offer = |callee: &Session| !reserved && self.may(routed, Action::Register, callee);
        let chance = fastrand::u64(..);
        let passed = self.dealer.call(from, call, may_offer, chance, batch);
        match (passed, routed) {
            (Ok(()), _) => Ok(Passed::On),
            (Err(CallError::Repeated), _) => Ok(Passed::Repeated),
            (Err(CallError::NoSuchProcedure), Some(routed)) => {
                Err(Refusal::not_callable(from.dialect, &routed.route.name))
            }
            (Err(CallError::NoSuchProcedure), None) => Err(Refusal::no_procedure(&call.procedure)),
            (Err(CallError::Undeliverable(error)), _) => Err(error.into()),
            (
                Err(
                    error @ (CallError::TooMany
                    | CallError::TooManyOfAll
                    | CallError::CalleeBusy
                    | CallError::LongId),
                ),
                _,
            ) => Err(Refusal::unavailable(error)),
        }
    }

    /// A call with the id of an open one. Version 2 ends the session: an ERROR would be taken for
    /// the answer to the open call. WAMP v2 specification, section "Protocol Violations".
    fn reject_repeated(
        from: &Arc<Session>,
        dialogue: &wamp::Protocol,
        call: &Call,
        batch: &mut PendingFlushes,
    ) {
        let refusal = Refusal::unavailable(CallError::Repeated);
        refusal.log("call", from, uris::shown(&call.procedure));
        match call.request {
            CallId::V2(request) => from.close(CloseReason {
                reason: error_uri::PROTOCOL_VIOLATION.to_owned(),
                message: format!("CALL repeats the request id {request} of an open call"),
            }),
            CallId::V1(_) => {
                let reply = refusal.reply(ErrorTo::Call { call: &call.request });
                if let Some(message) = dialogue.reply(&reply) {
                    from.reply(frame::message(from.dialect, &message), batch);
                }
            }
        }
    }
}

impl Stop {
    fn refusal(self) -> Refusal {
        match self {
            Self::Canceled(_) => Refusal::canceled(),
            Self::TimedOut(timeout) => timeout.refusal(),
        }
    }

    /// Whether the caller is told while the handler runs. With `kill` it waits for the callee, and
    /// may rely on it that nothing of the call happens afterwards.
    fn is_immediate(self) -> bool {
        match self {
            Self::Canceled(CancelMode::Kill) => false,
            Self::Canceled(CancelMode::Skip | CancelMode::KillNoWait) | Self::TimedOut(_) => true,
        }
    }
}

impl Timeout {
    /// None where the caller gives none, or 0, or more than any clock shows.
    fn of(call: &Call, arrived: Option<Instant>) -> Option<Self> {
        let milliseconds = call.options.timeout.filter(|milliseconds| *milliseconds > 0)?;
        let arrived = arrived.unwrap_or_else(Instant::now);
        let due = arrived.checked_add(Duration::from_millis(milliseconds))?;
        Some(Self { milliseconds, due })
    }

    fn is_over(self) -> bool {
        self.due <= Instant::now()
    }

    fn refusal(self) -> Refusal {
        Refusal::timed_out(self.milliseconds)
    }
}

/// Goes on reading ahead after a call was stopped.
async fn read_on(mut cancellation: Pin<&mut impl Cancellation>) -> Infallible {
    loop {
        cancellation.as_mut().await;
    }
}

/// Of a call that cannot be cancelled.
impl Cancellation for Pending<CancelMode> {
    fn arrived(&self) -> Option<Instant> {
        None
    }
}

/// Ends when the caller cancels the call, or its time has passed.
async fn stop(timeout: Option<Timeout>, cancellation: Pin<&mut impl Cancellation>) -> Stop {
    match timeout {
        Some(timeout) => tokio::select! {
            mode = cancellation => Stop::Canceled(mode),
            () = sleep_until(timeout.due) => Stop::TimedOut(timeout),
        },
        None => Stop::Canceled(cancellation.await),
    }
}
