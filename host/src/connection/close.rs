//! End of a connection: the messages to the client, their order, and the time limits.
//!
//! A client of WAMP v2 gets the reason (ABORT or GOODBYE) and a WebSocket close. WAMP v1 has no
//! message for reasons. After a protocol violation, a v1 client gets a close frame, after which
//! AutobahnJS 0.8 does not reconnect. If the router ends the session and the client
//! should reconnect, there is no close frame. At a shutdown, clients of both versions should
//! reconnect.

use std::time::Duration;

use bytes::Bytes;
use jackfield_broker::CloseReason;
use jackfield_wamp::dialect::Dialect;
use jackfield_wamp::error_uri;
use jackfield_wamp::protocol::{Frame, Input};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::error::{CapacityError, ProtocolError};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error as WsError, Message};

use super::member::Member;
use super::{Connection, DisconnectReason};
use crate::frame;
use crate::transport::LOST;

/// The time for a client to read its farewell and to close its side.
const LINGER: Duration = Duration::from_secs(1);

/// The way in which a connection ends.
pub(super) enum CloseAction {
    /// The client closed the connection.
    Parted,
    /// The WAMP session ended by GOODBYE; the last message, if there is one.
    Goodbye(Option<Bytes>),
    /// The client may not open a session.
    Refused { reason: &'static str, message: String },
    /// The client violated the WAMP protocol; the farewell for it, if its version has one.
    Violation { message: String, farewell: Option<Bytes> },
    /// The router closes the connection.
    CloseReason(CloseReason),
    /// The client violated the WebSocket protocol, or closed the transport without a close frame.
    Failed(WsError),
    /// The transport failed, or the client stopped answering.
    Lost(String),
}

impl Connection {
    /// Ends the connection, and removes the session from its realm.
    pub(super) async fn end(&mut self, ending: CloseAction) -> Result<(), DisconnectReason> {
        let ended = match ending {
            CloseAction::Parted => self.part(Ok(())).await,
            CloseAction::Goodbye(last) => {
                self.close(last, CloseCode::Normal, "goodbye", Ok(())).await
            }
            CloseAction::Refused { reason, message } => {
                let abort = self.dialogue.refuse(reason, &message).map(|abort| self.wrap(&abort));
                let ended = Err(DisconnectReason::Refused(message.clone()));
                self.close(abort, CloseCode::Normal, &message, ended).await
            }
            CloseAction::Violation { message, farewell } => {
                let ended = Err(DisconnectReason::Violation(message.clone()));
                self.close(farewell, self.violation_code(), &message, ended).await
            }
            CloseAction::CloseReason(closing) => self.dismiss(closing).await,
            CloseAction::Failed(error) => self.fail(error).await,
            CloseAction::Lost(why) => Err(DisconnectReason::Lost(why)),
        };
        self.leave().await;
        ended
    }

    /// Ends the session for the router's reason.
    async fn dismiss(&mut self, closing: CloseReason) -> Result<(), DisconnectReason> {
        if closing.reason == LOST {
            return Err(DisconnectReason::Lost(closing.message));
        }
        let is_shutdown = closing.reason == error_uri::CLOSE_SYSTEM_SHUTDOWN;
        if is_shutdown || self.dialogue.dialect() == Dialect::V1 {
            // After a bare end of the transport, clients reconnect. After a complete WebSocket
            // close, AutobahnJS 0.8 never reconnects; after GOODBYE or ABORT, later autobahn-js and
            // Wampy never do, for any reason.
            return self.part(Err(DisconnectReason::Closed(closing))).await;
        }
        if closing.reason == error_uri::PROTOCOL_VIOLATION {
            let abort = self.dialogue.refuse(&closing.reason, &closing.message);
            let abort = abort.map(|abort| self.wrap(&abort));
            let ended = Err(DisconnectReason::Violation(closing.message.clone()));
            return self.close(abort, CloseCode::Protocol, &closing.message, ended).await;
        }
        let goodbye = self.dialogue.goodbye(&closing.reason, &closing.message);
        let mut goodbye = goodbye.map(|goodbye| self.wrap(&goodbye));
        // A slow subscriber would not read the farewell in time.
        if closing.reason != CloseReason::SLOW_SUBSCRIBER && self.member.is_some() {
            self.leave().await;
            self.wire.outbox().farewell(goodbye.take(), false);
            let _late = timeout(LINGER, self.goodbye_answered()).await;
        }
        let text = closing.message.clone();
        self.close(goodbye, CloseCode::Policy, &text, Err(DisconnectReason::Closed(closing))).await
    }

    /// Waits until the client has answered GOODBYE with its own, or has left. WAMP v2
    /// specification, section "Session Closing".
    async fn goodbye_answered(&mut self) {
        if self.wire.write_all().await.is_err() {
            return;
        }
        while let Some(Ok(message)) = self.reader.next().await {
            let frame = match message {
                Message::Text(text) => Frame::Text(text.into()),
                Message::Binary(bytes) => Frame::Binary(bytes),
                _ => continue,
            };
            if let Input::Goodbye { .. } = self.dialogue.receive(frame) {
                return;
            }
        }
    }

    /// Ends after a violation of the WebSocket protocol, or a lost transport.
    async fn fail(&mut self, error: WsError) -> Result<(), DisconnectReason> {
        let message = error.to_string();
        let code = match error {
            WsError::ConnectionClosed
            | WsError::AlreadyClosed
            | WsError::Protocol(ProtocolError::ResetWithoutClosingHandshake) => return Ok(()),
            WsError::Io(_) => return Err(DisconnectReason::Lost(message)),
            WsError::Utf8(_) => CloseCode::Invalid,
            WsError::Capacity(CapacityError::MessageTooLong { .. }) => CloseCode::Size,
            _ => CloseCode::Protocol,
        };
        let abort = self.dialogue.refuse(error_uri::PROTOCOL_VIOLATION, &message);
        let abort = abort.map(|abort| self.wrap(&abort));
        self.close(abort, code, &message, Err(DisconnectReason::Violation(message.clone()))).await
    }

    /// Sends the last frames and closes the WebSocket.
    async fn close(
        &mut self,
        last: Option<Bytes>,
        code: CloseCode,
        reason: &str,
        ended: Result<(), DisconnectReason>,
    ) -> Result<(), DisconnectReason> {
        let closing = CloseReason { reason: "closed".to_owned(), message: String::new() };
        let _first = self.wire.outbox().close(closing);
        // A client that has not read for too long gets the farewell instead of the queued messages.
        let instead = matches!(&ended, Err(DisconnectReason::Closed(closing))
            if closing.reason == CloseReason::SLOW_SUBSCRIBER);
        let close = frame::close(code, reason);
        self.wire.outbox().farewell(last.into_iter().chain([close]), instead);
        self.part(ended).await
    }

    /// Writes the queued frames, closes our side, and waits briefly for the client to close its
    /// own. Pending flushes of other sessions come first, as they depend on this connection.
    async fn part(&mut self, ended: Result<(), DisconnectReason>) -> Result<(), DisconnectReason> {
        self.batch.flush();
        // The time limit is final for a client that does not read its farewell.
        let _late = timeout(LINGER, self.wire.write_all()).await;
        self.wire.shut();
        self.leave().await;
        let _late = timeout(LINGER, self.wire.read_out()).await;
        ended
    }

    /// Removes the session from its realm, once, and informs the handlers of its topics.
    async fn leave(&mut self) {
        self.batch.flush();
        let closing =
            CloseReason { reason: LOST.to_owned(), message: "the session ended".to_owned() };
        let _first = self.wire.outbox().close(closing);
        if let Some(Member { session, dispatch }) = self.member.take() {
            dispatch.leave(&session).await;
        }
    }

    fn violation_code(&self) -> CloseCode {
        match self.dialogue.dialect() {
            // The code of the PHP servers: the client is broken and should not reconnect.
            Dialect::V1 => CloseCode::Invalid,
            Dialect::V2(_) => CloseCode::Protocol,
        }
    }
}
