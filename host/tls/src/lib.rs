//! TLS from the client's side: which certificates are trusted, and why a handshake failed, in words
//! for people. The command-line client and the look-up of users share it.
//!
//! - [`mod@trust`]: certificates of authorities, from a file or from the operating system;
//! - [`mod@handshake`]: what an error of the handshake means.

#![forbid(unsafe_code)]

pub mod handshake;
pub mod trust;

pub use handshake::HandshakeError;
pub use rustls::ClientConfig;
pub use trust::{Authorities, TrustError};
