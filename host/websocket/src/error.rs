//! Violations of the WebSocket protocol by a client.

use crate::close::CloseCode;
use crate::reader::MAX_FRAMES;

/// The reason for which a client's bytes cannot be read further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// A reserved bit of the header is set, although no extension that uses it was negotiated.
    #[error("a frame has reserved bits, but no extension was negotiated for them")]
    ReservedBits,
    /// The bit of compressed messages is set in a frame that does not begin a message; RFC 7692,
    /// section 6.1.
    #[error("a frame that does not begin a message is marked as compressed")]
    MisplacedCompression,
    /// A compressed message that cannot be inflated.
    #[error("a compressed message is damaged")]
    Compression,
    /// The opcode is not one of RFC 6455.
    #[error("a frame has the unknown opcode {0}")]
    UnknownOpcode(u8),
    /// Clients must mask their frames; section 5.3.
    #[error("a frame is not masked")]
    Unmasked,
    /// A control frame of several parts; section 5.5.
    #[error("a control frame is fragmented")]
    FragmentedControl,
    /// A control frame of more than 125 bytes; section 5.5.
    #[error("a control frame has more than 125 bytes")]
    LongControl,
    /// A continuation without a first part.
    #[error("a frame continues a message, but none has begun")]
    UnexpectedContinuation,
    /// A new message before the end of a fragmented one.
    #[error("a message begins within another one")]
    ExpectedContinuation,
    /// A message of more frames than the reader accepts.
    #[error("a message has more than {MAX_FRAMES} frames")]
    TooManyFrames,
    /// A text that is not UTF-8.
    #[error("a text is not UTF-8")]
    Utf8,
    /// The payload of a close frame is a single byte; section 5.5.1.
    #[error("a close frame has half a code")]
    ShortClose,
    /// The code of a close frame may not be sent; section 7.4.
    #[error("a close frame has the code {0}, which is not allowed in frames")]
    CloseCode(u16),
    /// The message is larger than the limit.
    #[error("a message of {bytes} bytes or more is larger than the limit of {limit} bytes")]
    TooLarge {
        /// The size of the message as far as it is known, in bytes.
        bytes: u64,
        /// The limit in bytes.
        limit: usize,
    },
}

impl ReadError {
    /// Returns the code of the close frame that answers this violation; RFC 6455, section 7.4.1.
    pub const fn close_code(&self) -> CloseCode {
        match self {
            Self::Utf8 | Self::Compression => CloseCode::INVALID,
            Self::TooLarge { .. } | Self::TooManyFrames => CloseCode::SIZE,
            Self::ReservedBits
            | Self::MisplacedCompression
            | Self::UnknownOpcode(_)
            | Self::Unmasked
            | Self::FragmentedControl
            | Self::LongControl
            | Self::UnexpectedContinuation
            | Self::ExpectedContinuation
            | Self::ShortClose
            | Self::CloseCode(_) => CloseCode::PROTOCOL,
        }
    }
}
