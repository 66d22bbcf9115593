//! WebSocket transport: the socket and the outbox of one connection, shared by its reader and all
//! writers.
//!
//! All writes go through the outbox. The task of a publisher writes to the subscribers' sockets
//! itself ([`Transport::flush`]), so that a thousand deliveries do not wake a thousand tasks. Only
//! when a socket accepts no more bytes does its own task ([`crate::connection`]) wait for it.
//! tungstenite reads and writes through a [`TungsteniteIo`], whose writes (pongs, close replies) go
//! to the outbox as well.

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

pub(crate) use backlog::{Held, Part};
use frame_tracker::FrameTracker;
pub(crate) use totals::ConnectionTotals;

/// A socket and its outbox.
pub(crate) struct WebSocketTransport {
    stream: TcpStream,
    outbox: Arc<Outbox>,
    /// Wakes the connection's own task: the socket is blocked, closing or broken.
    attention: Notify,
    /// Whether bytes have arrived since the last [`WebSocketTransport::take_received`].
    received: AtomicBool,
    /// Bytes received of an incomplete message.
    arriving: AtomicUsize,
    /// The client, once it has a session.
    client: OnceLock<ClientKey>,
    /// Whether the socket is not read because too much waits for handlers.
    paused: AtomicBool,
    totals: Arc<ConnectionTotals>,
    /// The number of this connection in `totals`.
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
            received: AtomicBool::new(false),
            arriving: AtomicUsize::new(0),
            client: OnceLock::new(),
            paused: AtomicBool::new(false),
            totals: Arc::clone(totals),
            number,
        });
        totals.add(number, Arc::downgrade(&wire));
        wire
    }

    /// Enables TCP keepalive after this idle time, to detect a peer that has vanished.
    pub(crate) fn probe_when_silent_for(&self, time: Duration) {
        let probes = TcpKeepalive::new().with_time(time);
        if let Err(error) = SockRef::from(&self.stream).set_tcp_keepalive(&probes) {
            tracing::debug!("failed to set SO_KEEPALIVE: {error}");
        }
    }

    pub(crate) fn outbox(&self) -> &Arc<Outbox> {
        &self.outbox
    }

    /// Writes the handshake response. One write is enough for a new socket, as a rule.
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

    /// Queues a frame of this connection itself, and writes it.
    pub(crate) fn send(&self, frame: Bytes) {
        match self.outbox.reply(frame) {
            PushOutcome::Flush => self.flush(),
            PushOutcome::Overflow => self.interrupt(),
            // The connection's loop checks for a crowded outbox after each reply.
            PushOutcome::Queued
            | PushOutcome::Crowded
            | PushOutcome::Dropped
            | PushOutcome::Closed => {}
        }
        self.relieve_if_exceeded();
    }

    /// Closes the connection because all connections together exceed a limit.
    fn evict(&self, closing: CloseReason) {
        if self.outbox.evict(closing) {
            self.forget_arriving();
            self.interrupt();
        }
    }

    /// Removes the incomplete message of a closing connection from the total.
    fn forget_arriving(&self) {
        let before = self.arriving.swap(0, Ordering::Relaxed);
        self.totals.arriving.replace(before, 0);
    }

    fn relieve_if_exceeded(&self) {
        if self.totals.outboxes.is_exceeded() || self.totals.arriving.is_exceeded() {
            self.totals.relieve();
        }
    }

    /// Returns the bytes received of an incomplete message.
    fn arriving_bytes(&self) -> usize {
        self.arriving.load(Ordering::Relaxed)
    }

    /// Updates the bytes received of an incomplete message.
    fn set_arriving(&self, bytes: usize) {
        let before = self.arriving.swap(bytes, Ordering::Relaxed);
        if before != bytes {
            self.totals.arriving.replace(before, bytes);
            self.relieve_if_exceeded();
        }
    }

    /// Returns whether bytes have arrived since the last call. A part of a long message is a sign
    /// of life, too. True while the server pauses reading, which is not the client's fault.
    pub(crate) fn take_received(&self) -> bool {
        self.received.swap(false, Ordering::Relaxed) || self.paused.load(Ordering::Relaxed)
    }

    /// Sets the client of the connection; only the first call has an effect.
    pub(crate) fn set_client(&self, client: ClientKey) {
        let _first = self.client.set(client);
    }

    /// Counts bytes that wait for handlers; `None` before there is a session.
    pub(crate) fn hold(&self, bytes: usize) -> Option<Held> {
        Some(self.totals.backlog.hold(*self.client.get()?, bytes))
    }

    /// Ready if the client may hold more bytes that wait for handlers, for a message that is read
    /// ahead.
    pub(crate) fn poll_room(&self, part: Part, context: &Context<'_>) -> Poll<()> {
        let client = self.client.get().copied();
        self.totals.backlog.poll_room(self.number, client, part, context)
    }

    /// As [`Self::poll_room`], before the socket is read, which is paused while there is no room.
    fn poll_readable(&self, part: Part, context: &Context<'_>) -> Poll<()> {
        let room = self.poll_room(part, context);
        if self.paused.load(Ordering::Relaxed) != room.is_pending() {
            self.paused.store(room.is_pending(), Ordering::Relaxed);
        }
        room
    }

    /// Waits until the connection's own task has to act: the socket is blocked, closing or broken.
    pub(crate) async fn attention(&self) {
        self.attention.notified().await;
    }

    /// Waits until a blocked socket accepts bytes again, and writes; forever if it is not blocked.
    pub(crate) async fn unblocked(&self) -> io::Result<()> {
        if !self.outbox.is_blocked() {
            return std::future::pending().await;
        }
        self.stream.writable().await?;
        self.write().map(drop)
    }

    /// Writes everything in the outbox.
    pub(crate) async fn write_all(&self) -> io::Result<()> {
        while self.write()? == Drained::Blocked {
            self.stream.writable().await?;
        }
        Ok(())
    }

    /// Shuts down the write side: the peer reads everything in flight, and then the end.
    pub(crate) fn shut(&self) {
        // Fails if the peer has closed the connection already.
        let _gone = SockRef::from(&self.stream).shutdown(Shutdown::Write);
    }

    /// Reads and discards data until the peer closes. Dropping a socket with unread data would
    /// reset the connection, and the peer would lose data that it has not read yet.
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
            // Cheaper than a vectored write.
            [slice] => self.stream.try_write(slice),
            slices => self.stream.try_write_vectored(slices),
        })
    }

    /// Reads available bytes, or registers the task to be woken when there are some.
    ///
    /// A read that does not fill the buffer has emptied the socket. It reports `WouldBlock` to the
    /// runtime in the same step, which saves one more read that would find nothing.
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
                    self.received.store(true, Ordering::Relaxed);
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
                let message = format!("write to the socket failed: {error}");
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

/// The close reason of a connection that cannot be written to. Clients never receive it.
pub(crate) const LOST: &str = "jackfield.close.connection_lost";

/// The size of the read buffer.
const READ_BUFFER_BYTES: usize = 16 * 1024;

thread_local! {
    /// The read buffer of the thread. Connections share it: each one stores only unread bytes of
    /// its own, and an idle one stores nothing.
    static INCOMING: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BUFFER_BYTES]);
}

/// The socket for tungstenite: reads from the transport, writes into the outbox.
pub(crate) struct TungsteniteIo {
    wire: Arc<WebSocketTransport>,
    /// Bytes that were read and did not fit into tungstenite's buffer.
    ahead: Bytes,
    /// The position in the stream of the bytes that tungstenite has taken.
    tracker: FrameTracker,
    /// Bytes of an incomplete message, which tungstenite buffers.
    arriving: usize,
}

/// Smaller messages, and beginnings of messages, are not counted: they cost less memory than the
/// connection itself.
pub(crate) const MIN_ARRIVING_BYTES: usize = 4 * 1024;

impl TungsteniteIo {
    /// Creates the socket of a transport, from which the bytes `ahead` have been read already.
    pub(crate) fn new(wire: Arc<WebSocketTransport>, ahead: Vec<u8>) -> Self {
        Self { wire, ahead: ahead.into(), tracker: FrameTracker::default(), arriving: 0 }
    }

    /// Returns whether the bytes that tungstenite has taken end with a complete message.
    pub(crate) fn is_between_messages(&self) -> bool {
        self.tracker.is_between_messages()
    }

    /// Accounts for bytes that tungstenite takes.
    fn pass(&mut self, bytes: &[u8]) {
        self.tracker.pass(bytes);
        let before = self.arriving;
        self.arriving = if self.tracker.is_between_messages() { 0 } else { before + bytes.len() };
        if before.max(self.arriving) >= MIN_ARRIVING_BYTES {
            self.wire.set_arriving(self.arriving);
        }
    }

    /// Moves as many bytes from `ahead` as fit.
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
            let is_long = self.arriving >= MIN_ARRIVING_BYTES;
            let part = if is_long { Part::Rest } else { Part::Beginning };
            ready!(self.wire.poll_readable(part, context));
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
