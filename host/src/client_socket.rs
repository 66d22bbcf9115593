//! Socket of a client: TCP, or a Unix socket.
//!
//! Both kinds are read and written without blocking. A client of a Unix socket counts as one at the
//! loopback device: it is a process of this machine, as a rule a proxy.
//!
//! The system calls are those of rustix: each call of the C library prepares for the cancellation of its
//! thread, which takes a tenth of a delivery's instructions.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::net::{IpAddr, Ipv4Addr, Shutdown};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use rustix::net::{RecvFlags, SendFlags, recv, send};
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tracing::debug;

/// The number of probes of TCP to a silent client, before it is lost.
const PROBES: u32 = 3;

/// The maximum number of bytes that are gathered for one write. To copy 32 frames of 165 bytes takes less
/// time than the kernel takes to read their addresses: 4.0 µs a write instead of 4.3 µs.
const MAX_GATHERED_BYTES: usize = 8 << 10;

thread_local! {
    /// Frames that are written together.
    static GATHERED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// The socket of a client.
pub(crate) enum ClientSocket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// Runs the same call on the socket of either kind.
macro_rules! either {
    ($socket:expr, $stream:ident => $call:expr) => {
        match $socket {
            ClientSocket::Tcp($stream) => $call,
            ClientSocket::Unix($stream) => $call,
        }
    };
}

impl ClientSocket {
    /// Returns the address of the peer.
    pub(crate) fn peer(&self) -> io::Result<IpAddr> {
        match self {
            Self::Tcp(stream) => Ok(stream.peer_addr()?.ip()),
            Self::Unix(_) => Ok(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        }
    }

    /// Sends small segments at once: events are urgent, and are batched before the socket.
    pub(crate) fn set_nodelay(&self) {
        if let Self::Tcp(stream) = self
            && let Err(error) = stream.set_nodelay(true)
        {
            debug!("failed to set TCP_NODELAY: {error}");
        }
    }

    /// Enables TCP keepalive after this idle time, to detect a peer that has vanished. With a `timeout`, TCP
    /// ends the connection after this time without an answer, also if it has bytes to send.
    pub(crate) fn probe_when_silent_for(&self, time: Duration, timeout: Option<Duration>) {
        let Self::Tcp(stream) = self else { return };
        let socket = SockRef::from(stream);
        let mut probes = TcpKeepalive::new().with_time(time);
        let mut set = Ok(());
        if let Some(timeout) = timeout {
            let interval = (timeout / PROBES).max(Duration::from_secs(1));
            probes = probes.with_interval(interval).with_retries(PROBES);
            set = socket.set_tcp_user_timeout(Some(time + timeout));
        }
        if let Err(error) = set.and_then(|()| socket.set_tcp_keepalive(&probes)) {
            debug!("failed to set the keepalive of TCP: {error}");
        }
    }

    /// Waits until the socket has bytes, or has ended.
    pub(crate) async fn readable(&self) -> io::Result<()> {
        either!(self, stream => stream.readable().await)
    }

    /// Waits until the socket accepts bytes.
    pub(crate) async fn writable(&self) -> io::Result<()> {
        either!(self, stream => stream.writable().await)
    }

    /// Ready if the socket has bytes or has ended; otherwise registers the task to be woken.
    pub(crate) fn poll_readable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => stream.poll_read_ready(context))
    }

    /// Reads available bytes.
    ///
    /// A read that does not fill the buffer has emptied the socket. It reports `WouldBlock` to the
    /// runtime in the same step, which saves one more read that would find nothing.
    ///
    /// # Errors
    /// `WouldBlock` if there are none.
    pub(crate) fn try_read_all(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut read = Err(io::ErrorKind::WouldBlock.into());
        let size = buffer.len();
        let mut keep = |received: rustix::io::Result<(usize, usize)>| {
            read = received.map(|(_, count)| count).map_err(io::Error::from);
            match read {
                Ok(count) if count > 0 && count < size => Err(io::ErrorKind::WouldBlock.into()),
                _ => read.as_ref().map(drop).map_err(|error| error.kind().into()),
            }
        };
        let _emptied = either!(self, stream => {
            stream.try_io(Interest::READABLE, || keep(recv(stream, &mut *buffer, RecvFlags::empty())))
        });
        read
    }

    /// Waits for the first byte, and leaves it in the socket; `None` at the end.
    pub(crate) async fn peek(&self) -> io::Result<Option<u8>> {
        loop {
            self.readable().await?;
            let mut byte = [0];
            let peeked = either!(self, stream => stream.try_io(Interest::READABLE, || {
                Ok(recv(stream, &mut byte, RecvFlags::PEEK)?.1)
            }));
            match peeked {
                Ok(count) => return Ok((count > 0).then_some(byte[0])),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Reads available bytes.
    ///
    /// # Errors
    /// `WouldBlock` if there are none.
    pub(crate) fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        either!(self, stream => stream.try_read(buffer))
    }

    /// Writes as many bytes as the socket accepts now.
    ///
    /// # Errors
    /// `WouldBlock` if it accepts none.
    pub(crate) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        either!(self, stream => {
            stream.try_io(Interest::WRITABLE, || Ok(send(stream, bytes, SendFlags::NOSIGNAL)?))
        })
    }

    /// Writes as many bytes as the socket accepts now.
    ///
    /// # Errors
    /// `WouldBlock` if it accepts none.
    pub(crate) fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let bytes: usize = slices.iter().map(|slice| slice.len()).sum();
        if bytes > MAX_GATHERED_BYTES {
            return either!(self, stream => stream.try_write_vectored(slices));
        }
        GATHERED.with_borrow_mut(|gathered| {
            gathered.clear();
            for slice in slices {
                gathered.extend_from_slice(slice);
            }
            self.try_write(gathered)
        })
    }

    /// Shuts down the write side: the peer reads everything in flight, and then the end.
    pub(crate) fn shut(&self) {
        // Fails if the peer has closed the connection already.
        let _gone = either!(self, stream => SockRef::from(stream).shutdown(Shutdown::Write));
    }
}

impl AsyncRead for ClientSocket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        either!(&mut *self, stream => Pin::new(stream).poll_read(context, buffer))
    }
}

impl AsyncWrite for ClientSocket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        either!(&mut *self, stream => Pin::new(stream).poll_write(context, bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        either!(&mut *self, stream => Pin::new(stream).poll_write_vectored(context, slices))
    }

    fn is_write_vectored(&self) -> bool {
        either!(self, stream => stream.is_write_vectored())
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(&mut *self, stream => Pin::new(stream).poll_flush(context))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(&mut *self, stream => Pin::new(stream).poll_shutdown(context))
    }
}
