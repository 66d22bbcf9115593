//! Relay: calls between nodes. A session that stands for a node is a callee of the procedures that the
//! clients of that node have registered; one that stands for a caller of another node exists while its calls are
//! pending. The dealer treats both as any session, and writes frames to them that only nodes read.
//!
//! ```text
//! frame:  length u32 · kind u8 · codec u8 · head · message of WAMP v2
//! CALL:   head is caller u64 · authid · authrole, texts with their length u32
//! CANCEL: head is caller u64 · the reason, a text
//! ```
//!
//! Arguments stay in the codec of their client. The request of a message is the id of the INVOCATION that the
//! caller's node has given.

use bytes::Bytes;
use jackfield_wamp::dialect::{Codec, Dialect};
use jackfield_wamp::id::{RequestId, SessionId};
use jackfield_wamp::message::{Call, CallId, Cancel, Error, Message, MessageKind, Yield};
use jackfield_wamp::payload::{MAX_DEPTH, Payload};
use jackfield_wamp::protocol::{ErrorTo, Reply};
use jackfield_wamp::value::Dict;

use crate::identity::Identity;
use crate::peers::bytes::{Input, codec_number, codec_of, put_bytes, put_u64};
use crate::session::{Features, Session};

pub use crate::node::Relay;

/// A message between the dealers of two nodes.
#[derive(Debug, PartialEq)]
pub enum RelayedMessage {
    /// A call, or further arguments of one.
    Call(RemoteCaller, Call),
    /// A caller cancels a call, or its time is over; the reason is a URI.
    Cancel(SessionId, Cancel, String),
    /// A result.
    Yield(Yield),
    /// An error of the callee.
    Failed(Error),
    /// An error of the dealer of the other node.
    Refused(Error),
}

/// A caller of another node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteCaller {
    /// Its session.
    pub session: SessionId,
    /// The user.
    pub authid: String,
    /// The first role.
    pub authrole: String,
    /// Whether the CALL brings more arguments of an earlier one.
    pub continues: bool,
}

impl RemoteCaller {
    /// Returns its identity, as far as it is known here.
    pub fn identity(&self) -> Identity {
        Identity {
            authid: self.authid.clone(),
            roles: vec![self.authrole.clone()],
            ..Identity::of_node()
        }
    }
}

impl Identity {
    /// The identity of a node, without a name.
    pub fn of_node() -> Self {
        Self {
            authid: String::new(),
            roles: Vec::new(),
            authmethod: "node".to_owned(),
            claims: "{}".to_owned(),
            anonymous_from: None,
        }
    }
}

/// The dialect of sessions that stand for others. It is not used: each frame names its codec.
pub const RELAY_DIALECT: Dialect = Dialect::V2(Codec::MessagePack);

/// The features of a node as a callee. Its dealer knows those of each callee; timeouts are kept by the
/// caller's node.
pub const NODE_FEATURES: Features = Features {
    subscription_revocation: false,
    registration_revocation: false,
    call_canceling: true,
    call_timeout: false,
    progressive_call_invocations: true,
    unpacks_calls: true,
    unpacks_results: false,
    call_reroute: false,
    publication_trustlevels: false,
    call_trustlevels: false,
};

/// The features of a caller of another node, whose dealer knows what it can unpack.
pub const CALLER_FEATURES: Features = Features { unpacks_results: true, ..NODE_FEATURES };

/// The maximum size of a frame. With the frames before it, a message has less than the 64 MiB that nodes take.
pub(crate) const MAX_BYTES: usize = 48 << 20;

/// The kinds of frames.
const CALL: u8 = 0;
const MORE: u8 = 1;
const CANCEL: u8 = 2;
const YIELD: u8 = 3;
const FAILED: u8 = 4;
const REFUSED: u8 = 5;

/// Writes a call for another node. `continues` says that it brings more arguments of an earlier one.
pub(crate) fn call(caller: &Session, call: &Call, request: RequestId, continues: bool) -> Bytes {
    let mut head = Vec::new();
    put_u64(caller.id.get(), &mut head);
    put_bytes(caller.identity.authid.as_bytes(), &mut head);
    put_bytes(caller.identity.authrole().as_bytes(), &mut head);
    let kind = if continues { MORE } else { CALL };
    let message = Message::Call(Call { request: CallId::V2(request), ..call.clone() });
    frame(kind, call.payload.codec(), &head, &message)
}

/// Writes a reply to a caller of another node. `None` of replies that callers do not get.
pub(crate) fn reply(reply: &Reply<'_>) -> Option<Bytes> {
    match *reply {
        Reply::Result { call: CallId::V2(request), progress, payload } => {
            let request = *request;
            let answer = Yield { request, progress, payload: payload.clone() };
            Some(frame(YIELD, payload.codec(), &[], &Message::Yield(answer)))
        }
        Reply::CallError { call: CallId::V2(request), uri, details, payload } => {
            let (details, payload) = (details.clone(), payload.clone());
            Some(error(FAILED, *request, uri, details, payload))
        }
        Reply::Error { to: ErrorTo::Call { call: CallId::V2(request) }, uri, message } => {
            let details = Dict::from_iter([("message", message)]);
            let payload = Payload::text(Codec::Json, message);
            Some(error(REFUSED, *request, uri, details, payload))
        }
        _ => None,
    }
}

/// Writes the end of a call for another node.
pub(crate) fn cancel(caller: SessionId, cancel: Cancel, reason: &str) -> Bytes {
    let mut head = Vec::new();
    put_u64(caller.get(), &mut head);
    put_bytes(reason.as_bytes(), &mut head);
    frame(CANCEL, Codec::Json, &head, &Message::Cancel(cancel))
}

fn error(kind: u8, request: RequestId, uri: &str, details: Dict, payload: Payload) -> Bytes {
    let (request_type, codec) = (MessageKind::Invocation, payload.codec());
    let error = Error { request_type, request, details, uri: uri.to_owned(), payload };
    frame(kind, codec, &[], &Message::Error(error))
}

fn frame(kind: u8, codec: Codec, head: &[u8], message: &Message) -> Bytes {
    let mut content = vec![kind, codec_number(codec)];
    content.extend_from_slice(head);
    message.encode(codec, &mut content);
    let mut out = Vec::with_capacity(content.len() + 4);
    put_bytes(&content, &mut out);
    out.into()
}

/// Begins a message with frames of a realm.
pub fn message_of(realm: &str) -> Vec<u8> {
    let mut message = Vec::new();
    put_bytes(realm.as_bytes(), &mut message);
    message
}

/// Reads the name of the realm of a message. The frames remain.
pub fn split_realm(message: Bytes) -> Option<(String, Bytes)> {
    let mut input = Input::new(message);
    Some((input.text()?, input.rest()))
}

impl RelayedMessage {
    /// Reads all frames of a message between nodes. Returns also whether each of them could be read.
    pub fn decode_all(bytes: Bytes) -> (Vec<Self>, bool) {
        let mut input = Input::new(bytes);
        let (mut messages, mut are_all_read) = (Vec::new(), true);
        while !input.is_empty() {
            let Some(frame) = input.bytes() else { return (messages, false) };
            let message = Self::decode(frame);
            are_all_read &= message.is_some();
            messages.extend(message);
        }
        (messages, are_all_read)
    }

    fn decode(frame: Bytes) -> Option<Self> {
        let mut input = Input::new(frame);
        let (kind, codec) = (input.u8()?, codec_of(input.u8()?)?);
        let mut caller = None;
        let (mut canceller, mut reason) = (None, String::new());
        match kind {
            CALL | MORE => {
                let session = SessionId::new(input.u64()?)?;
                let (authid, authrole) = (input.text()?, input.text()?);
                caller = Some(RemoteCaller { session, authid, authrole, continues: kind == MORE });
            }
            CANCEL => (canceller, reason) = (SessionId::new(input.u64()?), input.text()?),
            _ => {}
        }
        let message = Message::decode_within(codec, &input.rest(), MAX_DEPTH).ok()?;
        Some(match (kind, message) {
            (CALL | MORE, Message::Call(call)) => Self::Call(caller?, call),
            (CANCEL, Message::Cancel(cancel)) => Self::Cancel(canceller?, cancel, reason),
            (YIELD, Message::Yield(answer)) => Self::Yield(answer),
            (FAILED, Message::Error(error)) => Self::Failed(error),
            (REFUSED, Message::Error(error)) => Self::Refused(error),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use jackfield_wamp::message::{CallOptions, CancelMode};

    use super::*;
    use crate::outbox::{Bounds, Outbox, Overflow};
    use crate::session::Transport;

    struct Nothing;

    impl Transport for Nothing {
        fn flush(&self) {}
        fn interrupt(&self) {}
    }

    fn caller() -> Session {
        let identity = RemoteCaller {
            session: SessionId::new(7).unwrap(),
            authid: "ann".to_owned(),
            authrole: "staff".to_owned(),
            continues: false,
        };
        let bounds = Bounds { bytes: 1, frames: 1, overflow: Overflow::Disconnect };
        let outbox = Arc::new(Outbox::new(bounds));
        let id = identity.session;
        let identity = identity.identity();
        let features = Features::default();
        Session::new(id, identity, RELAY_DIALECT, features, outbox, Arc::new(Nothing))
    }

    fn read(frames: &[Bytes]) -> Vec<RelayedMessage> {
        RelayedMessage::decode_all(frames.concat().into()).0
    }

    #[test]
    fn reads_what_it_writes() {
        let request = RequestId::new(9).unwrap();
        let options = CallOptions {
            receive_progress: true,
            disclose_me: true,
            timeout: Some(5),
            progress: true,
            runmode: Some("partition".to_owned()),
            rkey: Some("a".to_owned()),
            trustlevel: Some(3),
        };
        let payload = Payload::from_json("[1.50]", r#"{"a": 1}"#).unwrap();
        let written = Call {
            request: CallId::V1("of the caller".to_owned()),
            options,
            procedure: "a.b".to_owned(),
            payload: payload.clone(),
        };
        let frames = [false, true].map(|continues| call(&caller(), &written, request, continues));
        for (message, expected) in read(&frames).into_iter().zip([false, true]) {
            let RelayedMessage::Call(from, call) = message else { panic!("{message:?}") };
            assert_eq!((from.session.get(), from.authid.as_str()), (7, "ann"));
            assert_eq!((from.authrole.as_str(), from.continues), ("staff", expected));
            assert_eq!(call, Call { request: CallId::V2(request), ..written.clone() });
        }
        let id = CallId::V2(request);
        let details = Dict::new();
        let to = ErrorTo::Call { call: &id };
        let mode = CancelMode::Kill;
        let frames = [
            Reply::Result { call: &id, progress: true, payload: &payload },
            Reply::CallError { call: &id, uri: "a.wrong", details: &details, payload: &payload },
            Reply::Error { to, uri: "a.refused", message: "why" },
        ];
        let mut frames = frames.map(|frame| reply(&frame).unwrap()).to_vec();
        frames.push(cancel(caller().id, Cancel { request, mode }, "a.reason"));
        let messages = read(&frames);
        let [
            RelayedMessage::Yield(answer),
            RelayedMessage::Failed(failed),
            RelayedMessage::Refused(refused),
            RelayedMessage::Cancel(from, cancel, reason),
        ] = &messages[..]
        else {
            panic!("{messages:?}")
        };
        assert_eq!((answer.request, answer.progress, &answer.payload), (request, true, &payload));
        assert_eq!((failed.uri.as_str(), &failed.payload), ("a.wrong", &payload));
        assert_eq!(
            (refused.uri.as_str(), &*refused.payload.args_json()),
            ("a.refused", r#"["why"]"#)
        );
        assert_eq!((from.get(), cancel.request, reason.as_str()), (7, request, "a.reason"));
        assert_eq!(cancel.mode, mode);
    }

    #[test]
    fn the_realm_is_before_the_frames() {
        let mut message = message_of("shop");
        message.extend_from_slice(b"frames");
        let message = Bytes::from(message);
        assert_eq!(split_realm(message.clone()), Some(("shop".to_owned(), "frames".into())));
        for length in 0..8 {
            assert_eq!(split_realm(message.slice(..length)), None);
        }
    }

    #[test]
    fn leaves_out_what_it_cannot_read() {
        let request = RequestId::new(9).unwrap();
        let frame = cancel(caller().id, Cancel { request, mode: CancelMode::Kill }, "a");
        for length in 0..frame.len() {
            let (messages, are_all_read) = RelayedMessage::decode_all(frame.slice(..length));
            assert_eq!((messages.len(), are_all_read), (0, length == 0), "{length}");
        }
        let unknown = Bytes::from_static(&[2, 0, 0, 0, 99, 0]);
        let both = [&unknown[..], &frame].concat().into();
        let (messages, are_all_read) = RelayedMessage::decode_all(both);
        assert_eq!((messages.len(), are_all_read), (1, false));
        assert!(RelayedMessage::decode_all(frame).1);
    }
}
