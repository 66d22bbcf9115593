//! One connection: moves bytes between a TCP socket and [`ClientProtocol`].

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use jackfield_tls::HandshakeError;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;

use crate::error::BenchError;
use crate::handshake::UpgradeRequest;
use crate::plan::{Plan, Tls};
use crate::protocol::{ClientProtocol, ServerMessage};
use crate::tally::Tally;
use crate::tls_session::TlsSession;
use crate::workers::{Endpoint, RunContext, Worker};

/// A WebSocket connection, owned by its task.
#[derive(Debug)]
pub(crate) struct Socket {
    read: OwnedReadHalf,
    pub(crate) writer: Arc<SocketWriter>,
    pub(crate) protocol: ClientProtocol,
    /// Bytes that arrived with the handshake's response.
    early: Vec<u8>,
    /// Replies that the protocol demands.
    replies: Vec<u8>,
}

/// The write half; at a fixed rate, the pacer thread writes to it.
#[derive(Debug)]
pub(crate) struct SocketWriter {
    half: OwnedWriteHalf,
    tls: Option<TlsSession>,
    /// Bytes that the socket has not accepted yet.
    pending: Mutex<Vec<u8>>,
}

/// Longest head of a handshake's response.
const MAX_HEAD_BYTES: usize = 64 * 1024;

/// The likely reason of a connection closed without a response.
const LIMIT_HINT: &str = "is the server's limit of connections reached (`limits.connections`)?";

/// A message handler gets the tally, the receive time and the message.
pub(crate) trait MessageHandler:
    FnMut(&mut Tally, u64, ServerMessage<'_>) -> Result<(), BenchError>
{
}

impl<F: FnMut(&mut Tally, u64, ServerMessage<'_>) -> Result<(), BenchError>> MessageHandler for F {}

impl Socket {
    /// Connects and opens a WebSocket.
    pub(crate) async fn open(
        shared: &RunContext,
        endpoint: &Endpoint,
        path: &str,
        protocol: ClientProtocol,
    ) -> Result<Self, BenchError> {
        let mut stream = connect(shared, endpoint).await?;
        let authority = &endpoint.target.authority;
        let plan = &shared.plan;
        let (stream, tls, early) = match &plan.tls {
            None => {
                let early = upgrade(&mut stream, plan, authority, path).await?;
                (stream, None, early)
            }
            Some(Tls { config, name }) => {
                let connector = TlsConnector::from(Arc::clone(config));
                let mut secure =
                    connector.connect(name.clone(), stream).await.map_err(|error| {
                        let url = plan.target.url.clone();
                        match HandshakeError::among(&error) {
                            Some(error) => BenchError::Tls { url, error },
                            None => BenchError::Handshake { url, message: error.to_string() },
                        }
                    })?;
                let early = upgrade(&mut secure, plan, authority, path).await?;
                let (stream, connection) = secure.into_inner();
                (stream, Some(TlsSession::new(connection)), early)
            }
        };
        let (read, half) = stream.into_split();
        let writer = Arc::new(SocketWriter { half, tls, pending: Mutex::default() });
        Ok(Self { read, writer, protocol, early, replies: Vec::new() })
    }

    /// Sends a message. [`Self::drive`] writes the bytes that the socket does not accept now.
    pub(crate) fn send(
        &mut self,
        say: impl FnOnce(&mut ClientProtocol, &mut Vec<u8>),
    ) -> Result<(), BenchError> {
        let mut pending = self.writer.pending();
        say(&mut self.protocol, &mut pending);
        self.writer.flush(&mut pending)
    }

    /// Returns the number of bytes that the socket has not accepted yet.
    pub(crate) fn pending(&self) -> usize {
        self.writer.pending().len()
    }

    /// Waits for received bytes and handles their messages, or until all pending bytes are written.
    pub(crate) async fn drive(
        &mut self,
        worker: &Worker,
        shared: &RunContext,
        handle: &mut impl MessageHandler,
    ) -> Result<(), BenchError> {
        std::future::poll_fn(|context| self.poll_drive(context, worker, shared, handle)).await
    }

    fn poll_drive(
        &mut self,
        context: &mut Context<'_>,
        worker: &Worker,
        shared: &RunContext,
        handle: &mut impl MessageHandler,
    ) -> Poll<Result<(), BenchError>> {
        if self.writer.poll_flush(context)? {
            return Poll::Ready(Ok(()));
        }
        let mut local = worker.local();
        let crate::workers::WorkerLocal { buffer, tally } = &mut *local;
        let bytes = if self.early.is_empty() {
            let length = ready!(self.writer.poll_read(context, &mut self.read, buffer))
                .map_err(|error| BenchError::Ended(error.to_string()))?;
            if length == 0 {
                let message = "it closed the connection without a reason";
                return Poll::Ready(Err(BenchError::Ended(message.to_owned())));
            }
            buffer.get(..length).unwrap_or_default()
        } else {
            buffer.clear();
            buffer.append(&mut self.early);
            let length = buffer.len();
            buffer.resize(buffer.capacity(), 0);
            buffer.get(..length).unwrap_or_default()
        };
        tally.counts.received += bytes.len() as u64;
        let now = shared.period.clock.now();
        let Self { protocol, replies, .. } = self;
        protocol.receive(bytes, replies, |message| match message {
            ServerMessage::Ended(text) => Err(BenchError::Ended(text)),
            message => handle(tally, now, message),
        })?;
        drop(local);
        if !self.replies.is_empty() {
            let mut pending = self.writer.pending();
            pending.append(&mut self.replies);
            self.writer.flush(&mut pending)?;
        }
        Poll::Ready(Ok(()))
    }
}

impl SocketWriter {
    pub(crate) fn pending(&self) -> MutexGuard<'_, Vec<u8>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes as much as the socket accepts without blocking.
    pub(crate) fn flush(&self, pending: &mut Vec<u8>) -> Result<(), BenchError> {
        if let Some(tls) = &self.tls {
            let flushed = tls.flush(self.half.as_ref(), pending);
            return flushed.map_err(|error| BenchError::Ended(error.to_string()));
        }
        let mut written = 0;
        while let Some(rest) = pending.get(written..).filter(|rest| !rest.is_empty()) {
            match self.half.try_write(rest) {
                Ok(count) => written += count,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(BenchError::Ended(error.to_string())),
            }
        }
        pending.drain(..written);
        Ok(())
    }

    /// Reads bytes, or registers the task to be woken; none at the end.
    fn poll_read(
        &self,
        context: &mut Context<'_>,
        read: &mut OwnedReadHalf,
        buffer: &mut [u8],
    ) -> Poll<std::io::Result<usize>> {
        if let Some(tls) = &self.tls {
            return tls.poll_read(context, self.half.as_ref(), buffer);
        }
        let mut filled = ReadBuf::new(buffer);
        ready!(Pin::new(read).poll_read(context, &mut filled))?;
        Poll::Ready(Ok(filled.filled().len()))
    }

    /// Returns true when pending bytes have all been written.
    fn poll_flush(&self, context: &mut Context<'_>) -> Result<bool, BenchError> {
        let mut pending = self.pending();
        if pending.is_empty() {
            return Ok(false);
        }
        let stream: &TcpStream = self.half.as_ref();
        // Polled until it is pending, so that the task is woken when the socket is writable.
        while stream.poll_write_ready(context).is_ready() {
            self.flush(&mut pending)?;
            if pending.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Opens a WebSocket. Returns the bytes behind the head of the response.
async fn upgrade(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    plan: &Plan,
    authority: &str,
    path: &str,
) -> Result<Vec<u8>, BenchError> {
    let request = UpgradeRequest::new(authority, path, plan.dialect, plan.compress);
    let refused = |message| BenchError::Handshake { url: format!("{authority}{path}"), message };
    let failed = |error: std::io::Error| refused(format!("{error}; {LIMIT_HINT}"));
    stream.write_all(&request.bytes).await.map_err(failed)?;
    let mut head = Vec::with_capacity(512);
    loop {
        if stream.read_buf(&mut head).await.map_err(failed)? == 0 {
            return Err(refused(format!("it closed the connection; {LIMIT_HINT}")));
        }
        if let Some(length) = request.check_response(&head).map_err(refused)? {
            return Ok(head.split_off(length));
        }
        if head.len() > MAX_HEAD_BYTES {
            return Err(refused("the head of its response exceeds 64 KiB".to_owned()));
        }
    }
}

async fn connect(shared: &RunContext, endpoint: &Endpoint) -> Result<TcpStream, BenchError> {
    let address = endpoint.address;
    let unreachable = |error| BenchError::Unreachable { address, error };
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
    let socket = socket.map_err(unreachable)?;
    if let Some(source) = shared.source() {
        socket.bind((source, 0).into()).map_err(unreachable)?;
    }
    let stream = socket.connect(address).await.map_err(unreachable)?;
    // Batching is done before the socket.
    stream.set_nodelay(true).map_err(unreachable)?;
    Ok(stream)
}
