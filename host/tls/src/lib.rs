//! TLS: trusted authorities of clients, certificates of servers, and handshake errors in plain words.
//!
//! - `trust`: certificates of authorities, from a file or the operating system;
//! - [`mod@handshake`]: errors of the handshake;
//! - `server`: certificates and keys of a server;
//! - `pinned`: trust in one certificate;
//! - `certificate`: names and validity of a certificate.

#![forbid(unsafe_code)]

mod certificate;
pub mod handshake;
mod pinned;
mod server;
mod trust;

pub use certificate::CertificateInfo;
pub use handshake::HandshakeError;
pub use pinned::trust_in;
pub use rustls::{ClientConfig, ServerConfig};
pub use server::{
    CertificateFiles, ClientAuthorities, ServerTls, TlsFileError, TlsFileProblem, TlsFiles, TlsPart,
};
pub use trust::{Authorities, TrustError, Validity};
