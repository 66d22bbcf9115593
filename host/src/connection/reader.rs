//! The messages of a connection, read by tungstenite with as little memory as an idle connection
//! can do with.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
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
    websocket: WebSocketStream<Duplex>,
    /// The last message, if it was large. tungstenite reads on into the buffer of the last message
    /// once nobody else holds it; holding it until then makes tungstenite take a small one.
    large: Option<Bytes>,
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
        let duplex = Duplex::new(wire, early);
        let websocket =
            WebSocketStream::from_raw_socket(duplex, Role::Server, Some(settings)).await;
        Self { websocket, large: None }
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
        let received = self.websocket.poll_next_unpin(context);
        self.large = match &received {
            Poll::Ready(Some(Ok(Message::Binary(bytes)))) if bytes.len() > BUFFER => {
                Some(bytes.clone())
            }
            Poll::Ready(Some(Ok(Message::Text(text)))) if text.len() > BUFFER => {
                Some(text.clone().into())
            }
            _ => None,
        };
        received
    }
}
