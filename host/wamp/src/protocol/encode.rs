//! Encoding of replies: version 2's messages here, version 1's in [`crate::v1`].

use super::{message_details, message_payload};
use crate::dialect::Dialect;
use crate::id::RequestId;
use crate::message::{
    CallId, CallResult, Error, Interrupt, Invocation, Message, MessageKind, Published, Registered,
    Subscribed, Unregistered, Unsubscribed,
};
use crate::payload::Payload;
use crate::reply::{ErrorTo, Reply};
use crate::v1;
use crate::value::Dict;

impl Reply<'_> {
    /// Returns the message's bytes. `None` if the version has no such message.
    pub fn encode(&self, dialect: Dialect) -> Option<Vec<u8>> {
        match dialect {
            Dialect::V1 => v1::reply(self),
            Dialect::V2(codec) => {
                let message = match self {
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
}

/// Returns version 2's ERROR. `None` for a call of version 1.
fn error(to: &ErrorTo<'_>, uri: &str, details: Dict, payload: Payload) -> Option<Message> {
    let (request_type, request) = match to {
        ErrorTo::Subscribe { request, .. } => (MessageKind::Subscribe, *request),
        ErrorTo::Unsubscribe { request } => (MessageKind::Unsubscribe, *request),
        ErrorTo::Publish { request, .. } => (MessageKind::Publish, *request),
        ErrorTo::Call { call } => (MessageKind::Call, id_of(call)?),
        ErrorTo::Cancel { request } => (MessageKind::Cancel, *request),
        ErrorTo::Register { request } => (MessageKind::Register, *request),
        ErrorTo::Unregister { request } => (MessageKind::Unregister, *request),
    };
    Some(Message::Error(Error { request_type, request, details, uri: uri.to_owned(), payload }))
}

/// Returns version 2's message, except errors. `None` for a call of version 1.
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
