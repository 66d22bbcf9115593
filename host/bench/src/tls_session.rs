//! TLS session of a connection: encrypts for its socket, and decrypts what comes from it.

use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::net::TcpStream;
use tokio_rustls::rustls::ClientConnection;

/// A session after its handshake. It is locked under the lock of the pending bytes, or alone.
pub(crate) struct TlsSession(Mutex<State>);

struct State {
    connection: ClientConnection,
    /// The pending bytes that are encrypted already.
    encrypted: usize,
}

impl TlsSession {
    pub(crate) fn new(connection: ClientConnection) -> Self {
        Self(Mutex::new(State { connection, encrypted: 0 }))
    }

    /// Encrypts and writes pending bytes, as much as the socket accepts without blocking. They stay
    /// pending until it has accepted all that they were encrypted to.
    pub(crate) fn flush(&self, stream: &TcpStream, pending: &mut Vec<u8>) -> io::Result<()> {
        let mut state = self.lock();
        let State { connection, encrypted } = &mut *state;
        while write(connection, stream)? {
            pending.drain(..std::mem::take(encrypted));
            if pending.is_empty() {
                break;
            }
            *encrypted = connection.writer().write(pending)?;
        }
        Ok(())
    }

    /// Reads bytes, or registers the task to be woken; none at the end.
    pub(crate) fn poll_read(
        &self,
        context: &mut Context<'_>,
        stream: &TcpStream,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut state = self.lock();
        let connection = &mut state.connection;
        loop {
            match connection.reader().read(buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                // The server has closed TCP without the end of TLS before.
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                    return Poll::Ready(Ok(0));
                }
                read => return Poll::Ready(read),
            }
            ready!(stream.poll_read_ready(context))?;
            match connection.read_tls(&mut WithoutWaiting(stream)) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
                Ok(_) => {
                    connection.process_new_packets().map_err(io::Error::other)?;
                    // Answers of TLS itself; the next flush writes what the socket does not accept.
                    write(connection, stream)?;
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for TlsSession {
    /// Without keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsSession")
    }
}

/// Writes encrypted bytes. Returns whether the socket has accepted all of them.
fn write(connection: &mut ClientConnection, stream: &TcpStream) -> io::Result<bool> {
    while connection.wants_write() {
        match connection.write_tls(&mut WithoutWaiting(stream)) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

/// A socket that is read and written without waiting.
struct WithoutWaiting<'a>(&'a TcpStream);

impl Read for WithoutWaiting<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(buffer)
    }
}

impl Write for WithoutWaiting<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
