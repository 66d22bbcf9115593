//! The cancellation of a call that a handler answers: while the call runs, its connection reads
//! ahead, looking for CANCEL alone. Everything else keeps its place and is handled afterwards, so
//! that a session stays a straight line. WAMP v2 specification, section "Call Canceling".
//!
//! A CANCEL of the running call is what the [`ReadAhead`] ends with; [`crate::dispatch`] does the
//! rest. A call that waits behind it is taken out of the queue, and its caller is told here.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use jackfield_broker::{PendingFlushes, Session};
use jackfield_wamp::error_uri;
use jackfield_wamp::id::RequestId;
use jackfield_wamp::message::{Call, CallId, CancelMode};
use jackfield_wamp::protocol::{self as wamp, ErrorTo, Lookahead, Reply, Request};
use tokio::time::Instant;

use super::reader::Reader;
use crate::dispatch::Cancellation;
use crate::frame;

/// Messages that are read ahead during one call: it bounds what a client gains by cancelling the
/// calls that it has just sent.
const MAX_MESSAGES_PER_CALL: usize = 1_000;

/// Ends when the caller cancels the call that is about to run. Polled only while that call waits.
pub(super) struct ReadAhead<'a> {
    reader: &'a mut Reader,
    dialogue: &'a wamp::Protocol,
    caller: &'a Arc<Session>,
    /// None where there is nothing to be cancelled: for other requests, and in version 1.
    call: Option<RequestId>,
    /// Messages that may be read still.
    left: usize,
}

impl<'a> ReadAhead<'a> {
    pub(super) fn during(
        request: &Request,
        reader: &'a mut Reader,
        dialogue: &'a wamp::Protocol,
        caller: &'a Arc<Session>,
    ) -> Self {
        let call = match request {
            Request::Call(Call { request: CallId::V2(call), .. }) => Some(*call),
            _ => None,
        };
        Self { reader, dialogue, caller, call, left: MAX_MESSAGES_PER_CALL }
    }

    /// A call that has not begun is never begun. A CANCEL of another call, such as one that a client
    /// answers, waits for its turn.
    fn cancel_waiting(&mut self, call: RequestId) {
        if !self.reader.remove_call(call) {
            return;
        }
        self.reader.drop_last();
        let call = CallId::V2(call);
        let (uri, message) = (error_uri::CANCELED, "the call was cancelled before it began");
        let reply = Reply::Error { to: ErrorTo::Call { call: &call }, uri, message };
        if let Some(frame) = frame::reply(self.caller, &reply) {
            self.caller.reply(frame, &mut PendingFlushes::default());
        }
    }
}

impl Cancellation for ReadAhead<'_> {
    fn arrived(&self) -> Option<Instant> {
        self.reader.arrived()
    }
}

impl Future for ReadAhead<'_> {
    type Output = CancelMode;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<CancelMode> {
        let this = &mut *self;
        let Some(call) = this.call else { return Poll::Pending };
        while this.left > 0 {
            this.left -= 1;
            match ready!(this.reader.poll_ahead(this.dialogue, context)) {
                Lookahead::Cancel(cancel) if cancel.request == call => {
                    this.reader.drop_last();
                    return Poll::Ready(cancel.mode);
                }
                Lookahead::Cancel(cancel) => this.cancel_waiting(cancel.request),
                Lookahead::Call(_) | Lookahead::Other => {}
            }
        }
        Poll::Pending
    }
}
