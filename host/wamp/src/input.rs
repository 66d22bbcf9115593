//! Input of the protocol state machine: frames, and the requests that they contain. Both versions
//! decode into these types; [`crate::protocol`] returns them to the host.

use bytes::Bytes;

use crate::message::{
    Authenticate, Call, Cancel, Error, Hello, Publish, Register, Subscribe, Unregister,
    Unsubscribe, Yield,
};

/// One WebSocket message.
#[derive(Clone, Debug, PartialEq)]
pub enum Frame {
    /// A text message, UTF-8.
    Text(Bytes),
    /// A binary message.
    Binary(Bytes),
}

/// The meaning of a frame.
#[derive(Clone, Debug, PartialEq)]
#[expect(
    clippy::large_enum_variant,
    reason = "most inputs are requests, and a box would be an allocation for each"
)]
pub enum Input {
    /// Version 2: open a session. Answer with
    /// [`Protocol::welcome`](crate::protocol::Protocol::welcome),
    /// [`challenge`](crate::protocol::Protocol::challenge) or
    /// [`refuse`](crate::protocol::Protocol::refuse).
    Hello(Hello),
    /// Version 2: the credential for a challenge. Answer like a HELLO.
    Authenticate(Authenticate),
    /// A request for the dispatcher.
    Request(Request),
    /// Version 2: the client's GOODBYE, its answer to our GOODBYE, or its ABORT. Send the reply, if
    /// any, then close the transport.
    Goodbye {
        /// The client's reason, a URI.
        reason: String,
        /// GOODBYE, unless it is the answer to ours.
        reply: Option<Vec<u8>>,
    },
    /// A request with an unsupported value. The session continues: send the reply, if any.
    /// Publications without acknowledgement have none.
    Refused {
        /// The error, for the log; the reply has the same text.
        message: String,
        /// ERROR, or version 1's CALLERROR.
        reply: Option<Vec<u8>>,
    },
    /// No action: version 1's PREFIX, or a frame after the end.
    Nothing,
    /// A protocol violation: send the farewell, if any, then close the transport.
    Violation {
        /// The error, for the log; the farewell has the same text.
        message: String,
        /// Version 2: ABORT.
        farewell: Option<Vec<u8>>,
    },
}

/// A request in an open session.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// Subscribes to a topic or pattern.
    Subscribe(Subscribe),
    /// Ends a subscription.
    Unsubscribe(Unsubscribe),
    /// Publishes an event.
    Publish(Publish),
    /// Calls a procedure.
    Call(Call),
    /// Cancels a call.
    Cancel(Cancel),
    /// Registers a procedure.
    Register(Register),
    /// Ends a registration.
    Unregister(Unregister),
    /// Returns a procedure's result.
    Yield(Yield),
    /// A procedure's failure: an ERROR whose `request_type` is
    /// [`MessageKind::Invocation`](crate::message::MessageKind::Invocation).
    InvocationError(Error),
}
