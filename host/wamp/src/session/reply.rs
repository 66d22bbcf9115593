//! Answers to requests, and what the router sends unasked, in the words of either version.

use super::{message_details, message_payload};
use crate::dialect::Dialect;
use crate::id::{PublicationId, RegistrationId, RequestId, SubscriptionId};
use crate::message::{
    CallId, CallResult, CancelMode, Error, Interrupt, Invocation, Kind, Message, Published,
    Registered, Subscribed, Unregistered, Unsubscribed,
};
use crate::payload::Payload;
use crate::v1;
use crate::value::Dict;

/// Something to tell the client of a session. Events are not among them, see [`crate::event`].
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
    /// The router refuses a request. `message` is for people.
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
    /// The router took the subscription away: version 2's UNSUBSCRIBED without a request. Version 1
    /// has no words for it.
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
    /// The router took the registration away.
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
    /// The call behind an invocation is given up. `request` is the invocation's.
    Interrupt {
        request: RequestId,
        mode: CancelMode,
        reason: &'a str,
    },
}

/// What an error answers. Version 1 shows it by its topic, as its messages have no ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "named as in the specification")]
pub enum ErrorTo<'a> {
    Subscribe {
        request: RequestId,
        topic: &'a str,
    },
    /// Version 1 is silent about it.
    Unsubscribe {
        request: RequestId,
    },
    /// In version 2 only publishers that asked for an acknowledgement may be answered.
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

/// The message's bytes. None where the dialect has no words for it.
pub(crate) fn encode(dialect: Dialect, reply: &Reply<'_>) -> Option<Vec<u8>> {
    match dialect {
        Dialect::V1 => encode_v1(reply),
        Dialect::V2(codec) => {
            let message = match reply {
                Reply::Error { to, uri, message } => {
                    error(to, uri, message_details(message), message_payload(codec, message))?
                }
                Reply::CallError { call, uri, details, payload } => {
                    let to = ErrorTo::Call { call };
                    error(&to, uri, (*details).clone(), (*payload).clone())?
                }
                reply => message_of(reply)?,
            };
            Some(super::encode(codec, &message))
        }
    }
}

fn encode_v1(reply: &Reply<'_>) -> Option<Vec<u8>> {
    match reply {
        Reply::Error { to, uri, message } => match to {
            ErrorTo::Subscribe { topic, .. } => Some(refused(topic, "onSubscribe", uri, message)),
            ErrorTo::Publish { topic, .. } => Some(refused(topic, "onPublish", uri, message)),
            ErrorTo::Call { call: CallId::V1(call) } => Some(v1::refused_call(call, uri, message)),
            ErrorTo::Call { call: CallId::V2(_) }
            | ErrorTo::Unsubscribe { .. }
            | ErrorTo::Cancel { .. }
            | ErrorTo::Register { .. }
            | ErrorTo::Unregister { .. } => None,
        },
        Reply::CallError { call: CallId::V1(call), uri, payload, .. } => {
            Some(v1::call_failed(call, uri, payload))
        }
        // Results before the last are unknown to version 1.
        Reply::Result { call: CallId::V1(call), progress: false, payload } => {
            Some(v1::call_result(call, payload))
        }
        Reply::Subscribed { .. }
        | Reply::Unsubscribed { .. }
        | Reply::Published { .. }
        | Reply::CallError { .. }
        | Reply::Revoked { .. }
        | Reply::Result { .. }
        | Reply::Registered { .. }
        | Reply::Unregistered { .. }
        | Reply::RegistrationRevoked { .. }
        | Reply::Invocation { .. }
        | Reply::Interrupt { .. } => None,
    }
}

/// Version 1 has no errors for SUBSCRIBE and PUBLISH. An error of a call that was never made tells
/// those who look, and clients that know nothing of it ignore it: calls have random ids, so that
/// none is called like a topic.
fn refused(topic: &str, event: &str, uri: &str, message: &str) -> Vec<u8> {
    let details = Dict::from_iter([("topic", topic), ("event", event)]);
    v1::call_error(topic, uri, message, &details)
}

/// Version 2's ERROR. None for a call of version 1.
fn error(to: &ErrorTo<'_>, uri: &str, details: Dict, payload: Payload) -> Option<Message> {
    let (request_type, request) = match to {
        ErrorTo::Subscribe { request, .. } => (Kind::Subscribe, *request),
        ErrorTo::Unsubscribe { request } => (Kind::Unsubscribe, *request),
        ErrorTo::Publish { request, .. } => (Kind::Publish, *request),
        ErrorTo::Call { call } => (Kind::Call, id_of(call)?),
        ErrorTo::Cancel { request } => (Kind::Cancel, *request),
        ErrorTo::Register { request } => (Kind::Register, *request),
        ErrorTo::Unregister { request } => (Kind::Unregister, *request),
    };
    Some(Message::Error(Error { request_type, request, details, uri: uri.to_owned(), payload }))
}

/// Version 2's message, errors aside. None for a call of version 1.
fn message_of(reply: &Reply<'_>) -> Option<Message> {
    Some(match *reply {
        Reply::Error { .. } | Reply::CallError { .. } => return None,
        Reply::Subscribed { request, subscription } => {
            Message::Subscribed(Subscribed { request, subscription })
        }
        Reply::Unsubscribed { request } => Message::Unsubscribed(Unsubscribed::Done(request)),
        Reply::Published { request, publication } => {
            Message::Published(Published { request, publication })
        }
        Reply::Revoked { subscription, reason } => Message::Unsubscribed(Unsubscribed::Revoked {
            subscription,
            reason: Some(reason.to_owned()),
        }),
        Reply::Result { call, progress, payload } => Message::Result(CallResult {
            request: id_of(call)?,
            progress,
            payload: payload.clone(),
        }),
        Reply::Registered { request, registration } => {
            Message::Registered(Registered { request, registration })
        }
        Reply::Unregistered { request } => Message::Unregistered(Unregistered::Done(request)),
        Reply::RegistrationRevoked { registration, reason } => {
            let reason = Some(reason.to_owned());
            Message::Unregistered(Unregistered::Revoked { registration, reason })
        }
        Reply::Invocation { request, registration, details, payload } => {
            let (details, payload) = (details.clone(), payload.clone());
            Message::Invocation(Invocation { request, registration, details, payload })
        }
        Reply::Interrupt { request, mode, reason } => {
            let options = Dict::from_iter([("mode", mode.name()), ("reason", reason)]);
            Message::Interrupt(Interrupt { request, options })
        }
    })
}

const fn id_of(call: &CallId) -> Option<RequestId> {
    match call {
        CallId::V1(_) => None,
        CallId::V2(request) => Some(*request),
    }
}
