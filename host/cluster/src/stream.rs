//! Interface of a stream of JetStream, with and without the client of NATS.

use std::fmt::{self, Write};

use bytes::Bytes;

/// Whether the servers have JetStream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JetStream {
    /// They have it.
    Present,
    /// They have not, for this reason.
    Absent(String),
    /// They do not say yet, for this reason.
    Unknown(String),
}

/// The stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamKind {
    /// Leases: one message for each name, which expires.
    Homes,
    /// Logs: all messages of a name, until they are removed.
    Stores,
}

/// A message of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamMessage {
    /// Its place in the stream.
    pub sequence: u64,
    /// Its content.
    pub payload: Bytes,
}

/// A stream cannot be read or written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// Another writer has put a message.
    #[error("another node has written since")]
    Behind,
    /// JetStream does not answer, or refuses.
    #[error("JetStream does not save: stream {stream}: {reason}")]
    Unavailable {
        /// The name of the stream.
        stream: String,
        /// The reason.
        reason: String,
    },
    /// There is such a stream, with other settings.
    #[error(
        "the stream {stream} of JetStream has other settings\n  = help: it is of another version of jackfield, or of \
         another program: stop all nodes, and remove it, or name another `cluster.name`"
    )]
    Foreign {
        /// The name of the stream.
        stream: String,
    },
}

impl StreamError {
    /// JetStream does not answer, or refuses.
    pub fn unavailable(stream: &str, reason: &dyn fmt::Display) -> Self {
        Self::Unavailable { stream: stream.to_owned(), reason: reason.to_string() }
    }
}

/// Returns a name as one token of a subject: letters, digits and `-` as they are, other bytes as `_` and two
/// digits. Different names have different tokens.
#[cfg_attr(not(any(feature = "nats", test)), expect(dead_code, reason = "without subjects"))]
pub(crate) fn subject_token(name: &str) -> String {
    name.bytes().fold(String::with_capacity(name.len()), |mut token, byte| {
        if byte.is_ascii_alphanumeric() || byte == b'-' {
            token.push(char::from(byte));
        } else {
            // A String takes everything.
            let _infallible = write!(token, "_{byte:02x}");
        }
        token
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_tokens_without_collisions() {
        for (name, token) in [
            ("acme-chat", "acme-chat"),
            ("acme.chat", "acme_2echat"),
            ("acme_2echat", "acme_5f2echat"),
            ("a *>b", "a_20_2a_3eb"),
            ("ü", "_c3_bc"),
        ] {
            assert_eq!(subject_token(name), token);
        }
    }
}
