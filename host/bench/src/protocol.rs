//! Client side of each protocol (sans-I/O): requests out, [`ServerMessage`]s in.
//!
//! - [`scan`]: reading values without building them, in [`json`], [`message_pack`] and [`cbor`];
//! - [`encode`]: encoding of messages;
//! - [`inflate`]: compressed messages;
//! - [`wamp2`], [`wamp1`], [`nats`]: the messages;
//! - [`ClientProtocol`]: protocol state of one connection, with its frames.
//!
//! It covers only the measured requests, and shares no code with the server.

pub(crate) mod cbor;
pub(crate) mod encode;
mod inflate;
pub(crate) mod json;
pub(crate) mod message_pack;
pub(crate) mod nats;
pub(crate) mod scan;
pub(crate) mod wamp1;
pub(crate) mod wamp2;

use crate::frame::{self, Opcode};
use crate::plan::{Dialect, Plan};

/// A message from the server.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ServerMessage<'a> {
    /// An event with a text.
    Event(&'a [u8]),
    /// The session is open.
    Welcome,
    /// A request succeeded. Requests without ids are answered in order.
    Done {
        request: Option<u64>,
        /// The subscription's id, if it was a subscription.
        id: Option<u64>,
    },
    /// A request failed.
    Refused(RequestError),
    /// A call of the connection's procedure, with a text.
    Invocation { request: u64, text: &'a [u8] },
    /// The server closes the session, or does not open it.
    Ended(String),
    /// A message that is ignored.
    Nothing,
}

/// The server's error answer to a request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct RequestError {
    pub(crate) request: Option<u64>,
    /// The topic, if the server names it.
    pub(crate) topic: Option<String>,
    /// The error's URI and message.
    pub(crate) text: String,
}

/// Longest message: the longest text and its envelope.
const MAX_MESSAGE_BYTES: usize = Plan::MAX_PAYLOAD_BYTES + 64 * 1024;

/// Appends a part of an incomplete message.
fn hold(held: &mut Vec<u8>, part: &[u8]) -> Result<(), ProtocolError> {
    if held.len().saturating_add(part.len()) > MAX_MESSAGE_BYTES {
        return Err(ProtocolError("a message of more than 64 MiB".to_owned()));
    }
    held.extend_from_slice(part);
    Ok(())
}

/// Client protocol state of one connection.
#[derive(Debug)]
pub(crate) struct ClientProtocol {
    dialect: Dialect,
    /// Whether NATS answers each request.
    acknowledged: bool,
    /// The beginning of an incomplete frame.
    partial: Vec<u8>,
    /// The beginning of an incomplete message; the unread rest of NATS' stream.
    message: Vec<u8>,
    /// The message being written, before it is masked.
    draft: Vec<u8>,
}

impl ClientProtocol {
    pub(crate) const fn new(dialect: Dialect, acknowledged: bool) -> Self {
        Self { dialect, acknowledged, partial: Vec::new(), message: Vec::new(), draft: Vec::new() }
    }

    /// Opens a session, answered by [`ServerMessage::Welcome`]. Returns false if the protocol has
    /// no sessions.
    pub(crate) fn hello(&mut self, out: &mut Vec<u8>, realm: &str) -> bool {
        self.draft.clear();
        match self.dialect {
            Dialect::Wamp2(serializer) => wamp2::hello(serializer, &mut self.draft, realm),
            Dialect::Nats => nats::hello(&mut self.draft, self.acknowledged),
            // WELCOME arrives without a request.
            Dialect::Wamp1 => return true,
            Dialect::Raw => return false,
        }
        self.send(out);
        true
    }

    /// Subscribes to a topic, answered by [`ServerMessage::Done`] or [`ServerMessage::Refused`].
    pub(crate) fn subscribe(&mut self, out: &mut Vec<u8>, request: u64, topic: &str) {
        self.draft.clear();
        match self.dialect {
            Dialect::Wamp2(serializer) => {
                wamp2::subscribe(serializer, &mut self.draft, request, topic);
            }
            Dialect::Wamp1 => wamp1::subscribe(&mut self.draft, topic),
            Dialect::Nats => nats::subscribe(&mut self.draft, request, topic),
            Dialect::Raw => return,
        }
        self.send(out);
        self.ping_for_answer(out, request);
    }

    /// Ends a subscription. `subscribe_request` is the id of its SUBSCRIBE, `subscription` its id.
    pub(crate) fn unsubscribe(
        &mut self,
        out: &mut Vec<u8>,
        request: u64,
        topic: &str,
        subscribe_request: u64,
        subscription: u64,
    ) {
        self.draft.clear();
        match self.dialect {
            Dialect::Wamp2(serializer) => {
                wamp2::unsubscribe(serializer, &mut self.draft, request, subscription);
            }
            Dialect::Wamp1 => wamp1::unsubscribe(&mut self.draft, topic),
            Dialect::Nats => nats::unsubscribe(&mut self.draft, subscribe_request),
            Dialect::Raw => return,
        }
        self.send(out);
        self.ping_for_answer(out, request);
    }

    /// Publishes a text; with acknowledgement answered by [`ServerMessage::Done`] or
    /// [`ServerMessage::Refused`].
    pub(crate) fn publish(
        &mut self,
        out: &mut Vec<u8>,
        request: u64,
        topic: &str,
        text: &[u8],
        acknowledged: bool,
    ) {
        self.draft.clear();
        match self.dialect {
            Dialect::Wamp2(serializer) => {
                wamp2::publish(serializer, &mut self.draft, request, topic, text, acknowledged);
            }
            Dialect::Wamp1 => wamp1::publish(&mut self.draft, topic, text),
            Dialect::Nats => nats::publish(&mut self.draft, topic, text),
            Dialect::Raw => self.draft.extend_from_slice(text),
        }
        self.send(out);
        if acknowledged {
            self.ping_for_answer(out, request);
        }
    }

    /// Calls a procedure with a text as its only argument, answered by [`ServerMessage::Done`] or
    /// [`ServerMessage::Refused`]. Only WAMP has procedures.
    pub(crate) fn call(&mut self, out: &mut Vec<u8>, request: u64, procedure: &str, text: &[u8]) {
        self.draft.clear();
        match self.dialect {
            Dialect::Wamp2(serializer) => {
                wamp2::call(serializer, &mut self.draft, request, procedure, text);
            }
            Dialect::Wamp1 => wamp1::call(&mut self.draft, request, procedure, text),
            Dialect::Nats | Dialect::Raw => return,
        }
        self.send(out);
    }

    /// Registers a procedure, answered by [`ServerMessage::Done`] or [`ServerMessage::Refused`]. Only
    /// WAMP v2 has callees.
    pub(crate) fn register(&mut self, out: &mut Vec<u8>, request: u64, procedure: &str) {
        self.draft.clear();
        if let Dialect::Wamp2(serializer) = self.dialect {
            wamp2::register(serializer, &mut self.draft, request, procedure);
            self.send(out);
        }
    }

    /// Answers an invocation with a text.
    pub(crate) fn result(&mut self, out: &mut Vec<u8>, request: u64, text: &[u8]) {
        self.draft.clear();
        if let Dialect::Wamp2(serializer) = self.dialect {
            wamp2::result(serializer, &mut self.draft, request, text);
            self.send(out);
        }
    }

    /// Sends a PING after a request of WAMP v1, which has no answers. As a connection's messages
    /// are handled in order, the PONG acknowledges the request.
    fn ping_for_answer(&self, out: &mut Vec<u8>, request: u64) {
        if self.dialect == Dialect::Wamp1 {
            frame::write(out, Opcode::Ping, &request.to_be_bytes());
        }
    }

    fn send(&self, out: &mut Vec<u8>) {
        let opcode = if self.dialect.is_binary() { Opcode::Binary } else { Opcode::Text };
        frame::write(out, opcode, &self.draft);
    }

    /// Decodes received bytes and calls `handle` for each message. Answers that the protocol
    /// demands (PONG) are appended to `replies`.
    ///
    /// # Errors
    /// Errors of `handle`, and protocol errors.
    pub(crate) fn receive<E: From<ProtocolError>>(
        &mut self,
        bytes: &[u8],
        replies: &mut Vec<u8>,
        mut handle: impl FnMut(ServerMessage<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        if self.partial.is_empty() {
            let used = self.frames(bytes, replies, &mut handle)?;
            self.partial.extend_from_slice(bytes.get(used..).unwrap_or_default());
            return Ok(());
        }
        let mut whole = std::mem::take(&mut self.partial);
        whole.extend_from_slice(bytes);
        let used = self.frames(&whole, replies, &mut handle)?;
        whole.drain(..used);
        self.partial = whole;
        Ok(())
    }

    /// Decodes complete frames. Returns their length.
    fn frames<E: From<ProtocolError>>(
        &mut self,
        bytes: &[u8],
        replies: &mut Vec<u8>,
        handle: &mut impl FnMut(ServerMessage<'_>) -> Result<(), E>,
    ) -> Result<usize, E> {
        let mut used = 0;
        while let Some((frame, length)) =
            frame::read(bytes.get(used..).unwrap_or_default()).map_err(ProtocolError::frame)?
        {
            used += length;
            match frame.opcode {
                Opcode::Text | Opcode::Binary | Opcode::Continuation if frame.compressed => {
                    if !frame.last || !self.message.is_empty() {
                        return Err(ProtocolError::frame("a part of a compressed message").into());
                    }
                    let message = inflate::inflated(frame.payload).map_err(ProtocolError::frame)?;
                    self.data(true, &message, replies, handle)?;
                }
                Opcode::Text | Opcode::Binary | Opcode::Continuation => {
                    self.data(frame.last, frame.payload, replies, handle)?;
                }
                Opcode::Ping => frame::write(replies, Opcode::Pong, frame.payload),
                // Only WAMP v1 sends PINGs.
                Opcode::Pong if self.dialect == Dialect::Wamp1 => {
                    let request = frame.payload.try_into().ok().map(u64::from_be_bytes);
                    if request.is_some() {
                        handle(ServerMessage::Done { request, id: None })?;
                    }
                }
                Opcode::Pong => {}
                Opcode::Close => handle(ServerMessage::Ended(frame::close_reason(frame.payload)))?,
            }
        }
        Ok(used)
    }

    fn data<E: From<ProtocolError>>(
        &mut self,
        last: bool,
        payload: &[u8],
        replies: &mut Vec<u8>,
        handle: &mut impl FnMut(ServerMessage<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        if self.dialect == Dialect::Nats {
            return self.stream(payload, replies, handle);
        }
        if last && self.message.is_empty() {
            return handle(decode(self.dialect, payload)?);
        }
        hold(&mut self.message, payload)?;
        if last {
            let message = std::mem::take(&mut self.message);
            handle(decode(self.dialect, &message)?)?;
        }
        Ok(())
    }

    /// NATS is a byte stream: a message may span frames, and a frame may hold several.
    fn stream<E: From<ProtocolError>>(
        &mut self,
        payload: &[u8],
        replies: &mut Vec<u8>,
        handle: &mut impl FnMut(ServerMessage<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut held = std::mem::take(&mut self.message);
        let bytes = if held.is_empty() {
            payload
        } else {
            hold(&mut held, payload)?;
            &held
        };
        let mut used = 0;
        while let Some((line, length)) = nats::read(bytes.get(used..).unwrap_or_default())? {
            used += length;
            match line {
                nats::Line::ServerMessage(message) => handle(message)?,
                nats::Line::Ping => frame::write(replies, Opcode::Binary, b"PONG\r\n"),
            }
        }
        self.message = bytes.get(used..).unwrap_or_default().to_vec();
        Ok(())
    }
}

fn decode(dialect: Dialect, message: &[u8]) -> Result<ServerMessage<'_>, ProtocolError> {
    match dialect {
        Dialect::Wamp2(serializer) => wamp2::read(serializer, message),
        Dialect::Wamp1 => wamp1::read(message),
        Dialect::Nats | Dialect::Raw => Ok(ServerMessage::Event(message)),
    }
    .map_err(|what| ProtocolError::message(what, message))
}

/// A protocol error of the server.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the server sent {0}")]
pub(crate) struct ProtocolError(String);

/// The name of a message that cannot be decoded.
pub(crate) type MessageName = &'static str;

impl ProtocolError {
    fn frame(what: &'static str) -> Self {
        Self(what.to_owned())
    }

    /// Creates the error of a message that cannot be decoded, with its beginning.
    pub(crate) fn message(what: MessageName, message: &[u8]) -> Self {
        let beginning = message.get(..message.len().min(80)).unwrap_or_default();
        Self(format!("{what} that cannot be decoded: {}", beginning.escape_ascii()))
    }
}

#[cfg(test)]
mod tests;
