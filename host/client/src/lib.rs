//! WAMP v2 client for the commands that talk to a server, such as `jackfield publish`.
//!
//! It supports every serializer over `ws://` and `wss://`, and one request at a time. It works with
//! any WAMP router.
//!
//! In reading order:
//! - [`target`]: server and credentials;
//! - [`mod@client`]: a session;
//! - `error`: errors.

#![forbid(unsafe_code)]

pub mod client;
pub mod error;
pub mod target;

pub use jackfield_tls::{Authorities, HandshakeError};

pub use client::{Client, ReceivedEvent};
pub use error::ClientError;
pub use target::Target;

/// The client's name and version, sent to servers.
pub const AGENT: &str = concat!("jackfield/", env!("CARGO_PKG_VERSION"));
