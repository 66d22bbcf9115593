//! Why nothing was measured: in the server's own words where there are any, and with what to do.

use std::net::SocketAddr;

use crate::protocol::Garbled;

/// Why a run ended without a result.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The host of the URL has no address.
    #[error("failed to resolve {authority}: {error}")]
    Unresolved {
        /// Host and port.
        authority: String,
        /// What the system says.
        error: std::io::Error,
    },
    /// No connection came about.
    #[error("failed to connect to {address}: {error}{}", advice(error))]
    Unreachable {
        /// The server's.
        address: SocketAddr,
        /// What the system says.
        error: std::io::Error,
    },
    /// The server does not open a WebSocket.
    #[error("the server at {url} opened no WebSocket: {said}")]
    Handshake {
        /// Of the request.
        url: String,
        /// Its status, and what it said.
        said: String,
    },
    /// The server does not open a session.
    #[error("the server opened no session: {0}\n  = help: see --realm and --protocol")]
    Session(String),
    /// The server does not let a topic be used.
    #[error(
        "the server refused to {verb} `{topic}`: {said}\n  = help: no route of the site takes \
         `{topic}`, or its handler refuses. Add a route for it to the site (docs/bench.md shows \
         one), or give --topic a prefix that a route takes"
    )]
    Topic {
        /// `subscribe to` or `publish to`.
        verb: &'static str,
        /// The topic.
        topic: String,
        /// The error's URI and message.
        said: String,
    },
    /// The server does not let a procedure be called, or its handler answers with an error.
    #[error(
        "the server answered a call of `{procedure}` with an error: {said}\n  = help: give \
         --procedure the exact name of a procedure that a handler or a client offers, and that \
         takes one text as its only argument (docs/bench.md shows one)"
    )]
    Procedure {
        /// Its name.
        procedure: String,
        /// The error's URI and message.
        said: String,
    },
    /// A connection ended.
    #[error("the server ended a connection: {0}{help}", help = relief(.0))]
    Ended(String),
    /// Something arrived that is not understood.
    #[error("{0}\n  = help: see --protocol and --serializer")]
    Garbled(String),
    /// Nothing arrived for a long time.
    #[error("the server did not answer for {0} seconds: {1}")]
    Silent(u64, &'static str),
    /// This side lacks something.
    #[error("failed to {0}: {1}")]
    System(&'static str, std::io::Error),
    /// A process that is to be watched is not there, or not to be read.
    #[error(
        "there is no process {0} whose /proc/{0} could be read\n  = help: --pid is for a server on this machine"
    )]
    NoProcess(u32),
    /// Everything was open, and nothing was done.
    #[error("{}", nothing(*asked, *at_rate))]
    Nothing {
        /// How much was asked for in the time that was measured.
        asked: u64,
        /// Whether it was to be at a fixed rate.
        at_rate: bool,
    },
    /// It was ended before there was anything to tell.
    #[error("ended before anything was measured")]
    Interrupted,
}

impl From<Garbled> for Failure {
    fn from(garbled: Garbled) -> Self {
        Self::Garbled(garbled.to_string())
    }
}

/// Whether it was the server that did nothing, or this side; and what to do then.
fn nothing(asked: u64, at_rate: bool) -> String {
    if asked > 0 {
        let help =
            if at_rate { "\n  = help: if it cannot keep up, give a lower --rate" } else { "" };
        return format!("the server answered none of {asked} in the time that was measured{help}");
    }
    let help = if at_rate {
        "with a --rate that is not kept, the time goes by before what was due in the warm-up is \
         sent: give a lower --rate. With one that is very low, nothing is due: give more --seconds"
    } else {
        "what was sent in the warm-up was not answered, or there was no time: give more --seconds"
    };
    format!("nothing was sent in the time that was measured\n  = help: {help}")
}

/// What to do about an error of the system's.
fn advice(error: &std::io::Error) -> &'static str {
    use std::io::ErrorKind;
    match error.kind() {
        ErrorKind::ConnectionRefused => "\n  = help: nobody listens there; is the server running?",
        ErrorKind::AddrNotAvailable | ErrorKind::AddrInUse => {
            "\n  = help: one local address has about 28 000 ports: give further ones with \
             --source, such as 127.0.0.2 for a server on this machine"
        }
        _ if too_many_files(error) => {
            "\n  = help: this process may not open more files: raise the limit with `ulimit -n`"
        }
        _ => "",
    }
}

/// What to do about the server's reason.
fn relief(words: &str) -> &'static str {
    if words.contains("slow") || words.contains("Slow") {
        "\n  = help: more arrived than was read in time: give a lower --rate, fewer --subscribers, or \
         more --threads to read with"
    } else {
        ""
    }
}

/// EMFILE and ENFILE have no kind of their own.
fn too_many_files(error: &std::io::Error) -> bool {
    matches!(error.raw_os_error(), Some(23 | 24))
}

impl Failure {
    /// Whether further connections cannot succeed either: what fails is on this side, or is
    /// the same for all of them.
    pub(crate) fn is_everyones(&self) -> bool {
        match self {
            Self::Unreachable { error, .. } => !matches!(
                error.kind(),
                std::io::ErrorKind::ConnectionReset | std::io::ErrorKind::TimedOut
            ),
            Self::Handshake { .. } | Self::Ended(_) | Self::Silent(..) => false,
            Self::Unresolved { .. }
            | Self::Session(_)
            | Self::Topic { .. }
            | Self::Procedure { .. }
            | Self::Garbled(_)
            | Self::System(..)
            | Self::NoProcess(_)
            | Self::Nothing { .. }
            | Self::Interrupted => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn explains_a_run_without_answers() {
        let said = |asked, at_rate| Failure::Nothing { asked, at_rate }.to_string();
        assert!(said(7, true).starts_with("the server answered none of 7"));
        assert!(said(7, true).contains("--rate"));
        assert!(!said(7, false).contains("--rate"));
        assert!(said(0, true).contains("--rate"));
        assert!(!said(0, false).contains("--rate"));
    }

    #[test]
    fn a_silent_connection_does_not_end_the_run() {
        assert!(!Failure::Silent(30, "a connection was being opened").is_everyones());
        assert!(Failure::Session("no".to_owned()).is_everyones());
    }
}
