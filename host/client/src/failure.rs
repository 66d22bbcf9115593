//! Why a command did not come to its end: where it failed, in the server's own words where there
//! are any; those are shown escaped and bounded.

use jackfield_text::Untrusted;

use jackfield_tls::HandshakeError;

/// Why a command did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// There is no WebSocket to be had, or not any more.
    #[error("cannot connect to {url}: {}", Untrusted::new(message))]
    Connect {
        /// The server's, without what is secret in it.
        url: String,
        /// What the system or the server said.
        message: String,
    },
    /// The server is not trusted, or does not speak TLS.
    #[error("cannot connect to {url}: {error}")]
    Tls {
        /// The server's, without what is secret in it.
        url: String,
        /// About the server.
        error: HandshakeError,
    },
    /// The connection ended before its time.
    #[error("the connection was lost: {}", Untrusted::new(.0))]
    Lost(String),
    /// The server said no.
    #[error("{}: {}", Untrusted::new(uri), Untrusted::new(message))]
    Refused {
        /// WAMP's error URI; of a handshake, the HTTP status.
        uri: String,
        /// For people.
        message: String,
    },
    /// The server said something that is not understood.
    #[error("the server does not speak WAMP v2 as it should: {}", Untrusted::new(.0))]
    Garbled(String),
}

impl Failure {
    pub(crate) fn lost(error: impl std::fmt::Display) -> Self {
        Self::Lost(error.to_string())
    }

    pub(crate) fn garbled(error: impl std::fmt::Display) -> Self {
        Self::Garbled(error.to_string())
    }
}
