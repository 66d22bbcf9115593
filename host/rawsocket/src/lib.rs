//! RawSocket of WAMP, without I/O: WAMP v2 specification, section "RawSocket Transport".
//!
//! A connection begins with four bytes of each side ([`Request`], [`accept`]). Then both send frames: a
//! header of four bytes, and a payload. [`FrameReader`] returns the frames in the bytes of a client, and
//! [`header`] is the one of a frame of the server.

mod frame;
mod handshake;
mod reader;

pub use frame::{Frame, FrameKind, HEADER_BYTES, MAX_PAYLOAD_BYTES, header};
pub use handshake::{HANDSHAKE_BYTES, HandshakeError, MAGIC, Request, Serializer, accept, refuse};
pub use reader::{FrameReader, ReadError};
