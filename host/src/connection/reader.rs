//! The messages of a connection, read by tungstenite with as little memory as an idle connection
//! can do with, and those that were read ahead.

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

/// What tungstenite reads from the wire's buffer at once, and what it keeps. A larger message gets
/// a buffer of its own size.
const BUFFER: usize = 512;

/// Messages that may wait after they were read ahead.
const MAX_AHEAD_MESSAGES: usize = 256;
/// Bytes of messages that may wait before another one is read ahead.
const MAX_AHEAD_BYTES: usize = 64 * 1024;

/// Reads messages.
pub(super) struct Reader {
    wire: Arc<WebSocketTransport>,
    settings: WebSocketConfig,
    websocket: WebSocketStream<TungsteniteIo>,
    /// A message was larger than what is to be kept, and tungstenite keeps its buffer: it has no
    /// way to give it back but to be made anew.
    bloated: bool,
    ahead: Ahead,
    /// The bytes of `ahead`, where they are counted.
    held: Option<Held>,
}

/// Messages that were read ahead, in their order.
#[derive(Default)]
struct Ahead {
    waiting: VecDeque<Waiting>,
    bytes: usize,
    /// When the message arrived that was taken last.
    arrived: Option<Instant>,
}

struct Waiting {
    received: Received,
    /// The call that it makes, if it makes one.
    call: Option<RequestId>,
    arrived: Instant,
}

/// A message, how reading failed, or nothing at the end.
pub(super) type Received = Option<Result<Message, Error>>;

impl Reader {
    /// Reads behind the handshake: first what was read along with it, then from the wire.
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

    /// Waits for the next message. It may be dropped and called again.
    pub(super) async fn next(&mut self) -> Received {
        poll_fn(|context| self.poll(context)).await
    }

    /// The next message, if it has arrived already.
    pub(super) fn ready(&mut self) -> Option<Received> {
        self.next().now_or_never()
    }

    /// When the last message arrived that [`next`](Self::next) gave; none if that is now.
    pub(super) const fn arrived(&self) -> Option<Instant> {
        self.ahead.arrived
    }

    /// Reads another message ahead, and says what it is about; [`next`](Self::next) gives it in its
    /// turn, a CANCEL that has been dealt with excepted ([`drop_last`](Self::drop_last)). Not ready
    /// where enough messages wait, or where no other follows.
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

    /// Takes out the message that was read ahead last.
    pub(super) fn drop_last(&mut self) {
        self.ahead.drop_last();
        self.count_ahead();
    }

    /// Takes out a call that was read ahead. Whether there was one.
    pub(super) fn remove_call(&mut self, call: RequestId) -> bool {
        let removed = self.ahead.remove_call(call);
        self.count_ahead();
        removed
    }

    /// Counts the messages that were read ahead among those that wait for handlers.
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
            // Nothing is lost with the old one: it waits, so it has returned every message that
            // it has taken whole, and it has taken no part of another.
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
            // An idle connection keeps nothing of it.
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

    /// Whether nothing more is to be read ahead: enough waits, or the end does.
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

/// The frame of WAMP's that a message is; none where it is one of WebSocket's own. What is copied is
/// a reference.
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
