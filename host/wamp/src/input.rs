//! Input of the protocol state machine: frames, and what they ask for. Both versions decode into
//! these types; [`crate::protocol`] hands them to the host.

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
    /// Version 2: the client says goodbye, answers our GOODBYE, or aborts. Send the reply, if any,
    /// then close the transport.
    Goodbye {
        /// The client's reason, a URI.
        reason: String,
        /// GOODBYE, unless it is the answer to ours.
        reply: Option<Vec<u8>>,
    },
    /// A request with an unsupported value. The session goes on: send the reply, if any.
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
    /// Receive events of a topic.
    Subscribe(Subscribe),
    /// End a subscription.
    Unsubscribe(Unsubscribe),
    /// Publish an event.
    Publish(Publish),
    /// Call a procedure.
    Call(Call),
    /// Cancel a call.
    Cancel(Cancel),
    /// Register a procedure.
    Register(Register),
    /// End a registration.
    Unregister(Unregister),
    /// A procedure's result.
    Yield(Yield),
    /// A procedure's failure: an ERROR whose `request_type` is [`MessageKind::Invocation`](crate::message::MessageKind::Invocation).
    InvocationError(Error),
}
