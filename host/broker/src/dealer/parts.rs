//! Progressive call invocations: the arguments of one call in several CALLs with one id. WAMP v2
//! specification, section "Progressive Call Invocations".
//!
//! All CALLs of a call go to the callee of the first one, with its options. If the call ends before
//! its last CALL, the rest is discarded: the caller may have sent it before it knew.

use std::sync::Arc;

use jackfield_wamp::error_uri;
use jackfield_wamp::id::RequestId;
use jackfield_wamp::message::{Call, CallId, Cancel, CancelMode};
use jackfield_wamp::protocol::Reply;
use jackfield_wamp::value::Value;

use super::details::details;
use super::session_calls::{OutboundCall, Parts, SessionCalls};
use super::{Dealer, State, forward_within};
use crate::publication::DeliveryError;
use crate::registrations::ChosenCallee;
use crate::relay;
use crate::session::{PendingFlushes, Session};

/// The result of [`Dealer::go_on`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Continued {
    /// The CALL begins a call.
    No,
    /// The CALL belongs to an earlier one, and is done.
    Yes,
    /// The CALL repeats the id of a pending call that has all its arguments.
    Repeated,
}

/// Returns whether the callee takes arguments in parts.
pub(super) fn takes_parts(callee: &Session) -> bool {
    callee.features.progressive_call_invocations && callee.features.call_canceling
}

impl Parts {
    pub(super) fn of(caller: &Session, call: &Call, chosen: &ChosenCallee) -> Self {
        let ChosenCallee { registration, pattern, shared: _, callee } = chosen;
        let details = details(caller, call, callee, *pattern);
        Self { registration: *registration, details }
    }
}

impl Dealer {
    /// Routes a CALL that continues an earlier one to its callee, or discards it if that call has
    /// ended.
    pub fn go_on(
        &self,
        caller: &Arc<Session>,
        call: &Call,
        batch: &mut PendingFlushes,
    ) -> Continued {
        let mut state = self.lock();
        let state = &mut *state;
        let Some(of_caller) = state.sessions.get_mut(&caller.id) else { return Continued::No };
        let is_last = !call.options.progress;
        let Some(outbound) = of_caller.waiting.get_mut(&call.request) else {
            let is_rest = of_caller.ended.take(&call.request, is_last);
            return if is_rest { Continued::Yes } else { Continued::No };
        };
        let OutboundCall { callee, request, parts, interrupted, .. } = outbound;
        let Some(first) = parts else { return Continued::Repeated };
        if *interrupted {
            // The callee was told to end.
            if is_last {
                *parts = None;
            }
            return Continued::Yes;
        }
        let (callee, request, registration) = (Arc::clone(callee), *request, first.registration);
        let mut details = first.details.clone();
        if is_last {
            *parts = None;
        } else {
            details.insert("progress", true);
        }
        if callee.relay().is_some() {
            // Its node compares the parts.
            let frame = relay::call(caller, call, request, true);
            let forwarded = forward_within(&callee, frame, relay::MAX_BYTES, batch);
            if forwarded.is_err() {
                self.break_off(state, &callee, request, batch);
                self.send_undeliverable(forwarded, caller, &call.request, batch);
            }
            return Continued::Yes;
        }
        let payload = &call.payload;
        // The attributes of the first CALL count. A part that is packed in another way would lose its own.
        let packing = payload.passthru().map(|it| it.entries().collect::<Vec<_>>());
        let is_packed_alike = packing.is_none_or(|entries| {
            entries
                .iter()
                .all(|(key, value)| details.get(key).and_then(Value::as_text) == Some(value))
        });
        let invocation = Reply::Invocation { request, registration, details: &details, payload };
        let forwarded = if is_packed_alike {
            self.forward(&callee, &invocation, payload, batch)
        } else {
            Err(DeliveryError::NoPassthru)
        };
        if forwarded.is_err() {
            self.break_off(state, &callee, request, batch);
            self.send_undeliverable(forwarded, caller, &call.request, batch);
        }
        Continued::Yes
    }

    /// Ends a call whose next part cannot be sent.
    fn break_off(
        &self,
        state: &mut State,
        callee: &Arc<Session>,
        request: RequestId,
        batch: &mut PendingFlushes,
    ) {
        if let Some(pending) = state.take_call(callee.id, request) {
            let end = Cancel { request, mode: CancelMode::KillNoWait };
            self.interrupt(callee, pending.caller.id, end, error_uri::CANCELED, batch);
        }
    }

    /// Notes that a call with arguments in parts was refused at its first CALL: the rest is
    /// discarded.
    pub fn discard_rest(&self, caller: &Arc<Session>, call: &CallId) {
        let mut state = self.lock();
        let of_caller =
            state.sessions.entry(caller.id).or_insert_with(|| SessionCalls::new(caller));
        of_caller.ended.add(call);
    }
}
