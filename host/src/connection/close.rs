//! End of a connection: the messages to the client, their order, and the time limits.
//!
//! A client of WAMP v2 gets the reason (ABORT or GOODBYE) and a WebSocket close. WAMP v1 has no
//! message for reasons. After a protocol violation, a v1 client gets a close frame, after which
//! AutobahnJS 0.8 does not reconnect. If the router ends the session and the client is to
//! reconnect, there is no close frame. At a shutdown, clients of both versions are to reconnect.

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

/// A client has this long to read its farewell and to end its side.
const LINGER: Duration = Duration::from_secs(1);

/// How a connection is to end.
pub(super) enum CloseAction {
    /// The client ended it in good order.
    Parted,
    /// The session's end was agreed upon; what is still to be said, if anything is.
    Goodbye(Option<Bytes>),
    /// The client may not open a session.
    Refused { reason: &'static str, message: String },
    /// The client broke WAMP's rules; what it is told, if it can be told.
    Violation { message: String, farewell: Option<Bytes> },
    /// The router wants it to end.
    CloseReason(CloseReason),
    /// The client broke the rules of WebSocket itself, or left without a word.
    Failed(WsError),
    /// The transport failed, or the client stopped answering.
    Lost(String),
}

impl Connection {
    /// Ends it, and takes the session out of its realm.
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

    /// The router ends the session.
    async fn dismiss(&mut self, closing: CloseReason) -> Result<(), DisconnectReason> {
        if closing.reason == LOST {
            return Err(DisconnectReason::Lost(closing.message));
        }
        let is_shutdown = closing.reason == error_uri::CLOSE_SYSTEM_SHUTDOWN;
        if is_shutdown || self.dialogue.dialect() == Dialect::V1 {
            // A bare end of the transport makes clients reconnect. A complete WebSocket close tells
            // AutobahnJS 0.8 never to come back, and so do GOODBYE and ABORT later autobahn-js and
            // Wampy, whatever their reason.
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
        // A slow subscriber reads no farewell in time.
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

    /// The client broke the rules of WebSocket itself, or left without a word.
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

    /// Says the last words and closes the WebSocket.
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

    /// Writes what waits, ends our side, and waits a moment for the client to end its own. Others
    /// rely on this connection's flush, and come first.
    async fn part(&mut self, ended: Result<(), DisconnectReason>) -> Result<(), DisconnectReason> {
        self.batch.flush();
        // A client that does not take its farewell in time has had its chance.
        let _late = timeout(LINGER, self.wire.write_all()).await;
        self.wire.shut();
        self.leave().await;
        let _late = timeout(LINGER, self.wire.read_out()).await;
        ended
    }

    /// Takes the session out of its realm, once, and lets the handlers of its topics know.
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
            // What the PHP servers close with; the client is broken and is not to come back.
            Dialect::V1 => CloseCode::Invalid,
            Dialect::V2(_) => CloseCode::Protocol,
        }
    }
}
