//! Cancellation of a call that a handler answers: while the call runs, its connection reads ahead
//! and looks for CANCEL alone. All other messages keep their place and are handled afterwards, so
//! that a session handles one request at a time. WAMP v2 specification, section "Call Canceling".
//!
//! [`ReadAhead`] ends with the CANCEL of the running call; [`crate::dispatch`] does the rest. A
//! waiting call behind it is removed from the queue and answered here. Messages that are handled
//! ahead of their turn count for the rates of the session; above them, no message is read ahead.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use jackfield_broker::{PendingFlushes, Session};
use jackfield_wamp::error_uri;
use jackfield_wamp::id::RequestId;
use jackfield_wamp::message::{Call, CallId, CancelMode};
use jackfield_wamp::protocol::{self as wamp, ErrorTo, Lookahead, Reply, Request};
use tokio::time::Instant;

use super::message_rate::MessageRate;
use super::reader::Reader;
use crate::dispatch::Cancellation;
use crate::frame;
use crate::metrics::{ConnectionMetrics, ReceivedKind};
use crate::transport::ClientTransport;

/// The maximum number of messages read ahead during one call. It bounds the advantage of a client
/// that cancels calls that it has just sent.
const MAX_MESSAGES_PER_CALL: usize = 1_000;

/// Ends when the caller cancels the current call. Polled only while that call waits or runs.
pub(super) struct ReadAhead<'a> {
    reader: &'a mut Reader,
    dialogue: &'a wamp::Protocol,
    caller: &'a Arc<Session>,
    counts: Counts<'a>,
    /// The call; `None` for other requests and in version 1, which cannot be cancelled.
    call: Option<RequestId>,
    /// The number of messages that may still be read ahead.
    left: usize,
}

/// The places where a message counts that is handled ahead of its turn.
pub(super) struct Counts<'a> {
    pub(super) rate: &'a mut MessageRate,
    pub(super) wire: &'a ClientTransport,
    pub(super) metrics: &'a ConnectionMetrics,
}

impl<'a> ReadAhead<'a> {
    pub(super) fn during(
        request: &Request,
        reader: &'a mut Reader,
        dialogue: &'a wamp::Protocol,
        caller: &'a Arc<Session>,
        counts: Counts<'a>,
    ) -> Self {
        let call = match request {
            Request::Call(Call { request: CallId::V2(call), .. }) => Some(*call),
            _ => None,
        };
        Self { reader, dialogue, caller, counts, call, left: MAX_MESSAGES_PER_CALL }
    }

    /// Cancels a waiting call before it begins. A CANCEL of another call, such as one that a client
    /// answers, is handled in its turn.
    fn cancel_waiting(&mut self, call: RequestId) {
        let Some(bytes) = self.reader.remove_call(call) else { return };
        self.count(ReceivedKind::Call, bytes);
        let bytes = self.reader.drop_last();
        self.count(ReceivedKind::Cancel, bytes);
        let call = CallId::V2(call);
        let (uri, message) = (error_uri::CANCELED, "the call was cancelled before it began");
        let reply = Reply::Error { to: ErrorTo::Call { call: &call }, uri, message };
        if let Some(frame) = frame::reply(self.caller, &reply) {
            self.caller.reply(frame, &mut PendingFlushes::default());
        }
    }
}

impl ReadAhead<'_> {
    /// Counts a message that was handled ahead of its turn, of this size on the wire.
    fn count(&mut self, kind: ReceivedKind, bytes: usize) {
        let Counts { rate, wire, metrics } = &mut self.counts;
        wire.count_message();
        metrics.received(kind, self.dialogue.dialect());
        if !rate.take(bytes) {
            self.left = 0;
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
                    let bytes = this.reader.drop_last();
                    this.count(ReceivedKind::Cancel, bytes);
                    return Poll::Ready(cancel.mode);
                }
                Lookahead::Cancel(cancel) => this.cancel_waiting(cancel.request),
                Lookahead::Call(_) | Lookahead::Other => {}
            }
        }
        Poll::Pending
    }
}
