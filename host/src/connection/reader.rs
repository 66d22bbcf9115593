//! Message reader of a connection, and a queue of messages that were read ahead.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use futures_util::FutureExt;
use jackfield_rawsocket::{self as rawsocket, FrameKind, FrameReader};
use jackfield_wamp::dialect::Dialect;
use jackfield_wamp::id::RequestId;
use jackfield_wamp::protocol::{self as wamp, Frame, Lookahead};
use jackfield_websocket::{CloseCode, Message, MessageReader, ReadError};
use tokio::time::Instant;

use super::batch::{Batch, BatchError};
use crate::frame::{self, Form};
use crate::transport::{ClientTransport, Held, MIN_ARRIVING_BYTES, Part};

/// The maximum number of waiting messages that were read ahead.
const MAX_AHEAD_MESSAGES: usize = 256;
/// The size of waiting messages in bytes, from which no further message is read ahead.
const MAX_AHEAD_BYTES: usize = 64 * 1024;

/// Reads the messages of a connection.
pub(super) struct Reader {
    wire: Arc<ClientTransport>,
    messages: Messages,
    /// Bytes that were read from the socket and are not taken by `messages`. An idle connection has
    /// none.
    rest: Bytes,
    /// Bytes that were taken since the last message: of the frames of the next one.
    taken: usize,
    /// The size on the wire of the last message of [`next`](Self::next), in bytes, or inflated.
    wire_bytes: usize,
    ahead: Ahead,
    /// Messages of a batch; `None` if the client sends none.
    batch: Option<Box<Batch>>,
    /// The bytes of `ahead` and `batch`, if they are counted. Boxed, as it is rare.
    held: Option<Box<Held>>,
}

/// The messages in the bytes of a client.
enum Messages {
    WebSocket(MessageReader),
    RawSocket {
        frames: FrameReader,
        /// Whether messages are text.
        is_text: bool,
    },
}

/// Messages that were read ahead, in order.
#[derive(Default)]
struct Ahead {
    waiting: VecDeque<Waiting>,
    bytes: usize,
    /// The time at which the message that was taken last arrived.
    arrived: Option<Instant>,
}

struct Waiting {
    received: Received,
    /// The size of the message on the wire, in bytes.
    wire_bytes: usize,
    /// The call in the message, if there is one.
    call: Option<RequestId>,
    arrived: Instant,
}

/// A message, an error of reading, or `None` at the end of the transport.
pub(super) type Received = Option<Result<Message, ReceiveError>>;

/// The reason for which a connection cannot be read further.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReceiveError {
    /// The socket failed.
    #[error(transparent)]
    Io(io::Error),
    /// The client violated the WebSocket protocol.
    #[error(transparent)]
    Violation(#[from] ReadError),
    /// The client violated the protocol of RawSocket.
    #[error(transparent)]
    RawSocket(#[from] rawsocket::ReadError),
    /// The client has sent a message that is no batch.
    #[error(transparent)]
    Batch(#[from] BatchError),
}

impl ReceiveError {
    /// Returns the code of the close frame that answers a violation; `None` of a failed socket.
    pub(super) const fn close_code(&self) -> Option<CloseCode> {
        match self {
            Self::Io(_) => None,
            Self::Violation(error) => Some(error.close_code()),
            // It is not sent to clients of RawSocket.
            Self::RawSocket(_) | Self::Batch(_) => Some(CloseCode::PROTOCOL),
        }
    }
}

impl Messages {
    /// Takes bytes from `input` until a message is complete, or until there are none.
    fn read(&mut self, input: &mut &[u8]) -> Result<Option<Message>, ReceiveError> {
        match self {
            Self::WebSocket(messages) => Ok(messages.read(input)?),
            Self::RawSocket { frames, is_text } => {
                let Some(frame) = frames.read(input)? else { return Ok(None) };
                Ok(Some(match frame.kind {
                    FrameKind::Ping => Message::Ping(frame.payload),
                    FrameKind::Pong => Message::Pong(frame.payload),
                    FrameKind::Message if !*is_text => Message::Binary(frame.payload),
                    FrameKind::Message if std::str::from_utf8(&frame.payload).is_err() => {
                        return Err(ReadError::Utf8.into());
                    }
                    FrameKind::Message => Message::Text(frame.payload),
                }))
            }
        }
    }

    /// Returns whether a part of a message has come.
    fn is_within_message(&self) -> bool {
        match self {
            Self::WebSocket(messages) => messages.incomplete_bytes() > 0,
            Self::RawSocket { frames, .. } => frames.is_within_frame(),
        }
    }

    fn incomplete_bytes(&self) -> usize {
        match self {
            Self::WebSocket(messages) => messages.incomplete_bytes(),
            Self::RawSocket { frames, .. } => frames.incomplete_bytes(),
        }
    }

    const fn set_max_bytes(&mut self, bytes: usize) {
        match self {
            Self::WebSocket(messages) => messages.set_max_message_bytes(bytes),
            Self::RawSocket { frames, .. } => frames.set_max_payload_bytes(bytes),
        }
    }
}

impl Reader {
    /// Reads the messages after the handshake: first `early`, which was read together with it, then
    /// the transport.
    pub(super) fn new(
        wire: Arc<ClientTransport>,
        dialect: Dialect,
        early: Vec<u8>,
        message_bytes: usize,
    ) -> Self {
        let messages = if wire.is_raw() {
            let (frames, is_text) = (FrameReader::new(message_bytes), !dialect.is_binary());
            Messages::RawSocket { frames, is_text }
        } else {
            Messages::WebSocket(MessageReader::new(message_bytes).inflating(wire.is_compressed()))
        };
        let has_batches = wire.form() == Form::Batched;
        let batch = has_batches.then(|| Box::new(Batch::new(!dialect.is_binary())));
        Self {
            wire,
            messages,
            rest: early.into(),
            taken: 0,
            wire_bytes: 0,
            ahead: Ahead::default(),
            batch,
            held: None,
        }
    }

    /// Replaces the maximum size of a message.
    pub(super) const fn set_max_message_bytes(&mut self, bytes: usize) {
        self.messages.set_max_bytes(bytes);
    }

    /// Returns whether a part of the next message has come.
    pub(super) fn is_within_message(&self) -> bool {
        self.messages.is_within_message()
    }

    /// Waits for the next message. Cancel-safe: it may be dropped and called again.
    pub(super) async fn next(&mut self) -> Received {
        poll_fn(|context| self.poll(context)).await
    }

    /// Returns the next message, if it has arrived already.
    pub(super) fn ready(&mut self) -> Option<Received> {
        self.next().now_or_never()
    }

    /// Returns the time at which the last message of [`next`](Self::next) arrived; `None` if that
    /// is now.
    pub(super) const fn arrived(&self) -> Option<Instant> {
        self.ahead.arrived
    }

    /// Returns the size on the wire of the last message of [`next`](Self::next), in bytes: with the
    /// headers of its frames. Of a compressed one, the inflated size if it is greater: that is its work.
    pub(super) const fn wire_bytes(&self) -> usize {
        self.wire_bytes
    }

    /// Reads another message ahead, and returns its kind. [`next`](Self::next) returns the message
    /// in its turn, except a handled CANCEL ([`drop_last`](Self::drop_last)). Not ready if enough
    /// messages wait, or if no other follows.
    pub(super) fn poll_ahead(
        &mut self,
        dialogue: &wamp::Protocol,
        context: &mut Context<'_>,
    ) -> Poll<Lookahead> {
        if self.ahead.is_full() {
            return Poll::Pending;
        }
        if self.ahead.bytes >= MIN_ARRIVING_BYTES {
            ready!(self.wire.poll_room(Part::Rest, context));
        }
        let received = ready!(self.poll_websocket(context));
        let foresight = match &received {
            Some(Ok(message)) => {
                frame_of(message).map_or(Lookahead::Other, |frame| dialogue.look_ahead(frame))
            }
            Some(Err(_)) | None => Lookahead::Other,
        };
        let call = match foresight {
            Lookahead::Call(call) => Some(call),
            Lookahead::Cancel(_) | Lookahead::Other => None,
        };
        let wire_bytes = self.take_size(&received);
        self.ahead.push(Waiting { received, wire_bytes, call, arrived: Instant::now() });
        self.count_ahead();
        Poll::Ready(foresight)
    }

    /// Removes the message that was read ahead last. Returns its size on the wire, in bytes.
    pub(super) fn drop_last(&mut self) -> usize {
        let removed = self.ahead.drop_last();
        self.count_ahead();
        removed
    }

    /// Removes a call that was read ahead. Returns its size on the wire in bytes, if there is one.
    pub(super) fn remove_call(&mut self, call: RequestId) -> Option<usize> {
        let removed = self.ahead.remove_call(call);
        self.count_ahead();
        removed
    }

    /// Counts the messages that were read ahead, and those of a batch, as messages that wait for handlers.
    fn count_ahead(&mut self) {
        let bytes = self.ahead.bytes + self.batch.as_deref().map_or(0, Batch::bytes);
        if bytes < MIN_ARRIVING_BYTES {
            self.held = None;
        } else if let Some(held) = &mut self.held {
            held.set(bytes);
        } else {
            self.held = self.wire.hold(bytes).map(Box::new);
        }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Received> {
        let received = if let Some((received, wire_bytes)) = self.ahead.pop() {
            self.wire_bytes = wire_bytes;
            self.count_ahead();
            received
        } else {
            let received = ready!(self.poll_websocket(context));
            self.wire_bytes = self.take_size(&received);
            received
        };
        // In its turn: no frame may follow the answer, and the running request has a reply.
        if let Some(Ok(Message::Close(close))) = &received {
            self.wire.send(frame::close_answer(close.as_ref()));
        }
        Poll::Ready(received)
    }

    /// Returns the size of a message that has just come, in bytes.
    fn take_size(&mut self, received: &Received) -> usize {
        let taken = std::mem::take(&mut self.taken);
        let payload = received.as_ref().and_then(|it| it.as_ref().ok()).map(Message::payload_bytes);
        taken.max(payload.unwrap_or_default())
    }

    /// Returns the next message of the socket. Pings are answered here, ahead of their turn.
    fn poll_websocket(&mut self, context: &mut Context<'_>) -> Poll<Received> {
        let received = ready!(self.poll_batch(context));
        if let Some(Ok(Message::Ping(payload))) = &received {
            self.wire.send(frame::pong(payload));
        }
        Poll::Ready(received)
    }

    /// Returns the next message of the socket, which may be one of several in a batch.
    fn poll_batch(&mut self, context: &mut Context<'_>) -> Poll<Received> {
        let Some(next) = self.batch.as_deref_mut().map(Batch::next) else {
            return self.poll_socket(context);
        };
        let received = match next {
            Some(message) => Some(message.map_err(ReceiveError::Batch)),
            None => match (ready!(self.poll_socket(context)), &mut self.batch) {
                (Some(Ok(message)), Some(batch)) => {
                    let first = batch.open(message);
                    if let Some(separator) = batch.separator() {
                        self.wire.set_separator(separator);
                    }
                    Some(first.map_err(ReceiveError::Batch))
                }
                (received, _) => received,
            },
        };
        self.count_ahead();
        Poll::Ready(received)
    }

    fn poll_socket(&mut self, context: &mut Context<'_>) -> Poll<Received> {
        loop {
            if let Some(received) = self.take_rest() {
                return Poll::Ready(Some(received));
            }
            let before = self.messages.incomplete_bytes();
            let part = if before >= MIN_ARRIVING_BYTES { Part::Rest } else { Part::Beginning };
            ready!(self.wire.poll_readable(part, context));
            let Self { wire, messages, rest, taken, .. } = self;
            let read = wire.poll_bytes(context, |bytes| {
                let mut left = bytes;
                let read = messages.read(&mut left);
                *taken += bytes.len() - left.len();
                *rest = Bytes::copy_from_slice(left);
                read
            });
            let read = match ready!(read) {
                Ok(Some(read)) => read,
                Ok(None) => return Poll::Ready(None),
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                    return Poll::Ready(None);
                }
                Err(error) => return Poll::Ready(Some(Err(ReceiveError::Io(error)))),
            };
            self.count_arriving(before);
            if let Some(received) = read.transpose() {
                return Poll::Ready(Some(received));
            }
        }
    }

    /// Returns the next complete message of the bytes that were read already.
    fn take_rest(&mut self) -> Option<Result<Message, ReceiveError>> {
        if self.rest.is_empty() {
            return None;
        }
        let before = self.messages.incomplete_bytes();
        let mut bytes = self.rest.as_ref();
        let read = self.messages.read(&mut bytes);
        let taken = self.rest.len() - bytes.len();
        self.taken += taken;
        self.rest.advance(taken);
        if self.rest.is_empty() {
            // Frees the memory for an idle connection.
            self.rest = Bytes::new();
        }
        self.count_arriving(before);
        read.transpose()
    }

    /// Counts the bytes of an incomplete message, of which there were `before`.
    fn count_arriving(&self, before: usize) {
        let now = self.messages.incomplete_bytes();
        if before.max(now) >= MIN_ARRIVING_BYTES {
            self.wire.set_arriving(now);
        }
    }
}

impl Ahead {
    fn push(&mut self, waiting: Waiting) {
        self.bytes += waiting.bytes();
        self.waiting.push_back(waiting);
    }

    /// Removes the first message. Returns it, and its size on the wire in bytes.
    fn pop(&mut self) -> Option<(Received, usize)> {
        let Some(waiting) = self.waiting.pop_front() else {
            self.arrived = None;
            return None;
        };
        self.bytes -= waiting.bytes();
        if self.waiting.is_empty() {
            // Frees the memory for an idle connection.
            self.waiting = VecDeque::new();
        }
        self.arrived = Some(waiting.arrived);
        Some((waiting.received, waiting.wire_bytes))
    }

    fn drop_last(&mut self) -> usize {
        let removed = self.waiting.pop_back();
        self.bytes -= removed.as_ref().map_or(0, Waiting::bytes);
        removed.map_or(0, |waiting| waiting.wire_bytes)
    }

    fn remove_call(&mut self, call: RequestId) -> Option<usize> {
        let place = self.waiting.iter().position(|waiting| waiting.call == Some(call))?;
        let removed = self.waiting.remove(place)?;
        self.bytes -= removed.bytes();
        Some(removed.wire_bytes)
    }

    /// Returns whether no more is read ahead: enough messages wait, or the stream has ended.
    fn is_full(&self) -> bool {
        let is_end = |waiting: &Waiting| !matches!(waiting.received, Some(Ok(_)));
        self.waiting.len() >= MAX_AHEAD_MESSAGES
            || self.bytes >= MAX_AHEAD_BYTES
            || self.waiting.back().is_some_and(is_end)
    }
}

impl Waiting {
    fn bytes(&self) -> usize {
        match &self.received {
            Some(Ok(message)) => message.payload_bytes(),
            Some(Err(_)) | None => 0,
        }
    }
}

/// Returns the WAMP frame of a message; `None` for control frames of WebSocket. Only a reference is
/// copied.
fn frame_of(message: &Message) -> Option<Frame> {
    match message {
        Message::Text(text) => Some(Frame::Text(text.clone())),
        Message::Binary(bytes) => Some(Frame::Binary(bytes.clone())),
        Message::Ping(_) | Message::Pong(_) | Message::Close(_) => None,
    }
}
