//! TLS: trusted authorities of clients, certificates of servers, and handshake errors in plain words.
//!
//! - `trust`: certificates of authorities, from a file or the operating system;
//! - [`mod@handshake`]: errors of the handshake;
//! - `server`: certificates and keys of a server;
//! - `certificate`: names and validity of a certificate.

#![forbid(unsafe_code)]

mod certificate;
pub mod handshake;
mod server;
mod trust;

pub use certificate::CertificateInfo;
pub use handshake::HandshakeError;
pub use rustls::{ClientConfig, ServerConfig};
pub use server::{
    CertificateFiles, ClientAuthorities, ServerTls, TlsFileError, TlsFileProblem, TlsFiles, TlsPart,
};
pub use trust::{Authorities, TrustError, Validity};
