//! Messages of a client.

use bytes::Bytes;

use crate::close::CloseFrame;

/// A message, or a control frame, of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// A text, in UTF-8.
    Text(Bytes),
    /// Binary data.
    Binary(Bytes),
    /// A request for a pong with the same payload.
    Ping(Bytes),
    /// The answer to a ping, or a sign of life.
    Pong(Bytes),
    /// The end: the reader returns nothing after it.
    Close(Option<CloseFrame>),
}

impl Message {
    /// Returns the size of the payload in bytes; 0 for a close frame.
    pub const fn payload_bytes(&self) -> usize {
        match self {
            Self::Text(payload)
            | Self::Binary(payload)
            | Self::Ping(payload)
            | Self::Pong(payload) => payload.len(),
            Self::Close(_) => 0,
        }
    }
}
