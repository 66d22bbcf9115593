//! Time limit of writes: a stream whose peer takes nothing for a while fails.
//!
//! Used by the control API, whose answers may have no end of their own, and by [`crate::http`]: hyper
//! would wait forever.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

/// A stream whose writes fail with `TimedOut` when the peer has taken nothing for this time.
pub(crate) struct WriteTimeout<S> {
    stream: S,
    max_pause: Duration,
    /// The end of the time, while a write waits.
    timer: Option<Pin<Box<Sleep>>>,
}

impl<S> WriteTimeout<S> {
    pub(crate) const fn new(stream: S, max_pause: Duration) -> Self {
        Self { stream, max_pause, timer: None }
    }

    /// Returns the stream.
    pub(crate) fn into_inner(self) -> S {
        self.stream
    }

    /// Passes the result of a write on, unless it has waited for too long.
    fn limit<T>(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.timer = None;
            return written;
        }
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(self.max_pause)));
        ready!(timer.as_mut().poll(context));
        // Another write gets the whole time again.
        timer.as_mut().reset(Instant::now() + self.max_pause);
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client does not read")))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for WriteTimeout<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for WriteTimeout<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.limit(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.limit(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.limit(context, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.stream).poll_shutdown(context);
        self.limit(context, shut)
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_util::poll;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn ends_with_a_peer_that_takes_nothing() {
        let (_silent, stream) = tokio::io::duplex(16);
        let pause = Duration::from_millis(20);
        let mut stream = WriteTimeout::new(stream, pause);
        let began = Instant::now();
        let error = stream.write_all(&[b'x'; 17]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(began.elapsed() >= pause);
    }

    #[tokio::test]
    async fn each_byte_that_is_read_gives_the_peer_the_whole_time_again() {
        let (mut slow, stream) = tokio::io::duplex(1);
        let mut stream = WriteTimeout::new(stream, Duration::from_secs(30));
        for _ in 0..10 {
            stream.write_u8(b'x').await.unwrap();
            assert!(stream.timer.is_none());
            let waiting = poll!(pin!(stream.write_u8(b'x')));
            assert!(waiting.is_pending() && stream.timer.is_some());
            slow.read_u8().await.unwrap();
        }
    }
}
