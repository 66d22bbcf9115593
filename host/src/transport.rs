//! One connection's socket, shared by its reader and by everybody who writes to it.
//!
//! Writing goes through the outbox alone. Whoever publishes writes to a subscriber's socket by
//! itself ([`Transport::flush`]), so that a thousand deliveries wake no thousand tasks; only when a
//! socket takes no more does its own task ([`crate::connection`]) wait for it. tungstenite sees
//! the socket as a [`TungsteniteIo`], whose writes (pongs, close replies) join the outbox as well.

use std::cell::RefCell;
use std::io::{self, Read};
use std::net::Shutdown;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use jackfield_broker::outbox::{Drained, PushOutcome};
use jackfield_broker::{Bounds, ClientKey, CloseReason, Outbox, Transport};
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Notify;

mod backlog;
mod frame_tracker;
mod totals;

pub(crate) use backlog::Held;
use frame_tracker::FrameTracker;
pub(crate) use totals::ConnectionTotals;

/// A socket and the outbox that is written to it.
pub(crate) struct WebSocketTransport {
    stream: TcpStream,
    outbox: Arc<Outbox>,
    /// Wakes the connection's own task: it is blocked, closing or broken.
    attention: Notify,
    /// Whether anything has been read since it was last asked for.
    heard: AtomicBool,
    /// Bytes that have arrived of a message that is not complete.
    arriving: AtomicUsize,
    /// The client, once it has a session.
    client: OnceLock<ClientKey>,
    /// Whether a message is read no further because too much waits for handlers.
    paused: AtomicBool,
    totals: Arc<ConnectionTotals>,
    /// In the crowd.
    number: u64,
}

impl WebSocketTransport {
    pub(crate) fn new(
        stream: TcpStream,
        bounds: Bounds,
        totals: &Arc<ConnectionTotals>,
    ) -> Arc<Self> {
        let number = totals.number();
        let wire = Arc::new(Self {
            stream,
            outbox: Arc::new(Outbox::counted(bounds, Arc::clone(&totals.outboxes))),
            attention: Notify::new(),
            heard: AtomicBool::new(false),
            arriving: AtomicUsize::new(0),
            client: OnceLock::new(),
            paused: AtomicBool::new(false),
            totals: Arc::clone(totals),
            number,
        });
        totals.add(number, Arc::downgrade(&wire));
        wire
    }

    /// Has the operating system find out about a peer that is gone, while nothing is sent.
    pub(crate) fn probe_when_silent_for(&self, time: Duration) {
        let probes = TcpKeepalive::new().with_time(time);
        if let Err(error) = SockRef::from(&self.stream).set_tcp_keepalive(&probes) {
            tracing::debug!("failed to set SO_KEEPALIVE: {error}");
        }
    }

    pub(crate) fn outbox(&self) -> &Arc<Outbox> {
        &self.outbox
    }

    /// Writes the answer to the handshake, in one write: a fresh socket takes it whole.
    pub(crate) async fn greet(&self, response: &[u8]) -> io::Result<()> {
        let mut rest = response;
        while !rest.is_empty() {
            self.stream.writable().await?;
            match self.stream.try_write(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => rest = rest.get(count..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Queues a frame of the connection's own and writes it.
    pub(crate) fn send(&self, frame: Bytes) {
        match self.outbox.reply(frame) {
            PushOutcome::Flush => self.flush(),
            PushOutcome::Overflow => self.interrupt(),
            // The connection's loop looks for a crowd after each frame that is answered so.
            PushOutcome::Queued
            | PushOutcome::Crowded
            | PushOutcome::Dropped
            | PushOutcome::Closed => {}
        }
        self.relieve_if_exceeded();
    }

    /// Ends the connection because all of them together hold too much.
    fn evict(&self, closing: CloseReason) {
        if self.outbox.evict(closing) {
            self.forget_arriving();
            self.interrupt();
        }
    }

    /// A connection that is about to end counts no more for what has arrived.
    fn forget_arriving(&self) {
        let before = self.arriving.swap(0, Ordering::Relaxed);
        self.totals.arriving.replace(before, 0);
    }

    fn relieve_if_exceeded(&self) {
        if self.totals.outboxes.is_exceeded() || self.totals.arriving.is_exceeded() {
            self.totals.relieve();
        }
    }

    /// Bytes that have arrived of a message that is not complete.
    fn arriving_bytes(&self) -> usize {
        self.arriving.load(Ordering::Relaxed)
    }

    /// So many bytes have arrived of a message that is not complete.
    fn set_arriving(&self, bytes: usize) {
        let before = self.arriving.swap(bytes, Ordering::Relaxed);
        if before != bytes {
            self.totals.arriving.replace(before, bytes);
            self.relieve_if_exceeded();
        }
    }

    /// Whether anything has been read since this was last called: a part of a long message is a
    /// sign of life as well. A client that is read no further is not blamed for it.
    pub(crate) fn take_heard(&self) -> bool {
        self.heard.swap(false, Ordering::Relaxed) || self.paused.load(Ordering::Relaxed)
    }

    /// Says whose connection it is; the first client stays.
    pub(crate) fn set_client(&self, client: ClientKey) {
        let _first = self.client.set(client);
    }

    /// Counts bytes that wait for handlers; none before there is a session.
    pub(crate) fn hold(&self, bytes: usize) -> Option<Held> {
        Some(self.totals.backlog.hold(*self.client.get()?, bytes))
    }

    /// Whether the client may have more wait for handlers.
    pub(crate) fn has_room(&self) -> bool {
        self.totals.backlog.has_room(self.client.get().copied())
    }

    /// Ready when the client may have more wait for handlers.
    fn poll_room(&self, context: &Context<'_>) -> Poll<()> {
        let client = self.client.get().copied();
        let room = self.totals.backlog.poll_room(self.number, client, context);
        if self.paused.load(Ordering::Relaxed) != room.is_pending() {
            self.paused.store(room.is_pending(), Ordering::Relaxed);
        }
        room
    }

    /// Waits until the connection's own task has something to do.
    pub(crate) async fn attention(&self) {
        self.attention.notified().await;
    }

    /// Waits until the socket takes more, and writes; for ever while it is not blocked.
    pub(crate) async fn unblocked(&self) -> io::Result<()> {
        if !self.outbox.is_blocked() {
            return std::future::pending().await;
        }
        self.stream.writable().await?;
        self.write().map(drop)
    }

    /// Writes everything that waits.
    pub(crate) async fn write_all(&self) -> io::Result<()> {
        while self.write()? == Drained::Blocked {
            self.stream.writable().await?;
        }
        Ok(())
    }

    /// Ends our side: the peer reads what is on its way, and then the end.
    pub(crate) fn shut(&self) {
        // A peer that is gone already needs no end.
        let _gone = SockRef::from(&self.stream).shutdown(Shutdown::Write);
    }

    /// Reads what the peer still sends until it ends too. Dropping a socket with unread data
    /// would reset the connection, and with it what the peer has not read yet.
    pub(crate) async fn read_out(&self) {
        let mut waste = [0; 512];
        loop {
            if self.stream.readable().await.is_err() {
                return;
            }
            match self.stream.try_read(&mut waste) {
                Ok(0) => return,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return,
            }
        }
    }

    fn write(&self) -> io::Result<Drained> {
        self.outbox.drain(|slices| match slices {
            // The kernel has less to look at.
            [slice] => self.stream.try_write(slice),
            slices => self.stream.try_write_vectored(slices),
        })
    }

    /// Reads what has arrived, or says that the task will be woken when something has.
    ///
    /// A read that does not fill the buffer has emptied the socket, and the runtime is told so in
    /// the same step, which saves the read that would only find that out.
    fn poll_read(&self, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.stream.poll_read_ready(context))?;
            let mut read = Err(io::ErrorKind::WouldBlock.into());
            let _emptied = self.stream.try_io(Interest::READABLE, || {
                read = (&*SockRef::from(&self.stream)).read(buffer);
                match read {
                    Ok(count) if count > 0 && count < buffer.len() => {
                        Err(io::ErrorKind::WouldBlock.into())
                    }
                    _ => read.as_ref().map(drop).map_err(|error| error.kind().into()),
                }
            });
            match read {
                Ok(count) => {
                    self.heard.store(true, Ordering::Relaxed);
                    return Poll::Ready(Ok(count));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl Transport for WebSocketTransport {
    fn flush(&self) {
        match self.write() {
            Ok(Drained::Empty) => {}
            Ok(Drained::Blocked) => {
                self.attention.notify_one();
                self.relieve_if_exceeded();
            }
            Err(error) => {
                let message = format!("the socket is broken: {error}");
                self.outbox.close(CloseReason { reason: LOST.to_owned(), message });
                self.attention.notify_one();
            }
        }
    }

    fn interrupt(&self) {
        self.attention.notify_one();
    }

    fn relieve(&self) {
        self.totals.relieve();
    }
}

impl Drop for WebSocketTransport {
    fn drop(&mut self) {
        self.forget_arriving();
        self.totals.remove(self.number);
    }
}

/// The closing reason of a connection that cannot be written to. No client ever reads it.
pub(crate) const LOST: &str = "jackfield.close.connection_lost";

/// What is read from a socket at once.
const READ: usize = 16 * 1024;

thread_local! {
    /// Where reads go first. A connection of its own has no more buffer than what waits in it, and
    /// an idle one has none.
    static INCOMING: RefCell<Vec<u8>> = RefCell::new(vec![0; READ]);
}

/// The socket as tungstenite sees it: reads from the wire, writes into the outbox.
pub(crate) struct TungsteniteIo {
    wire: Arc<WebSocketTransport>,
    /// What was read and did not fit into tungstenite's buffer.
    ahead: Bytes,
    /// Where what tungstenite has taken ends.
    boundary: FrameTracker,
    /// Bytes of a message that is not complete, and that tungstenite therefore holds.
    arriving: usize,
}

/// Shorter messages, and beginnings of messages, are not counted: they cost less than the connection
/// itself.
pub(crate) const MIN_ARRIVING_BYTES: usize = 4 * 1024;

impl TungsteniteIo {
    /// The socket of a wire, behind what was read from it already.
    pub(crate) fn new(wire: Arc<WebSocketTransport>, ahead: Vec<u8>) -> Self {
        Self { wire, ahead: ahead.into(), boundary: FrameTracker::default(), arriving: 0 }
    }

    /// Whether all that tungstenite has taken is whole messages.
    pub(crate) fn is_between_messages(&self) -> bool {
        self.boundary.is_between_messages()
    }

    /// Tungstenite takes these bytes.
    fn pass(&mut self, bytes: &[u8]) {
        self.boundary.pass(bytes);
        let before = self.arriving;
        self.arriving = if self.boundary.is_between_messages() { 0 } else { before + bytes.len() };
        if before.max(self.arriving) >= MIN_ARRIVING_BYTES {
            self.wire.set_arriving(self.arriving);
        }
    }

    /// Moves as much as fits.
    fn take_ahead(&mut self, buffer: &mut ReadBuf<'_>) {
        let count = self.ahead.len().min(buffer.remaining());
        let now = self.ahead.split_to(count);
        buffer.put_slice(&now);
        self.pass(&now);
        if self.ahead.is_empty() {
            self.ahead = Bytes::new();
        }
    }
}

impl AsyncRead for TungsteniteIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.ahead.is_empty() {
            if self.arriving >= MIN_ARRIVING_BYTES {
                ready!(self.wire.poll_room(context));
            }
            INCOMING.with_borrow_mut(|incoming| {
                let count = ready!(self.wire.poll_read(context, incoming))?;
                let incoming = incoming.get(..count).unwrap_or_default();
                let (now, later) = incoming.split_at(count.min(buffer.remaining()));
                buffer.put_slice(now);
                self.pass(now);
                self.ahead = Bytes::copy_from_slice(later);
                Poll::Ready(Ok(()))
            })
        } else {
            self.take_ahead(buffer);
            Poll::Ready(Ok(()))
        }
    }
}

impl AsyncWrite for TungsteniteIo {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.wire.send(Bytes::copy_from_slice(bytes));
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
