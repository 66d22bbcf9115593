//! What is said on a connection, in each of the dialects: requests out, [`Said`] in. No I/O.
//!
//! - [`scan`]: reading values without building them, in [`json`], [`message_pack`] and [`cbor`];
//! - [`writer`]: writing them;
//! - [`wamp2`], [`wamp1`], [`nats`]: the messages;
//! - [`Talk`]: one connection's side of it, with the frames around.
//!
//! A client's side and no more of it than is measured: it shares no code with the server that it
//! measures.

pub(crate) mod cbor;
pub(crate) mod json;
pub(crate) mod message_pack;
pub(crate) mod nats;
pub(crate) mod scan;
pub(crate) mod wamp1;
pub(crate) mod wamp2;
pub(crate) mod writer;

use crate::frame::{self, Opcode};
use crate::plan::{Dialect, Plan};

/// What the server said.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Said<'a> {
    /// An event with this text.
    Event(&'a [u8]),
    /// The session is open.
    Welcome,
    /// A request was granted. Where the dialect has no request ids, requests are answered in order.
    Done {
        request: Option<u64>,
        /// The subscription's id, if it was a subscription.
        id: Option<u64>,
    },
    /// A request was not granted.
    Refused(Refusal),
    /// The server ends the session, or does not open it.
    Ended(String),
    /// Nothing that matters here.
    Nothing,
}

/// The server's own words about a request that it does not grant.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) request: Option<u64>,
    /// Where the server tells it.
    pub(crate) topic: Option<String>,
    /// The error's URI and message.
    pub(crate) words: String,
}

/// Longer than any message that is measured: the longest text, and what is around it.
const MAX_MESSAGE: usize = Plan::MAX_PAYLOAD + 64 * 1024;

/// Keeps a further part of a message until its end has arrived.
fn hold(held: &mut Vec<u8>, part: &[u8]) -> Result<(), Garbled> {
    if held.len().saturating_add(part.len()) > MAX_MESSAGE {
        return Err(Garbled("a message of more than 64 MiB".to_owned()));
    }
    held.extend_from_slice(part);
    Ok(())
}

/// What one end of a connection says and hears.
#[derive(Debug)]
pub(crate) struct Talk {
    dialect: Dialect,
    /// Whether NATS answers each request.
    acknowledged: bool,
    /// The beginning of a frame whose end has not arrived.
    partial: Vec<u8>,
    /// The beginning of a message in several frames; of NATS' stream, what is not complete.
    message: Vec<u8>,
    /// What is being written, before it is masked.
    draft: Vec<u8>,
}

impl Talk {
    pub(crate) const fn new(dialect: Dialect, acknowledged: bool) -> Self {
        Self { dialect, acknowledged, partial: Vec::new(), message: Vec::new(), draft: Vec::new() }
    }

    /// Opens a session; [`Said::Welcome`] is the answer. False if nothing has to be said for it.
    pub(crate) fn hello(&mut self, out: &mut Vec<u8>, realm: &str) -> bool {
        self.draft.clear();
        match self.dialect {
            Dialect::Wamp2(serializer) => wamp2::hello(serializer, &mut self.draft, realm),
            Dialect::Nats => nats::hello(&mut self.draft, self.acknowledged),
            // WELCOME comes by itself.
            Dialect::Wamp1 => return true,
            Dialect::Raw => return false,
        }
        self.send(out);
        true
    }

    /// Asks for a subscription; [`Said::Done`] or [`Said::Refused`] is the answer.
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
        self.mark(out, request);
    }

    /// Ends a subscription, which was asked for with `asked` and got the id `subscription`.
    pub(crate) fn unsubscribe(
        &mut self,
        out: &mut Vec<u8>,
        request: u64,
        topic: &str,
        asked: u64,
        subscription: u64,
    ) {
        self.draft.clear();
        match self.dialect {
            Dialect::Wamp2(serializer) => {
                wamp2::unsubscribe(serializer, &mut self.draft, request, subscription);
            }
            Dialect::Wamp1 => wamp1::unsubscribe(&mut self.draft, topic),
            Dialect::Nats => nats::unsubscribe(&mut self.draft, asked),
            Dialect::Raw => return,
        }
        self.send(out);
        self.mark(out, request);
    }

    /// Publishes a text; if it is to be acknowledged, [`Said::Done`] or [`Said::Refused`] is the
    /// answer.
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
            self.mark(out, request);
        }
    }

    /// Calls a procedure with a text as its only argument; [`Said::Done`] or [`Said::Refused`] is the
    /// answer. Only WAMP has procedures.
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

    /// Where the dialect answers nothing, the answer to a ping behind the request is taken for it:
    /// a connection's messages are handled in order.
    fn mark(&self, out: &mut Vec<u8>, request: u64) {
        if self.dialect == Dialect::Wamp1 {
            frame::write(out, Opcode::Ping, &request.to_be_bytes());
        }
    }

    fn send(&self, out: &mut Vec<u8>) {
        let opcode = if self.dialect.is_binary() { Opcode::Binary } else { Opcode::Text };
        frame::write(out, opcode, &self.draft);
    }

    /// Takes what has arrived, and tells all that was said. What has to be answered for the
    /// connection's sake is appended to `replies`.
    ///
    /// # Errors
    /// What the listener fails with, and what cannot be understood.
    pub(crate) fn hear<E: From<Garbled>>(
        &mut self,
        bytes: &[u8],
        replies: &mut Vec<u8>,
        mut listen: impl FnMut(Said<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        if self.partial.is_empty() {
            let used = self.frames(bytes, replies, &mut listen)?;
            self.partial.extend_from_slice(bytes.get(used..).unwrap_or_default());
            return Ok(());
        }
        let mut whole = std::mem::take(&mut self.partial);
        whole.extend_from_slice(bytes);
        let used = self.frames(&whole, replies, &mut listen)?;
        whole.drain(..used);
        self.partial = whole;
        Ok(())
    }

    /// The length of the complete frames.
    fn frames<E: From<Garbled>>(
        &mut self,
        bytes: &[u8],
        replies: &mut Vec<u8>,
        listen: &mut impl FnMut(Said<'_>) -> Result<(), E>,
    ) -> Result<usize, E> {
        let mut used = 0;
        while let Some((frame, length)) =
            frame::read(bytes.get(used..).unwrap_or_default()).map_err(Garbled::frame)?
        {
            used += length;
            match frame.opcode {
                Opcode::Text | Opcode::Binary | Opcode::Continuation => {
                    self.data(frame.last, frame.payload, replies, listen)?;
                }
                Opcode::Ping => frame::write(replies, Opcode::Pong, frame.payload),
                // Others than of WAMP v1 were never asked for.
                Opcode::Pong if self.dialect == Dialect::Wamp1 => {
                    let request = frame.payload.try_into().ok().map(u64::from_be_bytes);
                    if request.is_some() {
                        listen(Said::Done { request, id: None })?;
                    }
                }
                Opcode::Pong => {}
                Opcode::Close => listen(Said::Ended(frame::close_reason(frame.payload)))?,
            }
        }
        Ok(used)
    }

    fn data<E: From<Garbled>>(
        &mut self,
        last: bool,
        payload: &[u8],
        replies: &mut Vec<u8>,
        listen: &mut impl FnMut(Said<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        if self.dialect == Dialect::Nats {
            return self.stream(payload, replies, listen);
        }
        if last && self.message.is_empty() {
            return listen(said(self.dialect, payload)?);
        }
        hold(&mut self.message, payload)?;
        if last {
            let message = std::mem::take(&mut self.message);
            listen(said(self.dialect, &message)?)?;
        }
        Ok(())
    }

    /// NATS is a stream: frames and messages have nothing to do with each other.
    fn stream<E: From<Garbled>>(
        &mut self,
        payload: &[u8],
        replies: &mut Vec<u8>,
        listen: &mut impl FnMut(Said<'_>) -> Result<(), E>,
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
                nats::Line::Said(said) => listen(said)?,
                nats::Line::Ping => frame::write(replies, Opcode::Binary, b"PONG\r\n"),
            }
        }
        self.message = bytes.get(used..).unwrap_or_default().to_vec();
        Ok(())
    }
}

fn said(dialect: Dialect, message: &[u8]) -> Result<Said<'_>, Garbled> {
    match dialect {
        Dialect::Wamp2(serializer) => wamp2::read(serializer, message),
        Dialect::Wamp1 => wamp1::read(message),
        Dialect::Nats | Dialect::Raw => Ok(Said::Event(message)),
    }
    .map_err(|what| Garbled::message(what, message))
}

/// Something that the server sent and that is not understood.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the server sent {0}")]
pub(crate) struct Garbled(String);

/// A message that is not what it should be: which.
pub(crate) type Unreadable = &'static str;

impl Garbled {
    fn frame(what: &'static str) -> Self {
        Self(what.to_owned())
    }

    /// With the beginning of the message, for whoever has to find out.
    pub(crate) fn message(what: Unreadable, message: &[u8]) -> Self {
        let beginning = message.get(..message.len().min(80)).unwrap_or_default();
        Self(format!("{what} that is not understood: {}", beginning.escape_ascii()))
    }
}

#[cfg(test)]
mod tests;
