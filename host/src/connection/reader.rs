//! Message reader of a connection: tungstenite with minimal memory for idle connections, and a
//! queue of messages that were read ahead.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt};
use jackfield_wamp::id::RequestId;
use jackfield_wamp::protocol::{self as wamp, Frame, Lookahead};
use tokio::time::Instant;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::transport::{Held, MIN_ARRIVING_BYTES, Part, TungsteniteIo, WebSocketTransport};

/// The size in bytes of tungstenite's read buffer. A larger message gets a buffer of its own size.
const BUFFER: usize = 512;

/// The maximum number of waiting messages that were read ahead.
const MAX_AHEAD_MESSAGES: usize = 256;
/// The size of waiting messages in bytes, from which no further message is read ahead.
const MAX_AHEAD_BYTES: usize = 64 * 1024;

/// Reads the messages of a connection.
pub(super) struct Reader {
    wire: Arc<WebSocketTransport>,
    settings: WebSocketConfig,
    websocket: WebSocketStream<TungsteniteIo>,
    /// Whether a large message has grown tungstenite's buffer. The buffer can only be freed by
    /// replacing the stream.
    bloated: bool,
    ahead: Ahead,
    /// The bytes of `ahead`, if they are counted.
    held: Option<Held>,
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
    /// The call in the message, if there is one.
    call: Option<RequestId>,
    arrived: Instant,
}

/// A message, an error of reading, or `None` at the end.
pub(super) type Received = Option<Result<Message, Error>>;

impl Reader {
    /// Reads the messages after the handshake: first `early`, which was read together with it, then
    /// the transport.
    pub(super) async fn new(
        wire: Arc<WebSocketTransport>,
        early: Vec<u8>,
        message_bytes: usize,
    ) -> Self {
        let settings = WebSocketConfig::default()
            .read_buffer_size(BUFFER)
            .write_buffer_size(0)
            .max_message_size(Some(message_bytes))
            .max_frame_size(Some(message_bytes));
        let websocket = open(TungsteniteIo::new(Arc::clone(&wire), early), settings).await;
        Self { wire, settings, websocket, bloated: false, ahead: Ahead::default(), held: None }
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
        self.ahead.push(Waiting { received, call, arrived: Instant::now() });
        self.count_ahead();
        Poll::Ready(foresight)
    }

    /// Removes the message that was read ahead last.
    pub(super) fn drop_last(&mut self) {
        self.ahead.drop_last();
        self.count_ahead();
    }

    /// Removes a call that was read ahead. Returns whether there was one.
    pub(super) fn remove_call(&mut self, call: RequestId) -> bool {
        let removed = self.ahead.remove_call(call);
        self.count_ahead();
        removed
    }

    /// Counts the messages that were read ahead as messages that wait for handlers.
    fn count_ahead(&mut self) {
        let bytes = self.ahead.bytes;
        if bytes < MIN_ARRIVING_BYTES {
            self.held = None;
        } else if let Some(held) = &mut self.held {
            held.set(bytes);
        } else {
            self.held = self.wire.hold(bytes);
        }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Received> {
        match self.ahead.pop() {
            Some(received) => {
                self.count_ahead();
                Poll::Ready(received)
            }
            None => self.poll_websocket(context),
        }
    }

    fn poll_websocket(&mut self, context: &mut Context<'_>) -> Poll<Received> {
        let polled = self.websocket.poll_next_unpin(context);
        match &polled {
            Poll::Ready(Some(Ok(message))) => {
                self.bloated |= message.len() > BUFFER;
                polled
            }
            // The old stream loses no data: it has returned every complete message, and has read no
            // part of another.
            Poll::Pending if self.bloated && self.websocket.get_ref().is_between_messages() => {
                self.bloated = false;
                let duplex = TungsteniteIo::new(Arc::clone(&self.wire), Vec::new());
                match open(duplex, self.settings).now_or_never() {
                    Some(fresh) => self.websocket = fresh,
                    None => return Poll::Pending,
                }
                self.websocket.poll_next_unpin(context)
            }
            Poll::Ready(_) | Poll::Pending => polled,
        }
    }
}

impl Ahead {
    fn push(&mut self, waiting: Waiting) {
        self.bytes += waiting.bytes();
        self.waiting.push_back(waiting);
    }

    fn pop(&mut self) -> Option<Received> {
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
        Some(waiting.received)
    }

    fn drop_last(&mut self) {
        let removed = self.waiting.pop_back();
        self.bytes -= removed.as_ref().map_or(0, Waiting::bytes);
    }

    fn remove_call(&mut self, call: RequestId) -> bool {
        let place = self.waiting.iter().position(|waiting| waiting.call == Some(call));
        let removed = place.and_then(|place| self.waiting.remove(place));
        self.bytes -= removed.as_ref().map_or(0, Waiting::bytes);
        removed.is_some()
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
            Some(Ok(message)) => message.len(),
            Some(Err(_)) | None => 0,
        }
    }
}

/// Returns the WAMP frame of a message; `None` for control frames of WebSocket. Only a reference is
/// copied.
fn frame_of(message: &Message) -> Option<Frame> {
    match message {
        Message::Text(text) => Some(Frame::Text(Bytes::from(text.clone()))),
        Message::Binary(bytes) => Some(Frame::Binary(bytes.clone())),
        Message::Ping(_) | Message::Pong(_) | Message::Close(_) | Message::Frame(_) => None,
    }
}

async fn open(duplex: TungsteniteIo, settings: WebSocketConfig) -> WebSocketStream<TungsteniteIo> {
    WebSocketStream::from_raw_socket(duplex, Role::Server, Some(settings)).await
}
