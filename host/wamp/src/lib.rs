//! WAMP without sockets: messages, codecs and sessions of protocol versions 1 and 2.
//!
//! Bytes of one WebSocket message come in, typed requests go out; typed replies come in, bytes go
//! out. Nothing here does I/O, owns a clock, spawns a task or knows of realms' contents: the host
//! carries the bytes, the broker keeps the subscriptions.
//!
//! In reading order:
//! - [`id`], [`uri`], [`error_uri`]: identifiers, which texts are URIs, and those of errors;
//! - [`dialect`]: what a connection speaks, chosen by its WebSocket subprotocol;
//! - `codec`: how JSON, MessagePack and CBOR look; nothing else knows;
//! - [`payload`]: arguments of a message as they arrived, undecoded, and their change of codec;
//! - [`value`]: decoded dictionaries (options and details);
//! - [`message`]: every message of version 2;
//! - `v1`: the messages of version 1;
//! - [`session`]: the dialogue on one connection, for both versions: frames in,
//!   [`Request`](session::Request)s out, [`Reply`](session::Reply)s in, frames out;
//! - [`event`]: an event for one dialect, the only message that is written for many receivers.

mod codec;
pub mod dialect;
pub mod error_uri;
pub mod event;
pub mod id;
pub mod message;
pub mod payload;
pub mod session;
pub mod uri;
mod v1;
pub mod value;

pub use codec::{ReadError, ReadErrorKind};
