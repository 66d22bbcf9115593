//! Calls between clients: CALL and INVOCATION, YIELD and RESULT, ERROR, CANCEL and INTERRUPT.

use std::sync::Arc;
use std::time::Instant;

use jackfield_wamp::error_uri;
use jackfield_wamp::id::{RequestId, SessionId};
use jackfield_wamp::message::{Call, CallId, Cancel, CancelMode, Error, Yield};
use jackfield_wamp::payload::Payload;
use jackfield_wamp::protocol::Reply;

use super::details::details;
use super::error::{CallError, MAX_CALL_ID_BYTES, MAX_CALLS, callee_calls, open_calls};
use super::parts::takes_parts;
use super::reroute::{Rerouted, Unavailable};
use super::session_calls::{InboundCall, OutboundCall, Parts, SessionCalls, Timeout};
use super::{Dealer, State, forward_within};
use crate::publication::DeliveryError;
use crate::registrations::{Callee, Choice, ChosenCallee};
use crate::relay;
use crate::session::{PendingFlushes, Session};
use crate::spread::hash;

impl Dealer {
    /// Routes a call to a callee. Callees of pattern registrations are candidates where `may_offer`
    /// returns true; it is called under the lock and must be quick. `chance` is a random number, and
    /// `due` the end of the call's timeout, if it has one. Returns whether that is the earliest.
    ///
    /// # Errors
    /// [`CallError`]; nothing is queued then, and the caller has to be answered.
    pub fn call(
        &self,
        caller: &Arc<Session>,
        call: &Call,
        may_offer: impl Fn(&Session) -> bool,
        chance: u64,
        due: Option<Instant>,
        batch: &mut PendingFlushes,
    ) -> Result<bool, CallError> {
        let mut state = self.lock();
        let state = &mut *state;
        let may_offer = |callee: &Callee| may_offer(&callee.session);
        let wants = |callee: &Callee| caller.reaches(&callee.session);
        let shard = call.options.shard()?.map(hash);
        let by = match shard {
            None => Choice::Policy { chance },
            Some(key) => Choice::Shard { key, node: state.node },
        };
        let chosen = state.registrations.choose(&call.procedure, wants, may_offer, |_| true, by)?;
        if matches!(&call.request, CallId::V1(id) if id.len() > MAX_CALL_ID_BYTES) {
            return Err(CallError::LongId);
        }
        let of_caller = state.sessions.get(&caller.id);
        if of_caller.is_some_and(|it| it.relay != caller.relay()) {
            return Err(CallError::Repeated);
        }
        let waiting = of_caller.map(|it| &it.waiting);
        if waiting.is_some_and(|waiting| waiting.contains_key(&call.request)) {
            return Err(CallError::Repeated);
        }
        if waiting.is_some_and(|waiting| waiting.len() >= MAX_CALLS) {
            return Err(CallError::TooMany);
        }
        state.calls.check(caller.client, open_calls(state.limits.client_percent))?;
        let (callee, is_shared) = (Arc::clone(&chosen.callee.session), chosen.shared);
        let forwards_timeout = chosen.callee.forwards_timeout();
        let has_parts = call.options.progress;
        if has_parts && !takes_parts(&callee) {
            return Err(CallError::NoParts);
        }
        let parts = has_parts.then(|| Box::new(Parts::of(caller, call, &chosen)));
        let request = self.invoke(state, caller, call, chosen, batch)?;
        state.calls.add(caller.client);
        let timeout = due.filter(|_| !forwards_timeout).map(|due| Timeout::of(call, due));
        let is_earliest =
            timeout.is_some_and(|it| state.deadlines.add(caller.id, &call.request, it.due));
        // The next callee would lack the parts that the first one got, or the data of the resource key.
        let kept =
            if is_shared && !has_parts && shard.is_none() { state.keep(call, due) } else { None };
        let interrupted = false;
        let outbound = OutboundCall { callee, request, interrupted, timeout, parts, kept };
        let of_caller =
            state.sessions.entry(caller.id).or_insert_with(|| SessionCalls::new(caller));
        of_caller.waiting.insert(call.request.clone(), outbound);
        Ok(is_earliest)
    }

    /// Sends INVOCATION to the chosen callee, and adds the call to those that it handles.
    pub(super) fn invoke(
        &self,
        state: &mut State,
        caller: &Arc<Session>,
        call: &Call,
        chosen: ChosenCallee,
        batch: &mut PendingFlushes,
    ) -> Result<RequestId, CallError> {
        let ChosenCallee { registration, pattern, shared: _, callee } = chosen;
        // Not every callee with progressive results announces them: Wampy announces nothing.
        let progress = call.options.receive_progress;
        if call.payload.passthru().is_some() && !callee.session.features.unpacks_calls {
            return Err(CallError::NoPassthru);
        }
        let of_callee = state.sessions.entry(callee.session.id);
        let handling = of_callee.or_insert_with(|| SessionCalls::new(&callee.session));
        handling.callers.check(caller.client, callee_calls(state.limits.client_percent))?;
        let request = handling.next_invocation();
        if callee.session.relay().is_some() {
            let frame = relay::call(caller, call, request, false);
            forward_within(&callee.session, frame, relay::MAX_BYTES, batch)?;
        } else {
            let mut details = details(caller, call, &callee, pattern);
            if call.options.progress {
                details.insert("progress", true);
            }
            let (details, payload) = (&details, &call.payload);
            let invocation = Reply::Invocation { request, registration, details, payload };
            self.forward(&callee.session, &invocation, payload, batch)?;
        }
        let (caller, call) = (Arc::clone(caller), call.request.clone());
        handling.callers.add(caller.client);
        let pending = InboundCall { caller, call, progress, _busy: callee.load.busy() };
        handling.handling.insert(request, pending);
        Ok(request)
    }

    /// Returns whether the call with this id is pending.
    pub fn is_open(&self, caller: SessionId, call: &CallId) -> bool {
        self.lock()
            .sessions
            .get(&caller)
            .is_some_and(|session_calls| session_calls.waiting.contains_key(call))
    }

    /// Routes a callee's result to the caller. Ignored if the call is not pending. A progressive
    /// result starts the call's timeout again; `clock` is asked for one only.
    pub fn answer(
        &self,
        callee: &Session,
        answer: &Yield,
        clock: impl FnOnce() -> Instant,
        batch: &mut PendingFlushes,
    ) {
        let mut state = self.lock();
        let Yield { request, progress, payload } = answer;
        let mut forwarded = Ok(());
        if *progress {
            let session_calls = state.sessions.get(&callee.id);
            let pending =
                session_calls.and_then(|session_calls| session_calls.handling.get(request));
            let Some(InboundCall { caller, call, progress: true, .. }) = pending else { return };
            let reply = Reply::Result { call, progress: true, payload };
            forwarded = self.forward_answer(caller, &reply, payload, batch);
            if forwarded.is_ok() {
                let (caller, call) = (caller.id, call.clone());
                state.has_progressed(caller, &call, clock);
                return;
            }
        }
        if let Some(InboundCall { caller, call, .. }) = state.take_call(callee.id, *request) {
            let reply = Reply::Result { call: &call, progress: false, payload };
            let forwarded =
                forwarded.and_then(|()| self.forward_answer(&caller, &reply, payload, batch));
            self.send_undeliverable(forwarded, &caller, &call, batch);
        }
    }

    /// Routes a callee's error to the caller; `wamp.error.unavailable` routes the call to another
    /// callee of the procedure, chosen as in [`Dealer::call`]. Ignored if the call is not pending.
    /// Returns whether the earliest timeout of all calls is now earlier.
    pub fn fail(
        &self,
        callee: &Session,
        error: &Error,
        may_offer: impl Fn(&str, &Session) -> bool,
        chance: u64,
        batch: &mut PendingFlushes,
    ) -> bool {
        let is_unavailable = error.uri == error_uri::UNAVAILABLE;
        self.pass_on(callee, error, is_unavailable, may_offer, chance, batch)
    }

    /// [`Dealer::fail`], which routes the call to another callee if this one `is_unavailable`.
    pub(super) fn pass_on(
        &self,
        callee: &Session,
        error: &Error,
        is_unavailable: bool,
        may_offer: impl Fn(&str, &Session) -> bool,
        chance: u64,
        batch: &mut PendingFlushes,
    ) -> bool {
        let mut state = self.lock();
        let state = &mut *state;
        if is_unavailable {
            let unavailable = Unavailable { callee, request: error.request };
            match self.reroute(state, &unavailable, may_offer, chance, batch) {
                Rerouted::Sent { is_earliest } => return is_earliest,
                Rerouted::NoCallee(pending) => {
                    self.send_no_callee(&pending, batch);
                    return false;
                }
                Rerouted::Unchanged => {}
            }
        }
        if let Some(InboundCall { caller, call, .. }) = state.take_call(callee.id, error.request) {
            let Error { details, uri, payload, .. } = error;
            let reply = Reply::CallError { call: &call, uri, details, payload };
            let forwarded = self.forward_answer(&caller, &reply, payload, batch);
            self.send_undeliverable(forwarded, &caller, &call, batch);
        }
        false
    }

    /// Sends a callee's payload to the caller, if the caller can unpack it.
    fn forward_answer(
        &self,
        caller: &Arc<Session>,
        reply: &Reply<'_>,
        payload: &Payload,
        batch: &mut PendingFlushes,
    ) -> Result<(), DeliveryError> {
        if payload.passthru().is_some() && !caller.features.unpacks_results {
            return Err(DeliveryError::NoPassthru);
        }
        self.forward(caller, reply, payload, batch)
    }

    /// Cancels a call. A callee without call canceling is not interrupted.
    pub fn cancel(&self, caller: &Arc<Session>, cancel: &Cancel, batch: &mut PendingFlushes) {
        self.cancel_because(caller.id, cancel, error_uri::CANCELED, batch);
    }

    /// [`Dealer::cancel`] with a reason for the callee, a URI.
    pub(super) fn cancel_because(
        &self,
        caller: SessionId,
        cancel: &Cancel,
        reason: &str,
        batch: &mut PendingFlushes,
    ) {
        let mut state = self.lock();
        let call = CallId::V2(cancel.request);
        let session_calls = state.sessions.get_mut(&caller);
        let Some(outbound) =
            session_calls.and_then(|session_calls| session_calls.waiting.get_mut(&call))
        else {
            return;
        };
        let OutboundCall { callee, request, interrupted, .. } = outbound;
        let (callee, request) = (Arc::clone(callee), *request);
        let interrupt = cancel.mode != CancelMode::Skip && callee.features.call_canceling;
        if interrupt && !std::mem::replace(interrupted, true) {
            let end = Cancel { request, mode: cancel.mode };
            self.interrupt(&callee, caller, end, reason, batch);
        }
        if interrupt && cancel.mode == CancelMode::Kill {
            // The callee's answer will be forwarded to the caller.
            return;
        }
        if let Some(pending) = state.take_call(callee.id, request) {
            self.send_canceled(&pending.caller, &call, "the call was cancelled", batch);
        }
    }
}

impl State {
    /// Removes a pending call from both its sessions, so that it is answered once.
    pub(super) fn take_call(
        &mut self,
        callee: SessionId,
        request: RequestId,
    ) -> Option<InboundCall> {
        let pending = self.take_invocation(callee, request)?;
        self.calls.remove(pending.caller.client, 1);
        self.end_waiting(pending.caller.id, &pending.call);
        Some(pending)
    }

    /// Removes a pending call from its callee.
    pub(super) fn take_invocation(
        &mut self,
        callee: SessionId,
        request: RequestId,
    ) -> Option<InboundCall> {
        let of_callee = self.sessions.get_mut(&callee)?;
        let pending = of_callee.handling.remove(&request)?;
        of_callee.callers.remove(pending.caller.client, 1);
        Some(pending)
    }

    /// Removes a pending call from its caller.
    pub(super) fn end_waiting(&mut self, caller: SessionId, call: &CallId) {
        let Some(of_caller) = self.sessions.get_mut(&caller) else { return };
        let Some(outbound) = of_caller.waiting.remove(call) else { return };
        if outbound.parts.is_some() {
            of_caller.ended.add(call);
        }
        if of_caller.is_over() {
            self.sessions.remove(&caller);
        }
        self.release(caller, call, &outbound);
    }

    /// Ends the timeout of a call that has ended, and the place of its kept arguments.
    pub(super) fn release(&mut self, caller: SessionId, call: &CallId, outbound: &OutboundCall) {
        let OutboundCall { timeout, kept, .. } = outbound;
        if let Some(Timeout { due, .. }) = timeout {
            self.deadlines.remove(caller, call, *due);
        }
        self.kept_bytes -= kept.as_ref().map_or(0, |kept| kept.bytes());
    }

    /// Notes a progressive result: the timeout starts again, and no other callee gets the call.
    fn has_progressed(
        &mut self,
        caller: SessionId,
        call: &CallId,
        clock: impl FnOnce() -> Instant,
    ) {
        let of_caller = self.sessions.get_mut(&caller);
        let Some(outbound) = of_caller.and_then(|it| it.waiting.get_mut(call)) else { return };
        self.kept_bytes -= outbound.kept.take().map_or(0, |kept| kept.bytes());
        if let Some(Timeout { limit, due }) = &mut outbound.timeout
            && let Some(later) = clock().checked_add(*limit)
        {
            self.deadlines.remove(caller, call, *due);
            *due = later;
            self.deadlines.add(caller, call, later);
        }
    }
}
