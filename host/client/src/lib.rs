//! A client of WAMP v2, for the commands that talk to a server: `jackfield publish` and the like.
//!
//! It speaks every serializer, over `ws://` and `wss://`, and does one thing at a time: that is all
//! that a command needs. It knows nothing of the server's insides, and any WAMP router will do.
//!
//! In reading order:
//! - [`target`]: which server, and as whom;
//! - [`mod@client`]: a session, and what can be done with it;
//! - [`failure`]: why a command failed.

#![forbid(unsafe_code)]

pub mod client;
pub mod failure;
pub mod target;

pub use jackfield_tls::{Authorities, HandshakeError};

pub use client::{Client, Event};
pub use failure::Failure;
pub use target::Target;

/// How the client calls itself to servers.
pub const AGENT: &str = concat!("jackfield/", env!("CARGO_PKG_VERSION"));
