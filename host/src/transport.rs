//! Transport of a client: the socket and the outbox of one connection, shared by its reader and all
//! writers. Frames are those of WebSocket; for RawSocket and batches, they are rewritten as they are sent.
//!
//! All writes go through the outbox. The task of a publisher writes to the subscribers' sockets
//! itself ([`Transport::flush`]), so that a thousand deliveries do not wake a thousand tasks. Only
//! when a socket accepts no more bytes does its own task ([`crate::connection`]) wait for it.
//! The reader's answers (pongs, close frames) go to the outbox as well.

use std::io::{self, IoSlice};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use jackfield_auth::NoChannelId;
use jackfield_broker::outbox::{Drained, PushOutcome};
use jackfield_broker::{Bounds, ClientKey, CloseReason, ConnectionInfo, Outbox, Transport};
use jackfield_wamp::dialect::Dialect;
use tokio::sync::Notify;

use crate::client_socket::ClientSocket;
use crate::client_stream::ClientStream;
use crate::frame::Form;
use crate::{close_uri, frame};

mod backlog;
mod reading;
mod rewriter;
mod tls_session;
mod totals;
mod traffic;

pub(crate) use backlog::{Held, Part};
use rewriter::{Rewriter, RewritingSink};
use tls_session::{TlsSession, TlsSink};
pub(crate) use totals::ConnectionTotals;
use traffic::Traffic;

/// A socket and its outbox.
pub(crate) struct ClientTransport {
    socket: ClientSocket,
    /// Encryption; `None` writes frames to the socket as they are.
    tls: Option<Box<TlsSession>>,
    /// RawSocket or batches; `None` writes frames as they are.
    rewriter: Option<Box<Rewriter>>,
    outbox: Arc<Outbox>,
    dialect: Dialect,
    /// Whether both sides may compress messages.
    is_compressed: bool,
    /// Bytes read so far. Only the connection's own task writes it.
    read: AtomicU64,
    /// Wakes the connection's own task: the socket is blocked, closing or broken.
    attention: Notify,
    /// Whether bytes have arrived since the last [`ClientTransport::take_received`].
    received: AtomicBool,
    /// Bytes received of an incomplete message.
    arriving: AtomicUsize,
    /// The client, once it has a session.
    client: OnceLock<SessionClient>,
    /// Messages received so far. Only the connection's own task writes it.
    messages: AtomicU64,
    /// Whether the socket is not read because too much waits for handlers.
    paused: AtomicBool,
    totals: Arc<ConnectionTotals>,
    /// The number of this connection in `totals`.
    number: u64,
}

/// The client of a session, and the session's begin.
struct SessionClient {
    key: ClientKey,
    address: IpAddr,
    since: SystemTime,
}

impl ClientTransport {
    /// Creates the transport. `is_compressed` tells whether both sides may compress messages.
    pub(crate) fn new(
        stream: ClientStream,
        dialect: Dialect,
        form: Form,
        is_compressed: bool,
        bounds: Bounds,
        totals: &Arc<ConnectionTotals>,
    ) -> Arc<Self> {
        let (socket, session) = stream.into_parts();
        let number = totals.number();
        let outbox = Outbox::counted(bounds, Arc::clone(&totals.outboxes));
        let wire = Arc::new(Self {
            socket,
            tls: session.map(|session| Box::new(TlsSession::new(session))),
            rewriter: Rewriter::of(form).map(Box::new),
            outbox: Arc::new(match form {
                Form::RawSocket { max_payload_bytes } => {
                    outbox.with_max_frame(frame::data_frame_bytes(max_payload_bytes))
                }
                Form::WebSocket | Form::Batched => outbox,
            }),
            dialect,
            is_compressed,
            read: AtomicU64::new(0),
            attention: Notify::new(),
            received: AtomicBool::new(false),
            arriving: AtomicUsize::new(0),
            client: OnceLock::new(),
            messages: AtomicU64::new(0),
            paused: AtomicBool::new(false),
            totals: Arc::clone(totals),
            number,
        });
        totals.add(number, Arc::downgrade(&wire));
        wire
    }

    /// Enables TCP keepalive after this idle time, to detect a peer that has vanished. For a RawSocket, which
    /// gets no pings, TCP ends the connection after `timeout` more.
    pub(crate) fn probe_when_silent_for(&self, time: Duration, timeout: Duration) {
        self.socket.probe_when_silent_for(time, self.is_raw().then_some(timeout));
    }

    /// Returns the form of the frames on the socket.
    pub(crate) fn form(&self) -> Form {
        self.rewriter.as_ref().map_or(Form::WebSocket, |rewriter| rewriter.form())
    }

    /// Returns whether the transport is a RawSocket.
    pub(crate) fn is_raw(&self) -> bool {
        matches!(self.form(), Form::RawSocket { .. })
    }

    /// Sets the byte behind each message of a batch in JSON.
    pub(crate) fn set_separator(&self, separator: u8) {
        if let Some(rewriter) = &self.rewriter {
            rewriter.set_separator(separator);
        }
    }

    /// Returns whether both sides may compress messages.
    pub(crate) const fn is_compressed(&self) -> bool {
        self.is_compressed
    }

    pub(crate) fn outbox(&self) -> &Arc<Outbox> {
        &self.outbox
    }

    /// Returns the id of the client's TLS session, for channel binding.
    pub(crate) fn channel_id(&self) -> Result<[u8; 32], NoChannelId> {
        self.tls.as_ref().ok_or(NoChannelId::NoTls)?.channel_id()
    }

    /// Writes the handshake response. One write is enough for a new socket, as a rule.
    pub(crate) async fn greet(&self, response: &[u8]) -> io::Result<()> {
        let mut rest = response;
        loop {
            self.socket.writable().await?;
            let written = match &self.tls {
                None if rest.is_empty() => return Ok(()),
                None => self.socket.try_write(rest),
                Some(tls) if rest.is_empty() => tls.flush(&self.socket).map(|()| 0),
                Some(tls) => tls.write(&[IoSlice::new(rest)], &self.socket),
            };
            match written {
                Ok(0) if rest.is_empty() => return Ok(()),
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => rest = rest.get(count..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
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

    /// Returns the messages and bytes so far.
    fn traffic(&self) -> Traffic {
        Traffic::of(self.outbox.traffic(), self.read_bytes(), self.messages.load(Ordering::Relaxed))
    }

    fn read_bytes(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    /// Returns the bytes received of an incomplete message.
    fn arriving_bytes(&self) -> usize {
        self.arriving.load(Ordering::Relaxed)
    }

    /// Updates the bytes received of an incomplete message.
    pub(crate) fn set_arriving(&self, bytes: usize) {
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

    /// Sets the client of the session that begins now; only the first call has an effect.
    pub(crate) fn set_client(&self, key: ClientKey, address: IpAddr) {
        let _first = self.client.set(SessionClient { key, address, since: SystemTime::now() });
    }

    /// Counts a message that was received. Called by the connection's own task alone.
    pub(crate) fn count_message(&self) {
        add(&self.messages, 1);
    }

    /// Counts bytes that wait for handlers; `None` before there is a session.
    pub(crate) fn hold(&self, bytes: usize) -> Option<Held> {
        Some(self.totals.backlog.hold(self.client.get()?.key, bytes))
    }

    /// Ready if the client may hold more bytes that wait for handlers, for a message that is read
    /// ahead.
    pub(crate) fn poll_room(&self, part: Part, context: &Context<'_>) -> Poll<()> {
        let client = self.client.get().map(|client| client.key);
        self.totals.backlog.poll_room(self.number, client, part, context)
    }

    /// As [`Self::poll_room`], before the socket is read, which is paused while there is no room.
    pub(crate) fn poll_readable(&self, part: Part, context: &Context<'_>) -> Poll<()> {
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
        // Boxed, as it is rare, and each idle connection has room for this future.
        Box::pin(self.socket.writable()).await?;
        self.write().map(drop)
    }

    /// Writes everything in the outbox.
    pub(crate) async fn write_all(&self) -> io::Result<()> {
        while self.write()? == Drained::Blocked {
            self.socket.writable().await?;
        }
        Ok(())
    }

    /// Shuts down the write side: the peer reads everything in flight, and then the end.
    pub(crate) fn shut(&self) {
        if let Some(tls) = &self.tls {
            tls.close(&self.socket);
        }
        self.socket.shut();
    }

    fn write(&self) -> io::Result<Drained> {
        let Self { outbox, socket, tls, rewriter, .. } = self;
        if let Some(rewriter) = rewriter {
            return outbox.drain_into(RewritingSink { rewriter, tls: tls.as_deref(), socket });
        }
        match tls {
            None => outbox.drain(|slices| match slices {
                // Cheaper than a vectored write.
                [slice] => socket.try_write(slice),
                slices => socket.try_write_vectored(slices),
            }),
            Some(session) => outbox.drain_into(TlsSink { session, socket }),
        }
    }
}

impl Transport for ClientTransport {
    fn flush(&self) {
        match self.write() {
            Ok(Drained::Empty) => {}
            Ok(Drained::Blocked) => {
                self.attention.notify_one();
                self.relieve_if_exceeded();
            }
            Err(error) => {
                let message = format!("write to the socket failed: {error}");
                self.outbox.close(close_uri::lost(message));
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

    fn connection(&self) -> ConnectionInfo {
        let client = self.client.get();
        let (address, since) = (client.map(|it| it.address), client.map(|it| it.since));
        ConnectionInfo {
            address,
            since,
            messages: self.messages.load(Ordering::Relaxed),
            bytes: self.read_bytes(),
        }
    }
}

/// Adds to a counter that one task writes and others read: without a locked instruction.
fn add(counter: &AtomicU64, count: u64) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(count), Ordering::Relaxed);
}

impl Drop for ClientTransport {
    fn drop(&mut self) {
        self.forget_arriving();
        self.totals.remove(self.number, self.dialect, self.traffic());
    }
}

/// Smaller messages, and beginnings of messages, are not counted: they cost less memory than the
/// connection itself.
pub(crate) const MIN_ARRIVING_BYTES: usize = 4 * 1024;
