//! Header of a client's request: its kind and id, read without the rest of the message. Used to
//! answer a request that holds an unsupported value, so that the session continues, and to look
//! ahead for calls and cancels.

use bytes::Bytes;

use super::MessageKind;
use super::reader::{MessageReader, whole};
use crate::dialect::Codec;
use crate::id::RequestId;

/// Kind and id of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RequestHeader {
    pub(crate) kind: MessageKind,
    pub(crate) request: RequestId,
    /// Whether the sender waits for an answer; false for a publication without acknowledgement.
    pub(crate) is_awaited: bool,
}

impl RequestHeader {
    /// Reads the header of a client's message. `None` if the message is not a request, or is
    /// damaged before its header ends.
    pub(crate) fn read(codec: Codec, frame: &Bytes, depth: usize) -> Option<Self> {
        let mut head = MessageReader::enter(codec, frame, depth).ok()?;
        let kind = MessageKind::from_code(whole(&head.first().ok()?)?)?;
        match kind {
            MessageKind::Publish
            | MessageKind::Subscribe
            | MessageKind::Unsubscribe
            | MessageKind::Call
            | MessageKind::Cancel
            | MessageKind::Register
            | MessageKind::Unregister
            | MessageKind::Yield => {}
            MessageKind::Error => {
                let code = head.id("REQUEST.Type", Some).ok()?;
                MessageKind::from_code(code).filter(|kind| *kind == MessageKind::Invocation)?;
            }
            MessageKind::Hello
            | MessageKind::Welcome
            | MessageKind::Abort
            | MessageKind::Challenge
            | MessageKind::Authenticate
            | MessageKind::Goodbye
            | MessageKind::Published
            | MessageKind::Subscribed
            | MessageKind::Unsubscribed
            | MessageKind::Event
            | MessageKind::Result
            | MessageKind::Registered
            | MessageKind::Unregistered
            | MessageKind::Invocation
            | MessageKind::Interrupt => return None,
        }
        let request = head.id("Request", RequestId::new).ok()?;
        let is_awaited = kind != MessageKind::Publish || is_acknowledged(&mut head)?;
        Some(Self { kind, request, is_awaited })
    }
}

/// Returns whether the publisher waits for PUBLISHED or ERROR. `None` if the options end earlier.
fn is_acknowledged(head: &mut MessageReader<'_>) -> Option<bool> {
    let mut acknowledge = false;
    let read = head.options("Options", |option| match option.key {
        "acknowledge" => option.flag(&mut acknowledge),
        _ => option.ignore(),
    });
    (acknowledge || read.is_ok()).then_some(acknowledge)
}
