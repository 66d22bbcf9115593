//! Errors of the client, with the server's message if there is one, escaped and bounded.

use jackfield_text::Untrusted;

use jackfield_tls::HandshakeError;

/// A request to a server failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The connection failed.
    #[error("cannot connect to {url}: {}", Untrusted::new(message))]
    Connect {
        /// The server's URL without secrets.
        url: String,
        /// The message of the system or the server.
        message: String,
    },
    /// The TLS handshake failed.
    #[error("cannot connect to {url}: {error}")]
    Tls {
        /// The server's URL without secrets.
        url: String,
        /// The error, a phrase about the server.
        error: HandshakeError,
    },
    /// The connection ended unexpectedly.
    #[error("the connection was lost: {}", Untrusted::new(.0))]
    Lost(String),
    /// The server refused the request.
    #[error("{}: {}", Untrusted::new(uri), Untrusted::new(message))]
    Refused {
        /// The WAMP error URI, or the HTTP status of a handshake.
        uri: String,
        /// A human-readable message.
        message: String,
    },
    /// The server broke the protocol.
    #[error("protocol error of the server: {}", Untrusted::new(.0))]
    Protocol(String),
}

impl ClientError {
    pub(crate) fn lost(error: impl std::fmt::Display) -> Self {
        Self::Lost(error.to_string())
    }

    pub(crate) fn protocol(error: impl std::fmt::Display) -> Self {
        Self::Protocol(error.to_string())
    }
}
