//! Call re-routing: a callee that answers `wamp.error.unavailable` loses the call to the next callee
//! of the procedure. WAMP v2 specification, section "Call Re-Routing".
//!
//! Each callee gets a call at most once. A call is kept only where a registration is shared, and only
//! while the arguments of all kept calls are within [`MAX_KEPT_BYTES`].

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use jackfield_wamp::error_uri;
use jackfield_wamp::id::{RequestId, SessionId};
use jackfield_wamp::message::{Call, CallId};
use jackfield_wamp::protocol::{ErrorTo, Reply};

use super::session_calls::{InboundCall, Kept, OutboundCall, Timeout};
use super::{Dealer, State};
use crate::registrations::{Callee, Choice};
use crate::session::{PendingFlushes, Session};

/// Most bytes of arguments that a realm keeps for other callees.
const MAX_KEPT_BYTES: usize = 16 << 20;

/// The answer of a callee that is unavailable.
pub(super) struct Unavailable<'a> {
    pub(super) callee: &'a Session,
    pub(super) request: RequestId,
}

/// The result of re-routing.
pub(super) enum Rerouted {
    /// Another callee has the call.
    Sent {
        /// Whether the call's timeout is now the earliest.
        is_earliest: bool,
    },
    /// No callee is left; the call has ended.
    NoCallee(InboundCall),
    /// The error belongs to the caller: the call cannot be re-routed.
    Unchanged,
}

impl State {
    fn caller_of(&self, callee: SessionId, request: RequestId) -> Option<(Arc<Session>, CallId)> {
        let of_callee = self.sessions.get(&callee)?;
        let InboundCall { caller, call, .. } = of_callee.handling.get(&request)?;
        Some((Arc::clone(caller), call.clone()))
    }

    fn outbound(&mut self, caller: SessionId, call: &CallId) -> Option<&mut OutboundCall> {
        self.sessions.get_mut(&caller)?.waiting.get_mut(call)
    }

    /// Returns the call to be kept, if there is room for it.
    pub(super) fn keep(&mut self, call: &Call, due: Option<Instant>) -> Option<Box<Kept>> {
        let bytes = call.payload.len() + call.procedure.len();
        if self.kept_bytes + bytes > MAX_KEPT_BYTES {
            return None;
        }
        self.kept_bytes += bytes;
        let call = Call { payload: call.payload.detached(), ..call.clone() };
        Some(Box::new(Kept { call, due, tried: HashSet::new() }))
    }
}

impl Dealer {
    /// Routes a call to the next callee of its procedure. A callee that was interrupted, or has sent
    /// a progressive result, cannot pass it on.
    pub(super) fn reroute(
        &self,
        state: &mut State,
        unavailable: &Unavailable<'_>,
        may_offer: impl Fn(&str, &Session) -> bool,
        chance: u64,
        batch: &mut PendingFlushes,
    ) -> Rerouted {
        let Unavailable { callee, request } = *unavailable;
        let Some((caller, call)) = state.caller_of(callee.id, request) else {
            return Rerouted::Unchanged;
        };
        let Some(outbound) = state.outbound(caller.id, &call).filter(|it| !it.interrupted) else {
            return Rerouted::Unchanged;
        };
        let mut kept = outbound.kept.take();
        let next = kept.as_mut().and_then(|kept| {
            kept.tried.insert(callee.id);
            self.invoke_next(state, &caller, kept, may_offer, chance, batch)
        });
        let Some((next, invocation)) = next else {
            state.kept_bytes -= kept.map_or(0, |kept| kept.bytes());
            if !callee.features.call_reroute {
                return Rerouted::Unchanged;
            }
            let pending = state.take_call(callee.id, request);
            return pending.map_or(Rerouted::Unchanged, Rerouted::NoCallee);
        };
        drop(state.take_invocation(callee.id, request));
        let forwards_timeout = next.forwards_timeout();
        let timeout = kept.as_ref().and_then(|kept| Some(Timeout::of(&kept.call, kept.due?)));
        let timeout = timeout.filter(|_| !forwards_timeout);
        let mut is_earliest = false;
        if let Some(outbound) = state.outbound(caller.id, &call) {
            (outbound.callee, outbound.request, outbound.kept) = (next.session, invocation, kept);
            if outbound.timeout.is_none() && timeout.is_some() {
                outbound.timeout = timeout;
                is_earliest =
                    timeout.is_some_and(|it| state.deadlines.add(caller.id, &call, it.due));
            }
        }
        Rerouted::Sent { is_earliest }
    }

    /// Sends INVOCATION to the first further callee that can get it.
    fn invoke_next(
        &self,
        state: &mut State,
        caller: &Arc<Session>,
        kept: &mut Kept,
        may_offer: impl Fn(&str, &Session) -> bool,
        chance: u64,
        batch: &mut PendingFlushes,
    ) -> Option<(Callee, RequestId)> {
        let Kept { call, tried, .. } = kept;
        loop {
            let offers = |callee: &Callee| may_offer(&call.procedure, &callee.session);
            let is_left = |callee: &Callee| !tried.contains(&callee.session.id);
            let wants = |callee: &Callee| caller.reaches(&callee.session);
            let by = Choice::Policy { chance };
            let chosen =
                state.registrations.choose(&call.procedure, wants, offers, is_left, by).ok()?;
            let callee = chosen.callee.clone();
            match self.invoke(state, caller, call, chosen, batch) {
                Ok(request) => return Some((callee, request)),
                Err(_) => tried.insert(callee.session.id),
            };
        }
    }

    /// Answers a call whose callees are all unavailable.
    pub(super) fn send_no_callee(&self, pending: &InboundCall, batch: &mut PendingFlushes) {
        let (to, uri) = (ErrorTo::Call { call: &pending.call }, error_uri::NO_AVAILABLE_CALLEE);
        let message = "every callee of the procedure is unavailable";
        self.send(&pending.caller, &Reply::Error { to, uri, message }, batch);
    }
}
