//! Which request a message makes that holds a value which is not taken: its beginning is read once
//! more, so that the request is answered and the session goes on. Called by the session only after
//! [`Message::decode_within`](super::Message::decode_within) has failed.

use bytes::Bytes;

use super::Kind;
use super::head::{Head, whole};
use crate::dialect::Codec;
use crate::id::RequestId;

/// The request of a message that cannot be read to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Requested {
    pub(crate) kind: Kind,
    pub(crate) request: RequestId,
    /// Whether its sender waits for an answer: not with a publication without acknowledgement.
    pub(crate) is_awaited: bool,
}

/// The request that a client's message makes; none where that cannot be made out.
pub(crate) fn requested(codec: Codec, frame: &Bytes, depth: usize) -> Option<Requested> {
    let mut head = Head::enter(codec, frame, depth).ok()?;
    let kind = Kind::from_code(whole(&head.first().ok()?)?)?;
    match kind {
        Kind::Publish
        | Kind::Subscribe
        | Kind::Unsubscribe
        | Kind::Call
        | Kind::Cancel
        | Kind::Register
        | Kind::Unregister
        | Kind::Yield => {}
        Kind::Error => {
            let code = head.id("REQUEST.Type", Some).ok()?;
            Kind::from_code(code).filter(|kind| *kind == Kind::Invocation)?;
        }
        Kind::Hello
        | Kind::Welcome
        | Kind::Abort
        | Kind::Challenge
        | Kind::Authenticate
        | Kind::Goodbye
        | Kind::Published
        | Kind::Subscribed
        | Kind::Unsubscribed
        | Kind::Event
        | Kind::Result
        | Kind::Registered
        | Kind::Unregistered
        | Kind::Invocation
        | Kind::Interrupt => return None,
    }
    let request = head.id("Request", RequestId::new).ok()?;
    let is_awaited = kind != Kind::Publish || is_acknowledged(&mut head)?;
    Some(Requested { kind, request, is_awaited })
}

/// Whether the publisher waits for PUBLISHED or ERROR; none where the options end before that.
fn is_acknowledged(head: &mut Head<'_>) -> Option<bool> {
    let mut acknowledge = false;
    let read = head.options("Options", |option| match option.key {
        "acknowledge" => option.flag(&mut acknowledge),
        _ => option.ignore(),
    });
    (acknowledge || read.is_ok()).then_some(acknowledge)
}
