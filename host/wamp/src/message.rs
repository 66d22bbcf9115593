//! Typed messages of version 2 (WAMP v2 specification, sections "Message Definitions" of the basic
//! and of the advanced profile), for both peers: the server uses one half of decoding and encoding,
//! the client the other.
//!
//! Only options that a router acts on are typed; unknown options are ignored. URIs are not
//! validated here, see [`crate::uri`].

use crate::id::{PublicationId, RegistrationId, RequestId, SessionId, SubscriptionId};
use crate::payload::Payload;
use crate::position::Since;
use crate::uri::MatchPolicy;
use crate::value::{Dict, Value};

mod decode;
mod encode;
mod kind;
mod options;
mod passthru_options;
mod reader;
mod request_header;
#[cfg(test)]
mod tests;

pub use decode::DecodeError;
pub use kind::MessageKind;
pub use options::{
    CallOptions, CancelMode, InvocationPolicy, PublishOptions, ReceiverFilter, RegisterOptions,
    RunModeError,
};
pub(crate) use reader::MessageReader;
pub(crate) use request_header::RequestHeader;

/// A message of version 2.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "each is its struct's")]
pub enum Message {
    Hello(Hello),
    Welcome(Welcome),
    Abort(Abort),
    Challenge(Challenge),
    Authenticate(Authenticate),
    Goodbye(Goodbye),
    Error(Error),
    Publish(Publish),
    Published(Published),
    Subscribe(Subscribe),
    Subscribed(Subscribed),
    Unsubscribe(Unsubscribe),
    Unsubscribed(Unsubscribed),
    Event(Event),
    Call(Call),
    Cancel(Cancel),
    Result(CallResult),
    Register(Register),
    Registered(Registered),
    Unregister(Unregister),
    Unregistered(Unregistered),
    Invocation(Invocation),
    Interrupt(Interrupt),
    Yield(Yield),
}

/// HELLO: a client opens a session. `[1, Realm, Details]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Hello {
    /// The realm to join.
    pub realm: String,
    /// Roles, authentication methods, authid, agent …
    pub details: Dict,
}

impl Hello {
    /// Returns whether the client announces a feature of a role. WAMP v2 specification, section
    /// "Feature Announcement".
    pub fn announces(&self, role: &str, feature: &str) -> bool {
        let roles = self.details.get("roles").and_then(Value::as_map);
        let role = roles.and_then(|roles| roles.get(role)).and_then(Value::as_map);
        let features = role.and_then(|role| role.get("features")).and_then(Value::as_map);
        features.and_then(|it| it.get(feature)) == Some(&Value::Bool(true))
    }
}

/// WELCOME: the router accepts. `[2, Session, Details]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Welcome {
    /// The new session.
    pub session: SessionId,
    /// Roles with features, and the client's identity.
    pub details: Dict,
}

/// ABORT: either side ends a session that is not open yet, or that violated the protocol.
/// `[3, Details, Reason, Args?, Kwargs?]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Abort {
    /// Details; `message` is a human-readable text.
    pub details: Dict,
    /// The reason, a URI.
    pub reason: String,
    /// Arguments; some routers repeat the human-readable text here.
    pub payload: Payload,
}

/// CHALLENGE: the router asks for a credential. `[4, AuthMethod, Extra]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Challenge {
    /// The authentication method, chosen from HELLO's.
    pub method: String,
    /// Parameters of the method.
    pub extra: Dict,
}

/// AUTHENTICATE: the client's credential. `[5, Signature, Extra]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Authenticate {
    /// The signature, ticket or password.
    pub signature: String,
    /// Further data of the method.
    pub extra: Dict,
}

/// GOODBYE: either side ends the session. `[6, Details, Reason]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Goodbye {
    /// Details; `message` is a human-readable text.
    pub details: Dict,
    /// The reason, a URI.
    pub reason: String,
}

/// ERROR: a request failed. `[8, RequestType, Request, Details, Error, Args?, Kwargs?]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Error {
    /// The kind of the request.
    pub request_type: MessageKind,
    /// The request's id.
    pub request: RequestId,
    /// Details; `message` is the router's human-readable text.
    pub details: Dict,
    /// The error's URI.
    pub uri: String,
    /// Arguments from the failing side.
    pub payload: Payload,
}

/// `[16, Request, Options, Topic, Args?, Kwargs?]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Publish {
    /// Chosen by the client; 0 in version 1, which has none.
    pub request: RequestId,
    /// Receivers, and whether the publisher wants an acknowledgement.
    pub options: PublishOptions,
    /// A URI; in version 1 with its prefix expanded.
    pub topic: String,
    /// The event's arguments.
    pub payload: Payload,
}

/// `[17, Request, Publication]`.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "named as in the specification")]
pub struct Published {
    pub request: RequestId,
    pub publication: PublicationId,
}

/// `[32, Request, Options, Topic]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Subscribe {
    /// Chosen by the client; 0 in version 1, which has none.
    pub request: RequestId,
    /// The match policy; exact in version 1.
    pub policy: MatchPolicy,
    /// Whether the client wants the last retained event.
    pub get_retained: bool,
    /// The position from which the client wants the events that it has missed: `_since`.
    pub since: Option<Since>,
    /// A URI or pattern; in version 1 with its prefix expanded.
    pub topic: String,
}

/// `[33, Request, Subscription]`.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "named as in the specification")]
pub struct Subscribed {
    pub request: RequestId,
    pub subscription: SubscriptionId,
}

/// A client ends its subscription.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "named as in the specification")]
pub enum Unsubscribe {
    /// Version 2: `[34, Request, Subscription]`.
    ById { request: RequestId, subscription: SubscriptionId },
    /// Version 1, which has no subscription ids. Has no encoding in version 2.
    ByTopic { topic: String },
}

/// `[35, Request]`, or `[35, 0, {"subscription": …, "reason": …}]` when the router revoked it.
#[derive(Clone, Debug, PartialEq)]
pub enum Unsubscribed {
    /// The answer to UNSUBSCRIBE.
    Done(RequestId),
    /// The router revoked it.
    Revoked {
        /// The revoked subscription.
        subscription: SubscriptionId,
        /// The reason, a URI or a text.
        reason: Option<String>,
    },
}

/// `[36, Subscription, Publication, Details, Args?, Kwargs?]`. Routers write it through
/// [`crate::event`].
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "named as in the specification")]
pub struct Event {
    pub subscription: SubscriptionId,
    pub publication: PublicationId,
    pub details: Dict,
    pub payload: Payload,
}

/// A call's id, chosen by the caller.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum CallId {
    /// Version 1: any text. Has no encoding in version 2.
    V1(String),
    /// Version 2.
    V2(RequestId),
}

/// `[48, Request, Options, Procedure, Args?, Kwargs?]`.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "named as in the specification")]
pub struct Call {
    pub request: CallId,
    pub options: CallOptions,
    pub procedure: String,
    pub payload: Payload,
}

/// `[49, Request, Options]`.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "named as in the specification")]
pub struct Cancel {
    pub request: RequestId,
    pub mode: CancelMode,
}

/// `[50, Request, Details, Args?, Kwargs?]`.
#[derive(Clone, Debug, PartialEq)]
pub struct CallResult {
    /// The call's id.
    pub request: RequestId,
    /// Whether more results follow.
    pub progress: bool,
    /// The procedure's result.
    pub payload: Payload,
}

/// `[64, Request, Options, Procedure]`.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "named as in the specification")]
pub struct Register {
    pub request: RequestId,
    pub options: RegisterOptions,
    pub procedure: String,
}

/// `[65, Request, Registration]`.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "named as in the specification")]
pub struct Registered {
    pub request: RequestId,
    pub registration: RegistrationId,
}

/// `[66, Request, Registration]`.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "named as in the specification")]
pub struct Unregister {
    pub request: RequestId,
    pub registration: RegistrationId,
}

/// `[67, Request]`, or `[67, 0, {"registration": …, "reason": …}]` when the router revoked it.
#[derive(Clone, Debug, PartialEq)]
pub enum Unregistered {
    /// The answer to UNREGISTER.
    Done(RequestId),
    /// The router revoked it.
    Revoked {
        /// The revoked registration.
        registration: RegistrationId,
        /// The reason, a URI or a text.
        reason: Option<String>,
    },
}

/// `[68, Request, Registration, Details, Args?, Kwargs?]`.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "named as in the specification")]
pub struct Invocation {
    pub request: RequestId,
    pub registration: RegistrationId,
    pub details: Dict,
    pub payload: Payload,
}

/// `[69, Request, Options]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Interrupt {
    /// The invocation's id.
    pub request: RequestId,
    /// `mode` and `reason`.
    pub options: Dict,
}

/// `[70, Request, Options, Args?, Kwargs?]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Yield {
    /// The invocation's id.
    pub request: RequestId,
    /// Whether more results follow.
    pub progress: bool,
    /// The procedure's result.
    pub payload: Payload,
}
