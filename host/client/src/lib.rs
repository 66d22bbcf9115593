//! A client of WAMP v2, for the commands that talk to a server: `jackfield publish` and the like.
//!
//! It speaks every serializer, over `ws://` and `wss://`, and does one thing at a time: that is all
//! that a command needs. It knows nothing of the server's insides, and any WAMP router will do.
//!
//! In reading order:
//! - [`target`]: which server, and as whom;
//! - [`mod@client`]: a session, and what can be done with it;
//! - [`failure`]: why that was not to be.

#![forbid(unsafe_code)]

pub mod client;
pub mod failure;
pub mod target;

// Named for its features alone, see the manifest.
use rustls as _;

pub use client::{Client, Event};
pub use failure::Failure;
pub use target::Target;

/// How the client calls itself to servers.
pub const AGENT: &str = concat!("jackfield/", env!("CARGO_PKG_VERSION"));
