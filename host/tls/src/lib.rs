//! TLS of clients: trusted authorities, and handshake errors in plain words. The command-line
//! client and the user lookup share it.
//!
//! - `trust`: certificates of authorities, from a file or the operating system;
//! - [`mod@handshake`]: errors of the handshake.

#![forbid(unsafe_code)]

pub mod handshake;
mod trust;

pub use handshake::HandshakeError;
pub use rustls::ClientConfig;
pub use trust::{Authorities, TrustError, Validity};
