//! How connections end: who is told what, in which order, and for how long it is waited.
//!
//! A client of WAMP v2 is told the reason (ABORT or GOODBYE) and gets a WebSocket close. One of
//! version 1 has no words for reasons: what it broke is closed with a close frame, after which
//! AutobahnJS 0.8 never comes back; what the router ends and wants back ends without one.

use std::time::Duration;

use bytes::Bytes;
use jackfield_broker::Closing;
use jackfield_wamp::dialect::Dialect;
use jackfield_wamp::error_uri;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Error as WsError;
use tokio_tungstenite::tungstenite::error::{CapacityError, ProtocolError};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use super::{Connection, Ended};
use crate::frame;
use crate::wire::LOST;

/// A client has this long to read its farewell and to end its side.
const LINGER: Duration = Duration::from_secs(1);

impl Connection {
    pub(super) async fn refuse(&mut self, (reason, message): (&str, String)) -> Result<(), Ended> {
        let abort = self.dialogue.refuse(reason, &message).map(|abort| self.wrap(&abort));
        let ended = Err(Ended::Refused(message.clone()));
        self.end(abort, CloseCode::Normal, &message, ended).await
    }

    /// The router ends the session.
    pub(super) async fn farewell(&mut self, closing: Closing) -> Result<(), Ended> {
        if closing.reason == LOST {
            return Err(Ended::Lost(closing.message));
        }
        let goodbye = self.dialogue.goodbye(&closing.reason, &closing.message);
        let goodbye = goodbye.map(|goodbye| self.wrap(&goodbye));
        let code = match closing.reason.as_str() {
            error_uri::CLOSE_SYSTEM_SHUTDOWN => CloseCode::Away,
            _ => CloseCode::Policy,
        };
        let text = closing.message.clone();
        if self.dialogue.dialect() == Dialect::V1 {
            // A complete WebSocket close tells AutobahnJS 0.8 never to come back; a bare end of
            // the transport makes it reconnect, which is what these closings want.
            return self.part(Err(Ended::Closed(closing))).await;
        }
        self.end(goodbye, code, &text, Err(Ended::Closed(closing))).await
    }

    /// The client broke the rules of WebSocket itself, or left without a word.
    pub(super) async fn fail(&mut self, error: WsError) -> Result<(), Ended> {
        let message = error.to_string();
        let code = match error {
            WsError::ConnectionClosed
            | WsError::AlreadyClosed
            | WsError::Protocol(ProtocolError::ResetWithoutClosingHandshake) => return Ok(()),
            WsError::Io(_) => return Err(Ended::Lost(message)),
            WsError::Utf8(_) => CloseCode::Invalid,
            WsError::Capacity(CapacityError::MessageTooLong { .. }) => CloseCode::Size,
            _ => CloseCode::Protocol,
        };
        let abort = self.dialogue.refuse(error_uri::PROTOCOL_VIOLATION, &message);
        let abort = abort.map(|abort| self.wrap(&abort));
        self.end(abort, code, &message, Err(Ended::Violation(message.clone()))).await
    }

    /// Says the last words and closes the WebSocket.
    pub(super) async fn end(
        &mut self,
        last: Option<Bytes>,
        code: CloseCode,
        reason: &str,
        ended: Result<(), Ended>,
    ) -> Result<(), Ended> {
        let closing = Closing { reason: "closed".to_owned(), message: String::new() };
        let _first = self.wire.outbox().close(closing);
        // Whoever has not read for too long gets the farewell instead of what waits.
        let instead = matches!(&ended, Err(Ended::Closed(closing))
            if closing.reason == Closing::SLOW_SUBSCRIBER);
        let close = frame::close(code, reason);
        self.wire.outbox().farewell(last.into_iter().chain([close]), instead);
        self.part(ended).await
    }

    /// Writes what waits, ends our side, and waits a moment for the client to end its own. Others
    /// rely on this connection's flush, and come first.
    pub(super) async fn part(&mut self, ended: Result<(), Ended>) -> Result<(), Ended> {
        self.batch.flush();
        // A client that does not take its farewell in time has had its chance.
        let _late = timeout(LINGER, self.wire.write_all()).await;
        self.wire.shut();
        self.leave().await;
        let _late = timeout(LINGER, self.wire.read_out()).await;
        ended
    }

    pub(super) fn violation_code(&self) -> CloseCode {
        match self.dialogue.dialect() {
            // What the PHP servers close with; the client is broken and is not to come back.
            Dialect::V1 => CloseCode::Invalid,
            Dialect::V2(_) => CloseCode::Protocol,
        }
    }
}
