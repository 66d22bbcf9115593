//! The messages of a connection, read by tungstenite with as little memory as an idle connection
//! can do with.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::{FutureExt, StreamExt};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::wire::{Duplex, Wire};

/// What tungstenite reads from the wire's buffer at once, and what it keeps. A larger message gets
/// a buffer of its own size.
const BUFFER: usize = 512;

/// Reads messages.
pub(super) struct Reader {
    wire: Arc<Wire>,
    settings: WebSocketConfig,
    websocket: WebSocketStream<Duplex>,
    /// A message was larger than what is to be kept, and tungstenite keeps its buffer: it has no
    /// way to give it back but to be made anew.
    bloated: bool,
}

/// A message, how reading failed, or nothing at the end.
pub(super) type Received = Option<Result<Message, Error>>;

impl Reader {
    /// Reads behind the handshake: first what was read along with it, then from the wire.
    pub(super) async fn new(wire: Arc<Wire>, early: Vec<u8>, message_bytes: usize) -> Self {
        let settings = WebSocketConfig::default()
            .read_buffer_size(BUFFER)
            .write_buffer_size(0)
            .max_message_size(Some(message_bytes))
            .max_frame_size(Some(message_bytes));
        let websocket = open(Duplex::new(Arc::clone(&wire), early), settings).await;
        Self { wire, settings, websocket, bloated: false }
    }

    /// Waits for the next message. It may be dropped and called again.
    pub(super) async fn next(&mut self) -> Received {
        poll_fn(|context| self.poll(context)).await
    }

    /// The next message, if it has arrived already.
    pub(super) fn ready(&mut self) -> Option<Received> {
        self.next().now_or_never()
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Received> {
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
                let duplex = Duplex::new(Arc::clone(&self.wire), Vec::new());
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

async fn open(duplex: Duplex, settings: WebSocketConfig) -> WebSocketStream<Duplex> {
    WebSocketStream::from_raw_socket(duplex, Role::Server, Some(settings)).await
}
