//! Lingering close: ends the server's side of a connection, and reads and drops the client's for a
//! bounded time.
//!
//! A socket that is closed with unread input is reset, and a reset takes the answer from a client that
//! has not read it yet. Used wherever an answer may come before the end of the request: by `http` and
//! by the control API.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout_at};

/// The size of the buffer for dropped input.
const BUFFER_BYTES: usize = 4 << 10;

/// The time limits of a lingering close.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Linger {
    /// The maximum time without input.
    pub(crate) max_pause: Duration,
    /// The maximum time in all.
    pub(crate) max_time: Duration,
}

impl Linger {
    /// Closes a connection whose answer is written. Returns when the client has closed it as well, or
    /// when the time is over.
    pub(crate) async fn close(self, mut stream: impl AsyncRead + AsyncWrite + Unpin) {
        let end = Instant::now() + self.max_time;
        // Fails if the client has closed the connection already.
        let closed = timeout_at(end, stream.shutdown()).await;
        let mut is_open = matches!(closed, Ok(Ok(())));
        // On the heap: the future is a part of the task of each connection.
        let mut dropped = Vec::with_capacity(BUFFER_BYTES);
        while is_open {
            let now = Instant::now();
            let read = timeout_at(end.min(now + self.max_pause), stream.read_buf(&mut dropped));
            is_open = now < end && matches!(read.await, Ok(Ok(1..)));
            dropped.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    const LONG: Duration = Duration::from_mins(1);

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (client, listener.accept().await.unwrap().0)
    }

    #[tokio::test]
    async fn a_client_that_still_writes_reads_the_answer() {
        let (mut client, mut server) = pair().await;
        server.write_all(b"answer").await.unwrap();
        let asking = async {
            // More than the buffers of both sockets.
            client.write_all(&vec![b'x'; 16 << 20]).await.unwrap();
            let mut answer = Vec::new();
            client.read_to_end(&mut answer).await.unwrap();
            drop(client);
            answer
        };
        let linger = Linger { max_pause: LONG, max_time: LONG };
        let (answer, ()) = tokio::join!(asking, linger.close(server));
        assert_eq!(answer, b"answer");
    }

    #[tokio::test]
    async fn ends_with_clients_that_stay_or_never_stop_to_write() {
        let brief = Duration::from_millis(20);
        let (_silent, server) = pair().await;
        Linger { max_pause: brief, max_time: LONG }.close(server).await;
        let (mut client, server) = pair().await;
        let writing =
            tokio::spawn(async move { while client.write_all(&[b'x'; 1 << 10]).await.is_ok() {} });
        Linger { max_pause: LONG, max_time: brief }.close(server).await;
        writing.await.unwrap();
    }
}
