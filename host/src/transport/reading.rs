//! Reading of a client's socket, through TLS if it is encrypted.

use std::cell::RefCell;
use std::io;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};

use jackfield_broker::Transport;

use super::tls_session::{TlsRead, TlsSession};
use super::{ClientTransport, add};

/// The size of the read buffer.
const READ_BUFFER_BYTES: usize = 16 * 1024;

thread_local! {
    /// The read buffer of the thread. Connections share it: each one stores only unread bytes of
    /// its own, and an idle one stores nothing.
    static INCOMING: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BUFFER_BYTES]);
}

impl ClientTransport {
    /// Reads available bytes and passes them to `take`, or registers the task to be woken when there
    /// are some. `None` at the end of the stream.
    pub(crate) fn poll_bytes<T>(
        &self,
        context: &mut Context<'_>,
        take: impl FnOnce(&[u8]) -> T,
    ) -> Poll<io::Result<Option<T>>> {
        INCOMING.with_borrow_mut(|incoming| {
            let count = match &self.tls {
                None => ready!(self.poll_read(context, incoming))?,
                Some(tls) => ready!(self.poll_decrypted(tls, context, incoming))?,
            };
            let bytes = incoming.get(..count).unwrap_or_default();
            Poll::Ready(Ok((count > 0).then(|| take(bytes))))
        })
    }

    /// Reads available bytes, or registers the task to be woken when there are some.
    fn poll_read(&self, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.socket.poll_readable(context))?;
            match self.socket.try_read_all(buffer) {
                Ok(count) => return Poll::Ready(Ok(self.count_read(count))),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// As [`poll_read`](Self::poll_read), through TLS.
    fn poll_decrypted(
        &self,
        tls: &TlsSession,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            let (read, wants_write) = tls.read(&self.socket, buffer);
            if wants_write {
                // Answers of TLS itself, or an alert.
                self.flush();
            }
            match read? {
                TlsRead::Bytes(count) => return Poll::Ready(Ok(self.count_read(count))),
                TlsRead::Blocked(has_come) => {
                    if has_come {
                        self.received.store(true, Ordering::Relaxed);
                    }
                    ready!(self.socket.poll_readable(context))?;
                }
                TlsRead::Yield => {
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                }
            }
        }
    }

    /// Counts bytes that were read, and returns their number.
    fn count_read(&self, count: usize) -> usize {
        self.received.store(true, Ordering::Relaxed);
        add(&self.read, count as u64);
        count
    }

    /// Reads and discards data until the peer closes. Dropping a socket with unread data would
    /// reset the connection, and the peer would lose data that it has not read yet.
    pub(crate) async fn read_out(&self) {
        let mut waste = [0; 512];
        loop {
            if self.socket.readable().await.is_err() {
                return;
            }
            match self.socket.try_read(&mut waste) {
                Ok(0) => return,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return,
            }
        }
    }
}
