//! CALL: a procedure is a topic whose route's handler answers calls, or one that a client has
//! registered.
//!
//! A handler's call is handled before the session's next request: a slow call delays only its own
//! session; a result that it defers delays none ([`super::deferred`]). Only CANCEL overtakes, see [`crate::connection`]; CANCEL and the option `timeout` stop
//! a call ([`stop`]). A call of a client's procedure is forwarded, and its answer comes through the
//! dealer.
//!
//! A CALL may bring more arguments of an earlier one (the option `progress`). Handlers take their
//! arguments at once, and refuse it. The other options need no action: callees choose progressive
//! results themselves, and handlers always know their callers.

use std::borrow::Cow;
use std::future::pending;
use std::pin::pin;
use std::sync::Arc;
use std::time::Instant;

use jackfield_broker::{CallError, CloseCause, CloseReason, Continued, PendingFlushes, Session};
use jackfield_routing::Action;
use jackfield_sandbox::Hook;
use jackfield_wamp::error_uri;
use jackfield_wamp::message::{Call, CallId, CallOptions, Cancel, Error, RunModeError};
use jackfield_wamp::payload::Payload;
use jackfield_wamp::protocol::{ErrorTo, Reply};
use jackfield_wamp::uri::{self, MatchPolicy};

use super::authorize::{check_allowed, may, route};
use super::authorizer::Wish;
use super::trace::{self, MessageKind};
use super::{Dispatch, NO_ROUTE, Refusal, effects, meta, reply, uris};
use crate::generation::{Generation, RouteMatch};
use crate::metrics::RequestKind;

mod stop;

pub(crate) use stop::Cancellation;
pub(super) use stop::Timeout;
use stop::{Answer, Asked};

/// The result of forwarding a call to a client.
pub(super) enum Passed {
    /// The call was sent to the callee.
    On,
    /// The id is that of a pending call.
    Repeated,
}

impl Dispatch {
    /// Handles a CALL. A handler's answer is queued before its effects.
    pub(super) async fn handle_call(
        &self,
        from: &Arc<Session>,
        call: &Call,
        cancellation: impl Cancellation,
        batch: &mut PendingFlushes,
    ) {
        match self.dealer.go_on(from, call, batch) {
            Continued::Yes => return,
            Continued::Repeated => return self.reject_repeated(from, call, batch),
            Continued::No => {}
        }
        let generation = self.generations.current();
        let (routed, disclosed) = match self.procedure(&generation, from, call, batch).await {
            Ok((routed, disclose)) => (Ok(routed), disclose.then(|| disclosed(call))),
            Err(refusal) => (Err(refusal), None),
        };
        let call = disclosed.as_ref().unwrap_or(call);
        self.answer_call(&generation, routed, from, call, cancellation, 0, batch).await;
    }

    /// Asks the procedure of a call. `depth` is the number of calls of plugins that have led to it.
    #[expect(clippy::too_many_arguments, reason = "the call, and all that may end it")]
    pub(super) async fn answer_call(
        &self,
        generation: &Generation,
        routed: Result<Option<RouteMatch<'_, '_>>, Refusal>,
        from: &Arc<Session>,
        call: &Call,
        cancellation: impl Cancellation,
        depth: u8,
        batch: &mut PendingFlushes,
    ) {
        let trace = self.trace(from, MessageKind::Call, &call.procedure, Some(&call.payload));
        let to = ErrorTo::Call { call: &call.request };
        let mut is_told = false;
        let timeout = Timeout::of(call, cancellation.arrived());
        if self.outgoing.deferred.contain(from.id, &call.request) {
            return self.reject_repeated(from, call, batch);
        }
        let asked = match routed {
            Ok(Some(routed)) if routed.has(Hook::Call) => {
                let tell_at_once = |refusal: &Refusal| {
                    is_told = true;
                    reply(from, &refusal.reply(to), &mut PendingFlushes::default());
                };
                match timeout {
                    Some(timeout) if timeout.is_over() => Asked::refused(timeout.refusal()),
                    timeout => {
                        let stops = (timeout, pin!(cancellation));
                        let at = trace::asked(trace.as_deref());
                        let asked = self
                            .ask(&routed, from, (call, depth), stops, tell_at_once, batch)
                            .await;
                        trace::answered(trace.as_deref(), Hook::Call, at, &asked.answer);
                        asked
                    }
                }
            }
            Ok(routed) => {
                let due = timeout.map(|timeout| timeout.due().into_std());
                match self.route_to_callee(generation, routed.as_ref(), from, call, due, batch) {
                    Ok(Passed::On) => {
                        return trace::accepted(trace.as_deref(), None, Some("client"));
                    }
                    Ok(Passed::Repeated) => return self.reject_repeated(from, call, batch),
                    Err(refusal) => Asked::refused(refusal),
                }
            }
            Err(refusal) => Asked::refused(refusal),
        };
        let Asked { answer, effects, passage } = asked;
        let answer = match answer {
            Ok(Answer::Now(payload)) => Ok(Some(payload)),
            Ok(Answer::Later(later)) => self.defer(from, call, later, timeout).map(|()| None),
            Err(refusal) => Err(refusal),
        };
        match (&trace, &answer) {
            (Some(trace), Ok(None)) => trace::accepted(Some(trace), None, Some("later")),
            (trace, answer) => trace::ended(trace.as_deref(), answer),
        }
        if let Err(refusal) = &answer {
            self.refused(RequestKind::Call, refusal, from, &call.procedure);
            if call.options.progress {
                self.dealer.discard_rest(from, &call.request);
            }
        }
        match &answer {
            _ if is_told => {}
            Ok(Some(payload)) => {
                let result = Reply::Result { call: &call.request, progress: false, payload };
                reply(from, &result, batch);
            }
            Ok(None) => {}
            Err(refusal) => reply(from, &refusal.reply(to), batch),
        }
        self.apply(generation, effects, passage, batch).await;
    }

    /// Handles a CANCEL of a call that a client answers, or a handler later.
    pub(super) fn handle_cancel(
        &self,
        from: &Arc<Session>,
        cancel: &Cancel,
        batch: &mut PendingFlushes,
    ) {
        if !self.outgoing.deferred.cancel(from.id, &CallId::V2(cancel.request)) {
            self.dealer.cancel(from, cancel, batch);
        }
    }

    /// Handles a callee's ERROR. The call may go to another callee, which is judged as for a CALL.
    pub(super) fn handle_error(&self, callee: &Session, error: &Error, batch: &mut PendingFlushes) {
        let chance = fastrand::u64(..);
        let is_earliest = self.dealer.fail(callee, error, self.may_offer_now(), chance, batch);
        self.note_timeout(is_earliest);
    }

    /// Returns whether a session may register a procedure by name now. Another node judges for its own
    /// callees.
    pub(super) fn may_offer_now(&self) -> impl Fn(&str, &Session) -> bool {
        |procedure, session| {
            let (generation, at) = (self.generations.current(), self.at(procedure));
            let may_register = |it: Option<RouteMatch<'_, '_>>| {
                may(&generation, at, it.as_ref(), Action::Register, session)
            };
            let is_allowed =
                || session.relay().is_some() || route(&generation, at).is_ok_and(may_register);
            !uri::is_reserved(procedure) && is_allowed()
        }
    }

    /// Handles a call of a backend, which has no connection for later answers: only handlers answer
    /// it, because a client's answer may come at any time.
    pub(crate) async fn call_for(
        &self,
        from: &Arc<Session>,
        call: &Call,
        batch: &mut PendingFlushes,
    ) -> Result<Payload, Refusal> {
        if meta::is_procedure(&call.procedure) {
            return self.answer_meta(from, call, batch).await;
        }
        let trace = self.trace(from, MessageKind::Call, &call.procedure, Some(&call.payload));
        let generation = self.generations.current();
        let procedure = self.procedure(&generation, from, call, batch).await;
        let procedure = procedure.and_then(|(routed, _)| match routed {
            Some(routed) if routed.has(Hook::Call) => Ok(routed),
            Some(routed) => Err(Refusal::not_callable(from.dialect, &routed.route.name)),
            None => Err(Refusal::no_procedure(&call.procedure)),
        });
        let asked = match procedure {
            Ok(routed) => {
                let stops = (None, pin!(pending()));
                let at = trace::asked(trace.as_deref());
                let asked = self.ask(&routed, from, (call, 0), stops, |_| {}, batch).await;
                trace::answered(trace.as_deref(), Hook::Call, at, &asked.answer);
                asked
            }
            Err(refusal) => Asked::refused(refusal),
        };
        let Asked { answer, effects, passage } = asked;
        self.apply(&generation, effects, passage, batch).await;
        let answer = match answer {
            Ok(Answer::Now(payload)) => Ok(payload),
            Ok(Answer::Later(mut later)) => {
                batch.flush();
                let limit = later.timeout;
                match tokio::time::timeout(limit, later.answer()).await {
                    Ok(answer) => {
                        answer.map_err(Refusal::from).and_then(|it| effects::payload(&it))
                    }
                    Err(_elapsed) => Err(Refusal::overdue(limit)),
                }
            }
            Err(refusal) => Err(refusal),
        };
        trace::ended(trace.as_deref(), &answer);
        answer.inspect_err(|it| self.refused(RequestKind::Call, it, from, &call.procedure))
    }

    /// Returns the route of the procedure, if the session may call it, and whether the caller is disclosed
    /// in any case.
    async fn procedure<'g, 'c>(
        &'c self,
        generation: &'g Generation,
        from: &Session,
        call: &'c Call,
        batch: &mut PendingFlushes,
    ) -> Result<(Option<RouteMatch<'g, 'c>>, bool), Refusal> {
        let routed = self.procedure_of_plugin(generation, from, call)?;
        let at = self.at(&call.procedure);
        let rule = check_allowed(generation, at, routed.as_ref(), Action::Call, from)?;
        let wish = Wish::call(from, &call.procedure, &call.options);
        let disclose = self.authorize(generation, rule, wish, batch).await?;
        self.check_arguments(routed.as_ref(), call)?;
        if let Some(routed) = routed.as_ref().filter(|it| it.has(Hook::Call)) {
            if call.options.progress {
                return Err(Refusal::no_parts(&routed.route.name));
            }
            if call.payload.passthru().is_some() {
                return Err(Refusal::no_passthru(&routed.route.name));
            }
        }
        Ok((routed, disclose))
    }

    /// Returns the route of the procedure. The operator has granted it to the plugin, whatever roles
    /// may call it.
    pub(super) fn procedure_of_plugin<'g, 'c>(
        &'c self,
        generation: &'g Generation,
        from: &Session,
        call: &'c Call,
    ) -> Result<Option<RouteMatch<'g, 'c>>, Refusal> {
        let Call { procedure, .. } = call;
        uris::check(from, procedure, MatchPolicy::Exact)?;
        match route(generation, self.at(procedure)) {
            Err(refusal) if refusal.uri() == NO_ROUTE => Err(Refusal::no_procedure(procedure)),
            routed => routed,
        }
    }

    /// Forwards the call to a client that has registered the procedure.
    pub(super) fn route_to_callee(
        &self,
        generation: &Generation,
        routed: Option<&RouteMatch<'_, '_>>,
        from: &Arc<Session>,
        call: &Call,
        due: Option<Instant>,
        batch: &mut PendingFlushes,
    ) -> Result<Passed, Refusal> {
        // A pattern names no procedure: its callee is checked at each call. No client may answer in
        // the router's name.
        let reserved = uri::is_reserved(&call.procedure);
        let at = self.at(&call.procedure);
        let may_offer = |callee: &Session| {
            let is_of_node = callee.relay().is_some();
            !reserved && (is_of_node || may(generation, at, routed, Action::Register, callee))
        };
        let chance = fastrand::u64(..);
        let call = &*with_trust_level(generation, from, call);
        let passed = self.dealer.call(from, call, may_offer, chance, due, batch);
        match (passed, routed) {
            (Ok(is_earliest), _) => {
                self.note_timeout(is_earliest);
                Ok(Passed::On)
            }
            (Err(CallError::Repeated), _) => Ok(Passed::Repeated),
            (Err(CallError::NoSuchProcedure), Some(routed)) => {
                Err(Refusal::not_callable(from.dialect, &routed.route.name))
            }
            (Err(CallError::NoSuchProcedure), None) => Err(Refusal::no_procedure(&call.procedure)),
            (Err(CallError::RunMode(error)), _) => {
                let uri = match error {
                    RunModeError::NoKey => error_uri::INVALID_ARGUMENT,
                    RunModeError::Unknown => error_uri::FEATURE_NOT_SUPPORTED,
                };
                Err(Refusal::new(uri, error.to_string()))
            }
            (Err(CallError::Undeliverable(error)), _) => Err(error.into()),
            (Err(error @ (CallError::NoParts | CallError::NoPassthru)), _) => {
                Err(Refusal::unsupported(error))
            }
            (Err(CallError::Concurrency(limit)), _) => Err(Refusal::busy_callees(limit)),
            (Err(error @ (CallError::TooMany | CallError::Quota(_) | CallError::LongId)), _) => {
                Err(Refusal::unavailable(error))
            }
        }
    }

    /// Rejects a call with the id of a pending one. Version 2 ends the session: an ERROR would look
    /// like the answer to the pending call. WAMP v2 specification, section "Protocol Violations".
    fn reject_repeated(&self, from: &Arc<Session>, call: &Call, batch: &mut PendingFlushes) {
        let refusal = Refusal::unavailable(CallError::Repeated);
        self.refused(RequestKind::Call, &refusal, from, &call.procedure);
        match call.request {
            CallId::V2(request) => {
                // A session that is closing already keeps its first reason.
                let _first = from.close(CloseReason {
                    cause: CloseCause::Violation,
                    reason: error_uri::PROTOCOL_VIOLATION.to_owned(),
                    message: format!("CALL repeats the request id {request} of an open call"),
                });
            }
            CallId::V1(_) => {
                reply(from, &refusal.reply(ErrorTo::Call { call: &call.request }), batch);
            }
        }
    }
}

/// Sets the trust level of a call, whatever its client has sent. That of a call of another node comes from there.
fn with_trust_level<'c>(generation: &Generation, from: &Session, call: &'c Call) -> Cow<'c, Call> {
    let trustlevel = match from.relay() {
        None => generation.access().trust_level(from),
        Some(_) => call.options.trustlevel,
    };
    if call.options.trustlevel == trustlevel {
        return Cow::Borrowed(call);
    }
    let options = CallOptions { trustlevel, ..call.options.clone() };
    Cow::Owned(Call { options, ..call.clone() })
}

/// Returns the call of a caller who is disclosed.
fn disclosed(call: &Call) -> Call {
    let mut call = call.clone();
    call.options.disclose_me = true;
    call
}
