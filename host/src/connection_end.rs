//! Ends of connections: one set of reasons for the metrics, the list of ended sessions and the log.

use jackfield_broker::CloseCause;
use jackfield_metrics::label;

label! {
    /// The reason for the end of a WebSocket and of its session.
    pub(crate) ConnectionEnd {
        /// The client has sent GOODBYE.
        Goodbye = "goodbye",
        /// The client has closed the connection.
        Left = "left",
        /// The connection broke, or the client stopped to answer.
        Lost = "lost",
        /// The client has violated the rules of WebSocket or WAMP.
        Violation = "violation",
        /// The client may not open a session.
        Refused = "refused",
        /// The user had `limits.user_connections`.
        UserLimit = "user_limit",
        /// No session was opened in time.
        Timeout = "timeout",
        /// The client has read too slowly.
        SlowSubscriber = "slow_subscriber",
        /// The client has sent too much of messages that it did not complete.
        IncompleteMessage = "incomplete_message",
        /// The client has sent faster than its rates allow.
        Rate = "rate",
        /// The credential has expired.
        Expired = "expired",
        /// The client may no longer connect.
        Revoked = "revoked",
        /// The operator has ended the session.
        Kicked = "kicked",
        /// A handler has ended the session.
        Handler = "handler",
        /// The server is stopping.
        Shutdown = "shutdown",
    }
}

impl ConnectionEnd {
    /// The reason of a close by the server.
    pub(crate) const fn of_cause(cause: CloseCause) -> Self {
        match cause {
            CloseCause::SlowSubscriber => Self::SlowSubscriber,
            CloseCause::IncompleteMessage => Self::IncompleteMessage,
            CloseCause::Rate => Self::Rate,
            CloseCause::Expired => Self::Expired,
            CloseCause::Revoked => Self::Revoked,
            CloseCause::Violation => Self::Violation,
            CloseCause::Timeout => Self::Timeout,
            CloseCause::Operator => Self::Kicked,
            CloseCause::Handler => Self::Handler,
            CloseCause::Shutdown => Self::Shutdown,
            CloseCause::Lost => Self::Lost,
        }
    }

    /// The reason of this name.
    pub(crate) fn from_label(label: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|end| end.label() == label)
    }
}
