//! One connection: bytes between a TCP socket and [`Talk`].

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpSocket, TcpStream};

use crate::failure::Failure;
use crate::handshake::Request;
use crate::protocol::{Said, Talk};
use crate::tally::Tally;
use crate::workers::{Lane, Shared};

/// A WebSocket, as its task holds it.
#[derive(Debug)]
pub(crate) struct Socket {
    read: OwnedReadHalf,
    pub(crate) writer: Arc<Writer>,
    pub(crate) talk: Talk,
    /// What arrived with the response to the handshake.
    early: Vec<u8>,
    /// What has to be answered for the connection's sake.
    replies: Vec<u8>,
}

/// The side that is written to; at a fixed rate, by the thread that keeps the time.
#[derive(Debug)]
pub(crate) struct Writer {
    half: OwnedWriteHalf,
    /// What the socket did not take yet.
    pending: Mutex<Vec<u8>>,
}

/// No server answers a handshake with more than that.
const MAX_HEAD: usize = 64 * 1024;

/// Why servers end connections without a word.
const FULL: &str = "is the server's limit of connections reached (`limits.connections`)?";

/// An answer's listener gets the tally, the time at which the answer was read, and the answer.
pub(crate) trait Listen: FnMut(&mut Tally, u64, Said<'_>) -> Result<(), Failure> {}

impl<F: FnMut(&mut Tally, u64, Said<'_>) -> Result<(), Failure>> Listen for F {}

impl Socket {
    /// Connects and opens a WebSocket.
    pub(crate) async fn open(shared: &Shared, path: &str, talk: Talk) -> Result<Self, Failure> {
        let mut stream = connect(shared).await?;
        let plan = &shared.plan;
        let request = Request::new(&plan.target.authority, path, plan.dialect);
        let refused =
            |said| Failure::Handshake { url: format!("{}{path}", plan.target.authority), said };
        let failed = |error: std::io::Error| refused(format!("{error}; {FULL}"));
        stream.write_all(&request.bytes).await.map_err(failed)?;
        let mut head = Vec::with_capacity(512);
        let length = loop {
            if stream.read_buf(&mut head).await.map_err(failed)? == 0 {
                return Err(refused(format!("it closed the connection; {FULL}")));
            }
            if let Some(length) = request.answered(&head).map_err(refused)? {
                break length;
            }
            if head.len() > MAX_HEAD {
                return Err(refused("the head of its response exceeds 64 KiB".to_owned()));
            }
        };
        let early = head.split_off(length);
        let (read, half) = stream.into_split();
        let writer = Arc::new(Writer { half, pending: Mutex::default() });
        Ok(Self { read, writer, talk, early, replies: Vec::new() })
    }

    /// Says something. What the socket does not take at once is left to [`Self::turn`].
    pub(crate) fn send(
        &mut self,
        say: impl FnOnce(&mut Talk, &mut Vec<u8>),
    ) -> Result<(), Failure> {
        let mut pending = self.writer.pending();
        say(&mut self.talk, &mut pending);
        self.writer.flush(&mut pending)
    }

    /// Bytes that the socket did not take yet.
    pub(crate) fn pending(&self) -> usize {
        self.writer.pending().len()
    }

    /// Waits until something has arrived, or all that was pending has left, and listens to it.
    pub(crate) async fn turn(
        &mut self,
        lane: &Lane,
        shared: &Shared,
        listen: &mut impl Listen,
    ) -> Result<(), Failure> {
        std::future::poll_fn(|context| self.poll_turn(context, lane, shared, listen)).await
    }

    fn poll_turn(
        &mut self,
        context: &mut Context<'_>,
        lane: &Lane,
        shared: &Shared,
        listen: &mut impl Listen,
    ) -> Poll<Result<(), Failure>> {
        if self.writer.poll_flush(context)? {
            return Poll::Ready(Ok(()));
        }
        let mut desk = lane.desk();
        let crate::workers::WorkerContext { buffer, tally } = &mut *desk;
        let bytes = if self.early.is_empty() {
            let mut filled = ReadBuf::new(buffer);
            ready!(Pin::new(&mut self.read).poll_read(context, &mut filled))
                .map_err(|error| Failure::Ended(error.to_string()))?;
            let length = filled.filled().len();
            if length == 0 {
                let said = "it closed the connection without a reason";
                return Poll::Ready(Err(Failure::Ended(said.to_owned())));
            }
            buffer.get(..length).unwrap_or_default()
        } else {
            buffer.clear();
            buffer.append(&mut self.early);
            let length = buffer.len();
            buffer.resize(buffer.capacity(), 0);
            buffer.get(..length).unwrap_or_default()
        };
        let now = shared.course.clock.now();
        let Self { talk, replies, .. } = self;
        talk.hear(bytes, replies, |said| match said {
            Said::Ended(words) => Err(Failure::Ended(words)),
            said => listen(tally, now, said),
        })?;
        drop(desk);
        if !self.replies.is_empty() {
            let mut pending = self.writer.pending();
            pending.append(&mut self.replies);
            self.writer.flush(&mut pending)?;
        }
        Poll::Ready(Ok(()))
    }
}

impl Writer {
    pub(crate) fn pending(&self) -> MutexGuard<'_, Vec<u8>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes what the socket takes at once.
    pub(crate) fn flush(&self, pending: &mut Vec<u8>) -> Result<(), Failure> {
        let mut written = 0;
        while let Some(rest) = pending.get(written..).filter(|rest| !rest.is_empty()) {
            match self.half.try_write(rest) {
                Ok(count) => written += count,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(Failure::Ended(error.to_string())),
            }
        }
        pending.drain(..written);
        Ok(())
    }

    /// Whether something was pending and is not any more.
    fn poll_flush(&self, context: &mut Context<'_>) -> Result<bool, Failure> {
        let mut pending = self.pending();
        if pending.is_empty() {
            return Ok(false);
        }
        let stream: &TcpStream = self.half.as_ref();
        // The socket is asked again until it says that it tells when it takes more.
        while stream.poll_write_ready(context).is_ready() {
            self.flush(&mut pending)?;
            if pending.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

async fn connect(shared: &Shared) -> Result<TcpStream, Failure> {
    let address = shared.address;
    let unreachable = |error| Failure::Unreachable { address, error };
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
    let socket = socket.map_err(unreachable)?;
    if let Some(source) = shared.source() {
        socket.bind((source, 0).into()).map_err(unreachable)?;
    }
    let stream = socket.connect(address).await.map_err(unreachable)?;
    // What is sent is wanted now; batching is done before the socket.
    stream.set_nodelay(true).map_err(unreachable)?;
    Ok(stream)
}
