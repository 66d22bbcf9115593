//! Errors of a run, with the server's message if there is one, and a help line.

use std::net::SocketAddr;

use jackfield_tls::HandshakeError;

use crate::protocol::ProtocolError;

/// A run ended without a result.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// The URL's host cannot be resolved.
    #[error("failed to resolve {authority}: {error}")]
    Unresolved {
        /// Host and port.
        authority: String,
        /// The system's error.
        error: std::io::Error,
    },
    /// The connection failed.
    #[error("failed to connect to {address}: {error}{}", advice(error))]
    Unreachable {
        /// The server's address.
        address: SocketAddr,
        /// The system's error.
        error: std::io::Error,
    },
    /// The TLS handshake failed.
    #[error("failed to open {url}: {error}{}", error.help().map(|it| format!("\n  = help: {it}")).unwrap_or_default())]
    Tls {
        /// The server's URL.
        url: String,
        /// The error.
        error: HandshakeError,
    },
    /// The WebSocket handshake failed.
    #[error("the server at {url} did not open a WebSocket: {message}")]
    Handshake {
        /// The request's URL.
        url: String,
        /// The response's status and body.
        message: String,
    },
    /// The server did not open a session.
    #[error("the server did not open a session: {0}\n  = help: see --realm and --protocol")]
    Session(String),
    /// The server refused a request about a topic.
    #[error(
        "the server refused to {verb} `{topic}`: {message}\n  = help: no route of the site matches \
         `{topic}`, or its handler refuses it. Add a route to the site (docs/bench.md shows \
         one), or give --topic a prefix that a route matches"
    )]
    Topic {
        /// `subscribe to` or `publish to`.
        verb: &'static str,
        /// The topic.
        topic: String,
        /// The error's URI and message.
        message: String,
    },
    /// A call was answered with an error.
    #[error(
        "the server answered a call of `{procedure}` with an error: {message}\n  = help: give \
         --procedure the exact name of a registered procedure that \
         takes one text as its only argument (docs/bench.md shows one)"
    )]
    Procedure {
        /// The procedure's name.
        procedure: String,
        /// The error's URI and message.
        message: String,
    },
    /// The server refused to register a procedure.
    #[error(
        "the server refused to register `{procedure}`: {message}\n  = help: --callee needs a procedure \
         that no client and no handler has yet, and a rule of the server that allows `register`"
    )]
    Registration {
        /// The procedure's name.
        procedure: String,
        /// The error's URI and message.
        message: String,
    },
    /// The server closed a connection.
    #[error("the server closed a connection: {0}{help}", help = slow_reader_help(.0))]
    Ended(String),
    /// The server broke the protocol.
    #[error("{0}\n  = help: see --protocol and --serializer")]
    Protocol(String),
    /// The server did not answer in time.
    #[error("the server did not answer for {0} seconds: {1}")]
    Silent(u64, &'static str),
    /// A system call failed on this side.
    #[error("failed to {0}: {1}")]
    System(&'static str, std::io::Error),
    /// A process to watch does not exist or cannot be read.
    #[error("cannot read /proc/{0}\n  = help: --pid needs a process of this machine")]
    NoProcess(u32),
    /// No request was answered in the measured period.
    #[error("{}", no_result(*requested, *at_rate))]
    NoResult {
        /// Requests sent in the measured period.
        requested: u64,
        /// Whether the plan has a fixed rate.
        at_rate: bool,
    },
    /// The run was interrupted before the measured period had a result.
    #[error("interrupted before anything was measured")]
    Interrupted,
}

impl From<ProtocolError> for BenchError {
    fn from(error: ProtocolError) -> Self {
        Self::Protocol(error.to_string())
    }
}

/// Returns the message of [`BenchError::NoResult`]: whether the server or this side was idle, and a
/// help line.
fn no_result(requested: u64, at_rate: bool) -> String {
    if requested > 0 {
        let help =
            if at_rate { "\n  = help: if it cannot keep up, give a lower --rate" } else { "" };
        return format!(
            "the server answered none of {requested} requests in the measured time{help}"
        );
    }
    let help = if at_rate {
        "a --rate that cannot be kept spends the time on late messages of the warm-up: \
         give a lower --rate. With a very low rate nothing is due: give more --seconds"
    } else {
        "requests of the warm-up were not answered, or there was no time: give more --seconds"
    };
    format!("nothing was sent in the measured time\n  = help: {help}")
}

/// Returns a help line for a connection error.
fn advice(error: &std::io::Error) -> &'static str {
    use std::io::ErrorKind;
    match error.kind() {
        ErrorKind::ConnectionRefused => "\n  = help: is the server running?",
        ErrorKind::AddrNotAvailable | ErrorKind::AddrInUse => {
            "\n  = help: one local address has about 28 000 ports: give further addresses with \
             --source, such as 127.0.0.2 for a server on this machine"
        }
        _ if too_many_files(error) => {
            "\n  = help: open file limit reached; raise it with `ulimit -n`"
        }
        _ => "",
    }
}

/// Returns a help line for a connection closed as too slow.
fn slow_reader_help(reason: &str) -> &'static str {
    if reason.contains("slow") || reason.contains("Slow") {
        "\n  = help: the generator did not read fast enough: give a lower --rate, fewer --subscribers, or \
         more --threads"
    } else {
        ""
    }
}

/// Returns whether the error is EMFILE or ENFILE, which have no `ErrorKind`.
fn too_many_files(error: &std::io::Error) -> bool {
    matches!(error.raw_os_error(), Some(23 | 24))
}

impl BenchError {
    /// Returns whether further connections would fail as well: the cause is on this side, or common
    /// to all connections.
    pub(crate) fn is_fatal(&self) -> bool {
        match self {
            Self::Unreachable { error, .. } => !matches!(
                error.kind(),
                std::io::ErrorKind::ConnectionReset | std::io::ErrorKind::TimedOut
            ),
            Self::Handshake { .. } | Self::Ended(_) | Self::Silent(..) => false,
            Self::Unresolved { .. }
            | Self::Tls { .. }
            | Self::Session(_)
            | Self::Topic { .. }
            | Self::Procedure { .. }
            | Self::Registration { .. }
            | Self::Protocol(_)
            | Self::System(..)
            | Self::NoProcess(_)
            | Self::NoResult { .. }
            | Self::Interrupted => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn explains_a_run_without_answers() {
        let message = |requested, at_rate| BenchError::NoResult { requested, at_rate }.to_string();
        assert!(message(7, true).starts_with("the server answered none of 7"));
        assert!(message(7, true).contains("--rate"));
        assert!(!message(7, false).contains("--rate"));
        assert!(message(0, true).contains("--rate"));
        assert!(!message(0, false).contains("--rate"));
    }

    #[test]
    fn a_silent_connection_does_not_end_the_run() {
        assert!(!BenchError::Silent(30, "a connection was being opened").is_fatal());
        assert!(BenchError::Session("no".to_owned()).is_fatal());
    }
}
