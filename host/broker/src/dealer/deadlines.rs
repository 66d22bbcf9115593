//! Timeouts of calls: the ends of pending calls in their order. The host waits for the next one, in
//! one task for all calls. WAMP v2 specification, section "Call Timeouts".

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use jackfield_wamp::error_uri;
use jackfield_wamp::id::{RequestId, SessionId};
use jackfield_wamp::message::{CallId, Cancel, CancelMode};
use jackfield_wamp::protocol::{ErrorTo, Reply};

use super::Dealer;
use super::session_calls::OutboundCall;
use crate::session::PendingFlushes;

/// Most calls that are ended under one lock.
const MAX_ENDS: usize = 256;

/// The ends of the pending calls that have one.
#[derive(Default)]
pub(super) struct Deadlines {
    queue: BTreeSet<(Instant, SessionId, RequestId)>,
}

impl Deadlines {
    /// Adds the end of a caller's call. Returns whether it is the earliest.
    pub(super) fn add(&mut self, caller: SessionId, call: &CallId, due: Instant) -> bool {
        // Version 1 has no timeouts.
        let CallId::V2(call) = call else { return false };
        let is_earliest = self.queue.first().is_none_or(|(first, ..)| due < *first);
        self.queue.insert((due, caller, *call));
        is_earliest
    }

    /// Removes the end of a call that has ended.
    pub(super) fn remove(&mut self, caller: SessionId, call: &CallId, due: Instant) {
        if let CallId::V2(call) = call {
            self.queue.remove(&(due, caller, *call));
        }
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}

impl Dealer {
    /// Returns the time at which the next call has to end.
    pub fn next_due(&self) -> Option<Instant> {
        self.lock().deadlines.queue.first().map(|(due, ..)| *due)
    }

    /// Ends calls that are due: their callers get an error, and their callees are interrupted.
    /// Returns the number of calls; further ones may be due.
    pub fn expire(&self, now: Instant, batch: &mut PendingFlushes) -> usize {
        let mut state = self.lock();
        let state = &mut *state;
        let mut ended = 0;
        while ended < MAX_ENDS
            && let Some((due, caller, request)) = state.deadlines.queue.first().copied()
            && due <= now
        {
            state.deadlines.queue.pop_first();
            ended += 1;
            let call = CallId::V2(request);
            let waiting = state.sessions.get(&caller).and_then(|it| it.waiting.get(&call));
            let Some(OutboundCall { callee, request, interrupted, timeout, .. }) = waiting else {
                continue;
            };
            let (callee, invocation) = (std::sync::Arc::clone(callee), *request);
            let limit = timeout.map_or(Duration::ZERO, |it| it.limit);
            if callee.features.call_canceling && !interrupted {
                let end = Cancel { request: invocation, mode: CancelMode::KillNoWait };
                self.interrupt(&callee, caller, end, error_uri::TIMEOUT, batch);
            }
            if let Some(pending) = state.take_call(callee.id, invocation) {
                let limit = limit.as_millis();
                let message = format!("the call took longer than its timeout of {limit} ms");
                let (to, uri) = (ErrorTo::Call { call: &call }, error_uri::TIMEOUT);
                self.send(&pending.caller, &Reply::Error { to, uri, message: &message }, batch);
            }
        }
        ended
    }
}
