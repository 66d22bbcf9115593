//! A socket behind bytes that were read from it already, as [`super`] passes it to hyper. A client that
//! takes nothing of an answer for a while loses its connection.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::client_stream::ClientStream;
use crate::write_timeout::WriteTimeout;

/// A socket, behind bytes that come first.
pub(super) struct Rewind {
    stream: WriteTimeout<ClientStream>,
    ahead: Bytes,
}

impl Rewind {
    /// Puts `ahead` before the bytes of a socket whose writes may pause for `max_pause`.
    pub(super) fn new(stream: ClientStream, ahead: Vec<u8>, max_pause: Duration) -> Self {
        Self { stream: WriteTimeout::new(stream, max_pause), ahead: ahead.into() }
    }

    /// The socket, and the bytes that were not read.
    pub(super) fn into_parts(self) -> (ClientStream, Bytes) {
        (self.stream.into_inner(), self.ahead)
    }
}

impl AsyncRead for Rewind {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.ahead.is_empty() {
            return Pin::new(&mut self.stream).poll_read(context, buffer);
        }
        let count = self.ahead.len().min(buffer.remaining());
        buffer.put_slice(self.ahead.get(..count).unwrap_or_default());
        self.ahead.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Rewind {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
