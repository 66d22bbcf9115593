//! Close reason: the cause of a close by the router, and the words about it for the client.

/// The cause of a close by the router. Lists, metrics and the treatment of the connection depend on
/// it alone: the URI is for the client, and handlers choose it freely.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseCause {
    /// The client has read too slowly.
    SlowSubscriber,
    /// The client had sent among the most of incomplete messages, when all were too many.
    IncompleteMessage,
    /// The client has sent faster than its rates allow.
    Rate,
    /// The credential has expired.
    Expired,
    /// The client may no longer connect, since the settings, the users or the keys have changed.
    Revoked,
    /// The client has violated the protocol.
    Violation,
    /// No session was opened in time.
    Timeout,
    /// The operator has ended the session.
    Operator,
    /// A handler has ended the session.
    Handler,
    /// The server is stopping.
    Shutdown,
    /// The connection has ended, or cannot be written to. Clients never receive this reason.
    Lost,
}

/// The router's reason to close a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloseReason {
    /// The cause, set by the caller of the close.
    pub cause: CloseCause,
    /// A WAMP URI for the client, such as `wamp.close.system_shutdown`.
    pub reason: String,
    /// A human-readable sentence.
    pub message: String,
}

impl CloseReason {
    /// The close reason of a subscriber that reads too slowly: its outbox is full.
    pub const SLOW_SUBSCRIBER: &'static str = "jackfield.close.slow_subscriber";
}
