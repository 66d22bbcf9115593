//! Output of the protocol state machine: answers to requests, and messages that the router sends on
//! its own. [`crate::protocol`] encodes them for either version; events are encoded by
//! [`crate::event`].

use crate::id::{PublicationId, RegistrationId, RequestId, SubscriptionId};
use crate::message::{CallId, CancelMode};
use crate::payload::Payload;
use crate::value::Dict;

/// A message to the client of a session, except events, see [`crate::event`].
#[derive(Clone, Copy, Debug, PartialEq)]
#[expect(missing_docs, reason = "named as in the specification")]
pub enum Reply<'a> {
    Subscribed {
        request: RequestId,
        subscription: SubscriptionId,
    },
    Unsubscribed {
        request: RequestId,
    },
    Published {
        request: RequestId,
        publication: PublicationId,
    },
    /// The router refuses a request; `message` is human-readable.
    Error {
        to: ErrorTo<'a>,
        uri: &'a str,
        message: &'a str,
    },
    /// A called procedure failed; details and payload are its own.
    CallError {
        call: &'a CallId,
        uri: &'a str,
        details: &'a Dict,
        payload: &'a Payload,
    },
    /// The router revoked the subscription: version 2's UNSUBSCRIBED without a request. Version 1
    /// has no such message.
    Revoked {
        subscription: SubscriptionId,
        reason: &'a str,
    },
    /// A called procedure's result.
    Result {
        call: &'a CallId,
        progress: bool,
        payload: &'a Payload,
    },
    Registered {
        request: RequestId,
        registration: RegistrationId,
    },
    Unregistered {
        request: RequestId,
    },
    /// The router revoked the registration.
    RegistrationRevoked {
        registration: RegistrationId,
        reason: &'a str,
    },
    Invocation {
        request: RequestId,
        registration: RegistrationId,
        details: &'a Dict,
        payload: &'a Payload,
    },
    /// The call behind an invocation is cancelled. `request` is the invocation's id.
    Interrupt {
        request: RequestId,
        mode: CancelMode,
        reason: &'a str,
    },
}

/// The request that an error answers. Version 1 identifies it by its topic, as its messages have no
/// ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "named as in the specification")]
pub enum ErrorTo<'a> {
    Subscribe {
        request: RequestId,
        topic: &'a str,
    },
    /// Version 1 sends no answer.
    Unsubscribe {
        request: RequestId,
    },
    /// In version 2 only for publications with acknowledgement.
    Publish {
        request: RequestId,
        topic: &'a str,
    },
    Call {
        call: &'a CallId,
    },
    Cancel {
        request: RequestId,
    },
    Register {
        request: RequestId,
    },
    Unregister {
        request: RequestId,
    },
}
