//! Batches: the messages of WAMP in one message of a WebSocket, for the subprotocols `wamp.2.….batched`. WAMP v2
//! specification, section "Message Batching".
//!
//! In JSON, each message ends with a separator: the specification has 0x1e, Autobahn and Crossbar have 0x18.
//! Neither can be in JSON. In MessagePack and CBOR, each message begins with its length in four bytes.

use bytes::{Buf as _, Bytes};
use jackfield_websocket::Message;

/// The separators that clients use.
const SEPARATORS: [u8; 2] = [0x18, 0x1e];

/// The messages of a batch that are not handled yet.
#[derive(Debug)]
pub(super) struct Batch {
    is_text: bool,
    rest: Bytes,
    /// The size in bytes of the whole batch, which is in memory until its last message is taken.
    bytes: usize,
    /// The separator of the client's last message of text.
    separator: Option<u8>,
}

/// A message of a WebSocket is no batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum BatchError {
    /// It has no message.
    #[error("a batch has at least one message")]
    Empty,
    /// It ends within a message.
    #[error("a batch ends within a message, or without the separator behind it")]
    CutShort,
}

impl Batch {
    pub(super) const fn new(is_text: bool) -> Self {
        Self { is_text, rest: Bytes::new(), bytes: 0, separator: None }
    }

    /// Returns the bytes that wait: those of the whole batch.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns the separator that the client uses.
    pub(super) const fn separator(&self) -> Option<u8> {
        self.separator
    }

    /// Returns the first message of a batch. Control frames, and data of the wrong kind, stay as they are.
    ///
    /// # Errors
    /// [`BatchError`]
    pub(super) fn open(&mut self, message: Message) -> Result<Message, BatchError> {
        let batch = match (message, self.is_text) {
            (Message::Text(batch), true) | (Message::Binary(batch), false) => batch,
            (other, _) => return Ok(other),
        };
        (self.bytes, self.rest) = (batch.len(), batch);
        self.next().unwrap_or(Err(BatchError::Empty))
    }

    /// Returns the next message of the batch, if there is one.
    pub(super) fn next(&mut self) -> Option<Result<Message, BatchError>> {
        if self.rest.is_empty() {
            return None;
        }
        let message = if self.is_text { self.text() } else { self.binary() };
        if self.rest.is_empty() || message.is_none() {
            (self.rest, self.bytes) = (Bytes::new(), 0);
        }
        Some(message.ok_or(BatchError::CutShort))
    }

    fn text(&mut self) -> Option<Message> {
        let end = self.rest.iter().position(|byte| SEPARATORS.contains(byte))?;
        self.separator = self.rest.get(end).copied();
        let text = self.rest.split_to(end);
        self.rest.advance(1);
        Some(Message::Text(text))
    }

    fn binary(&mut self) -> Option<Message> {
        let length = self.rest.try_get_u32().ok()? as usize;
        (length <= self.rest.len()).then(|| Message::Binary(self.rest.split_to(length)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(is_text: bool, batch: &'static [u8]) -> Result<Vec<Bytes>, BatchError> {
        let mut reader = Batch::new(is_text);
        let payload = Bytes::from_static(batch);
        let whole = if is_text { Message::Text(payload) } else { Message::Binary(payload) };
        let mut found = vec![reader.open(whole)?];
        while let Some(message) = reader.next() {
            assert_eq!(reader.bytes() > 0, !reader.rest.is_empty());
            found.push(message?);
        }
        assert_eq!((reader.bytes(), reader.next()), (0, None));
        let payload = |message| match message {
            Message::Text(payload) | Message::Binary(payload) => payload,
            other => panic!("{other:?}"),
        };
        Ok(found.into_iter().map(payload).collect())
    }

    #[test]
    fn splits_batches_of_text_and_of_binary_data() {
        for separated in [&b"[1]\x18[2,\"\xc3\xbc\"]\x18"[..], b"[1]\x1e[2,\"\xc3\xbc\"]\x1e"] {
            assert_eq!(all(true, separated).unwrap(), [&b"[1]"[..], b"[2,\"\xc3\xbc\"]"]);
        }
        let two = b"\0\0\0\x02\x91\x01\0\0\0\x01\xc0";
        assert_eq!(all(false, two).unwrap(), [&b"\x91\x01"[..], b"\xc0"]);
        // An empty message is one, which the codec refuses.
        assert_eq!(all(true, b"\x18").unwrap(), [&b""[..]]);
        assert_eq!(all(false, b"\0\0\0\0").unwrap(), [&b""[..]]);
    }

    #[test]
    fn refuses_batches_that_are_empty_or_cut_short() {
        for is_text in [true, false] {
            assert_eq!(all(is_text, b""), Err(BatchError::Empty));
        }
        for cut in [&b"[1]"[..], b"[1]\x18[2]"] {
            assert_eq!(all(true, cut), Err(BatchError::CutShort));
        }
        for cut in [&b"\0"[..], b"\0\0\0\x02\xc0", b"\0\0\0\x01\xc0\0\0", b"\xff\xff\xff\xff"] {
            assert_eq!(all(false, cut), Err(BatchError::CutShort));
        }
    }

    #[test]
    fn leaves_other_messages_as_they_are() {
        let mut reader = Batch::new(true);
        for other in
            [Message::Ping(Bytes::new()), Message::Close(None), Message::Binary("[]".into())]
        {
            assert_eq!(reader.open(other.clone()), Ok(other));
            assert_eq!(reader.next(), None);
        }
        reader.open(Message::Text("[]\u{1e}".into())).unwrap();
        assert_eq!(reader.separator(), Some(0x1e));
    }
}
