//! End of a connection: the messages to the client, their order, and the time limits.
//!
//! A client of WAMP v2 gets the reason (ABORT or GOODBYE) and a WebSocket close. WAMP v1 has no
//! message for reasons. After a protocol violation, a v1 client gets a close frame, after which
//! AutobahnJS 0.8 does not reconnect. If the router ends the session and the client
//! should reconnect, there is no close frame. At a shutdown, and when credentials are revoked,
//! clients of both versions should reconnect: the new handshake decides.

use std::time::Duration;

use bytes::Bytes;
use jackfield_broker::{CloseCause, CloseReason};
use jackfield_wamp::dialect::Dialect;
use jackfield_wamp::error_uri;
use jackfield_wamp::protocol::{Frame, Input};
use jackfield_websocket::{CloseCode, Message};
use tokio::time::timeout;
use tracing::{debug, warn};

use super::Connection;
use super::member::Member;
use super::reader::ReceiveError;
use crate::close_uri;
use crate::connection_end::ConnectionEnd;
use crate::ended::SessionEnd;
use crate::frame;

/// The time for a client to read its farewell and to close its side.
const LINGER: Duration = Duration::from_secs(1);

/// The way in which a connection ends.
pub(super) enum CloseAction {
    /// The client closed the WebSocket.
    Parted,
    /// The client closed the transport without a close frame.
    Gone,
    /// The WAMP session ended by GOODBYE; the last message, if there is one.
    Goodbye(Option<Bytes>),
    /// The client may not open a session.
    Refused { reason: &'static str, message: String },
    /// The user may not open another session.
    UserLimit { message: String },
    /// The client violated the WAMP protocol; the farewell for it, if its version has one.
    Violation { message: String, farewell: Option<Bytes> },
    /// The router closes the connection.
    CloseReason(CloseReason),
    /// The client violated the protocol of its transport.
    Failed { message: String, code: CloseCode },
    /// The transport failed, or the client stopped answering.
    Lost(String),
}

impl From<ReceiveError> for CloseAction {
    fn from(error: ReceiveError) -> Self {
        let message = error.to_string();
        match error.close_code() {
            Some(code) => Self::Failed { message, code },
            None => Self::Lost(message),
        }
    }
}

/// The reason why a connection ended, except for a regular end by the client.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DisconnectReason {
    /// The HTTP request was refused.
    #[error("the handshake failed: {0}")]
    Handshake(String),
    /// One side speaks TLS, and the other does not.
    #[error("the handshake failed: {0}")]
    TlsMismatch(&'static str),
    /// The client violated the rules of WebSocket or WAMP.
    #[error("protocol violation: {0}")]
    Violation(String),
    /// The client was rejected by the access rules.
    #[error("connection refused: {0}")]
    Denied(String),
    /// The client may not open a session.
    #[error("refused: {0}")]
    Refused(String),
    /// The user has as many connections as it may.
    #[error("refused: {0}")]
    UserLimit(String),
    /// The router closed the connection.
    #[error("closed by the router: {reason}: {message}", reason = .0.reason, message = .0.message)]
    Closed(CloseReason),
    /// The transport failed, or the client stopped answering.
    #[error("connection lost: {0}")]
    Lost(String),
}

impl DisconnectReason {
    /// The reason in metrics and lists.
    const fn end(&self) -> ConnectionEnd {
        match self {
            Self::Handshake(_) | Self::TlsMismatch(_) | Self::Violation(_) => {
                ConnectionEnd::Violation
            }
            Self::Denied(_) | Self::Refused(_) => ConnectionEnd::Refused,
            Self::UserLimit(_) => ConnectionEnd::UserLimit,
            Self::Closed(closing) => ConnectionEnd::of_cause(closing.cause),
            Self::Lost(_) => ConnectionEnd::Lost,
        }
    }

    /// Logs the reason: as a warning if the operator may have to act, otherwise for debugging. The
    /// log limits the number of lines of a kind ([`crate::log`]).
    pub(crate) fn log(&self) {
        match self {
            Self::Closed(closing) if closing.cause == CloseCause::SlowSubscriber => {
                warn!(name: "connection.closed_slow", "{self}");
            }
            Self::Closed(closing) if closing.cause == CloseCause::Rate => {
                warn!(name: "connection.closed_rate", "{self}");
            }
            // The address of a client or of a proxy is wrong, as a rule.
            Self::TlsMismatch(_) => warn!(name: "connection.tls_mismatch", "{self}"),
            // Clients do not learn the reason; the operator can tell them.
            Self::Denied(_) => warn!(name: "connection.denied", "{self}"),
            Self::Handshake(_)
            | Self::Violation(_)
            | Self::Refused(_)
            | Self::UserLimit(_)
            | Self::Closed(_)
            | Self::Lost(_) => debug!("{self}"),
        }
    }
}

/// Returns the end of a WebSocket and of its session, if it has one.
pub(super) fn session_end(is_goodbye: bool, ended: &Result<(), DisconnectReason>) -> SessionEnd {
    match ended {
        Ok(()) if is_goodbye => SessionEnd::plain(ConnectionEnd::Goodbye),
        Ok(()) => SessionEnd::plain(ConnectionEnd::Left),
        Err(disconnected) => {
            let reason = disconnected.end();
            match disconnected {
                DisconnectReason::Closed(closing) => SessionEnd::closed(reason, closing),
                DisconnectReason::TlsMismatch(message) => SessionEnd::with_message(reason, message),
                DisconnectReason::Lost(message)
                | DisconnectReason::Violation(message)
                | DisconnectReason::Handshake(message)
                | DisconnectReason::Denied(message)
                | DisconnectReason::Refused(message)
                | DisconnectReason::UserLimit(message) => SessionEnd::with_message(reason, message),
            }
        }
    }
}

impl Connection {
    /// Ends the connection, and removes the session from its realm.
    pub(super) async fn end(&mut self, ending: CloseAction) -> Result<(), DisconnectReason> {
        let ended = match ending {
            CloseAction::Parted => self.part(Ok(())).await,
            CloseAction::Gone => Ok(()),
            CloseAction::Goodbye(last) => {
                self.close(last, CloseCode::NORMAL, "goodbye", Ok(())).await
            }
            CloseAction::Refused { reason, message } => {
                let abort = self.dialogue.refuse(reason, &message).map(|abort| self.wrap(&abort));
                let ended = Err(DisconnectReason::Refused(message.clone()));
                self.close(abort, CloseCode::NORMAL, &message, ended).await
            }
            CloseAction::UserLimit { message } => {
                let abort = self.dialogue.refuse(error_uri::UNAVAILABLE, &message);
                let abort = abort.map(|abort| self.wrap(&abort));
                let ended = Err(DisconnectReason::UserLimit(message.clone()));
                self.close(abort, CloseCode::NORMAL, &message, ended).await
            }
            CloseAction::Violation { message, farewell } => {
                let ended = Err(DisconnectReason::Violation(message.clone()));
                self.close(farewell, self.violation_code(), &message, ended).await
            }
            CloseAction::CloseReason(closing) => self.dismiss(closing).await,
            CloseAction::Failed { message, code } => self.fail(message, code).await,
            CloseAction::Lost(why) => Err(DisconnectReason::Lost(why)),
        };
        self.leave().await;
        ended
    }

    /// Ends the session for the router's reason.
    async fn dismiss(&mut self, closing: CloseReason) -> Result<(), DisconnectReason> {
        if closing.cause == CloseCause::Lost {
            return Err(DisconnectReason::Lost(closing.message));
        }
        let is_bare = matches!(closing.cause, CloseCause::Shutdown | CloseCause::Revoked);
        if is_bare || self.dialogue.dialect() == Dialect::V1 {
            // After a bare end of the transport, clients reconnect. After a complete WebSocket
            // close, AutobahnJS 0.8 never reconnects; after GOODBYE or ABORT, later autobahn-js and
            // Wampy never do, for any reason.
            return self.part(Err(DisconnectReason::Closed(closing))).await;
        }
        if closing.cause == CloseCause::Violation {
            let abort = self.dialogue.refuse(&closing.reason, &closing.message);
            let abort = abort.map(|abort| self.wrap(&abort));
            let ended = Err(DisconnectReason::Violation(closing.message.clone()));
            return self.close(abort, CloseCode::PROTOCOL, &closing.message, ended).await;
        }
        let goodbye = self.dialogue.goodbye(&closing.reason, &closing.message);
        let mut goodbye = goodbye.map(|goodbye| self.wrap(&goodbye));
        // A slow subscriber would not read the farewell in time.
        if closing.cause != CloseCause::SlowSubscriber && self.member.is_some() {
            self.leave().await;
            self.wire.outbox().farewell(goodbye.take(), false);
            let _late = timeout(LINGER, self.goodbye_answered()).await;
        }
        let text = closing.message.clone();
        self.close(goodbye, CloseCode::POLICY, &text, Err(DisconnectReason::Closed(closing))).await
    }

    /// Waits until the client has answered GOODBYE with its own, or has left. WAMP v2
    /// specification, section "Session Closing".
    async fn goodbye_answered(&mut self) {
        if self.wire.write_all().await.is_err() {
            return;
        }
        while let Some(Ok(message)) = self.reader.next().await {
            let frame = match message {
                Message::Text(text) => Frame::Text(text),
                Message::Binary(bytes) => Frame::Binary(bytes),
                Message::Close(_) => return,
                Message::Ping(_) | Message::Pong(_) => continue,
            };
            if let Input::Goodbye { .. } = self.dialogue.receive(frame) {
                return;
            }
        }
    }

    /// Ends after a violation of the protocol of the transport.
    async fn fail(&mut self, message: String, code: CloseCode) -> Result<(), DisconnectReason> {
        let abort = self.dialogue.refuse(error_uri::PROTOCOL_VIOLATION, &message);
        let abort = abort.map(|abort| self.wrap(&abort));
        let ended = Err(DisconnectReason::Violation(message.clone()));
        self.close(abort, code, &message, ended).await
    }

    /// Sends the last frames and closes the WebSocket.
    async fn close(
        &mut self,
        last: Option<Bytes>,
        code: CloseCode,
        reason: &str,
        ended: Result<(), DisconnectReason>,
    ) -> Result<(), DisconnectReason> {
        let closing = close_uri::lost("the connection is closing".to_owned());
        let _first = self.wire.outbox().close(closing);
        // A client that has not read for too long gets the farewell instead of the queued messages.
        let instead = matches!(&ended, Err(DisconnectReason::Closed(closing))
            if closing.cause == CloseCause::SlowSubscriber);
        let close = frame::close(code, reason);
        self.wire.outbox().farewell(last.into_iter().chain([close]), instead);
        self.part(ended).await
    }

    /// Writes the queued frames, closes our side, and waits briefly for the client to close its
    /// own. Pending flushes of other sessions come first, as they depend on this connection.
    async fn part(&mut self, ended: Result<(), DisconnectReason>) -> Result<(), DisconnectReason> {
        self.batch.flush();
        // The time limit is final for a client that does not read its farewell.
        let _late = timeout(self.reading_time(&ended), self.wire.write_all()).await;
        self.wire.shut();
        self.leave().await;
        let _late = timeout(LINGER, self.wire.read_out()).await;
        ended
    }

    /// The time for the client to read what is queued. At a shutdown, it could have read on.
    fn reading_time(&self, ended: &Result<(), DisconnectReason>) -> Duration {
        match ended {
            Err(DisconnectReason::Closed(closing)) if closing.cause == CloseCause::Shutdown => {
                self.context.shutdown.times().grace
            }
            _ => LINGER,
        }
    }

    /// Removes the session from its realm, once, and informs the handlers of its topics.
    async fn leave(&mut self) {
        self.batch.flush();
        let closing = close_uri::lost("the session ended".to_owned());
        let _first = self.wire.outbox().close(closing);
        if let Some(Member { session, dispatch, .. }) = self.member.take() {
            dispatch.leave(&session).await;
        }
    }

    fn violation_code(&self) -> CloseCode {
        match self.dialogue.dialect() {
            // The code of the PHP servers: the client is broken and should not reconnect.
            Dialect::V1 => CloseCode::INVALID,
            Dialect::V2(_) => CloseCode::PROTOCOL,
        }
    }
}
