//! WebSocket frames of a server, without I/O: RFC 6455, section 5.
//!
//! [`MessageReader`] returns the messages in the bytes of a client. [`header()`] and [`frame()`] write
//! the frames of the server.
//!
//! With permessage-deflate (RFC 7692), which [`accept_deflate`] negotiates, messages of both sides may be
//! compressed.
//!
//! Text that clients send is checked: the messages of [`MessageReader`] are valid UTF-8 where the
//! protocol demands it, and no larger than the limit.

mod close;
mod deflate;
mod error;
mod extension;
mod header;
mod mask;
mod message;
mod opcode;
mod outgoing;
mod reader;
mod utf8;

pub use close::{CloseCode, CloseFrame};
pub use deflate::deflated;
pub use error::ReadError;
pub use extension::accept_deflate;
pub use message::Message;
pub use opcode::Opcode;
pub use outgoing::{Header, MAX_HEADER_BYTES, body, frame, frame_head, header};
pub use reader::{MAX_FRAMES, MessageReader};
