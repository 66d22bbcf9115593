//! WAMP without sockets (sans-I/O): messages, codecs and the protocol state machine of versions 1
//! and 2.
//!
//! The host carries the bytes, the broker keeps the subscriptions. The crate does no I/O, reads no
//! clock and spawns no tasks.
//!
//! In reading order:
//! - [`id`], [`uri`], [`error_uri`]: identifiers, the syntax of URIs, and the URIs of errors;
//! - [`dialect`]: protocol version and codec of a connection, negotiated as its WebSocket
//!   subprotocol;
//! - `codec`: JSON, MessagePack and CBOR;
//! - `passthru`: attributes of payloads that clients have packed;
//! - [`payload`]: undecoded arguments of a message, and their translation between codecs;
//! - [`value`]: decoded dictionaries (options and details);
//! - [`position`]: positions in the history of a topic;
//! - [`message`]: every message of version 2;
//! - [`meta`]: URIs of the meta API;
//! - `input`, `reply`: requests of a client, and answers of the router, in either version;
//! - `v1`: the messages of version 1;
//! - [`protocol`]: the state machine of one connection, for both versions: frames in,
//!   [`Request`](protocol::Request)s out; [`Reply`](protocol::Reply)s in, frames out;
//! - [`event`]: encoding of EVENT, the only message with many receivers.

mod codec;
pub mod dialect;
pub mod error_uri;
pub mod event;
pub mod id;
mod input;
pub mod message;
pub mod meta;
mod passthru;
pub mod payload;
pub mod position;
pub mod protocol;
mod reply;
pub mod uri;
mod v1;
pub mod value;

pub use codec::{ReadError, ReadErrorKind};
pub use passthru::Passthru;
