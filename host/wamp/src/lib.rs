//! WAMP without sockets: messages, codecs and sessions of protocol versions 1 and 2.
//!
//! Bytes of one WebSocket message come in, typed requests go out; typed replies come in, bytes go
//! out. Nothing here does I/O, owns a clock, spawns a task or knows of realms' contents: the host
//! carries the bytes, the broker keeps the subscriptions.
//!
//! In reading order:
//! - [`id`], [`uri`]: identifiers, and which texts are URIs;
//! - [`dialect`]: what a connection speaks, chosen by its WebSocket subprotocol;
//! - [`payload`]: arguments of a message as they arrived, undecoded, and their change of codec;
//! - [`value`]: decoded dictionaries (options and details);
//! - [`message`]: every message of version 2, and [`codec`] that reads and writes them;
//! - [`v1`]: the messages of version 1;
//! - [`session`]: the dialogue on one connection, for both versions: frames in, [`Request`]s out,
//!   [`Reply`]s in, frames out;
//! - [`event`]: an event for one dialect, the only message that is written for many receivers.

pub mod dialect;
pub mod id;
