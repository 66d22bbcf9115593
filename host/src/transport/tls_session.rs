//! TLS session of a connection: encrypts for the socket, and decrypts what comes from it.
//!
//! A publisher encrypts its events itself, as it writes to sockets itself. The session is locked under
//! the outbox for a write, and alone for a read. Bytes that the socket does not take stay in the
//! session: [`MAX_KEPT_BYTES`] at most, and no more is encrypted meanwhile. See decision 51.

use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

use jackfield_auth::{NoChannelId, TLS_EXPORTER_LABEL};
use jackfield_broker::outbox::Sink;
use tokio_rustls::rustls::{ProtocolVersion, ServerConnection};

use crate::client_socket::ClientSocket;

/// The maximum number of bytes that are encrypted and not taken by the socket yet: two full records.
const MAX_KEPT_BYTES: usize = 32 << 10;

/// The maximum number of reads of the socket in a row that bring nothing for WebSocket, such as those of
/// alerts, before other tasks have their turn.
const MAX_EMPTY_READS: usize = 16;

/// A TLS session after its handshake.
pub(super) struct TlsSession(Mutex<State>);

struct State {
    connection: ServerConnection,
    /// Bytes that were encrypted and not taken by the socket, without the overhead of records.
    kept: usize,
}

/// The result of a read.
pub(super) enum TlsRead {
    /// Decrypted bytes; none at the end.
    Bytes(usize),
    /// The socket has no more bytes. Whether some have come.
    Blocked(bool),
    /// The socket may have more bytes, but other tasks have their turn first.
    Yield,
}

impl TlsSession {
    pub(super) fn new(mut connection: ServerConnection) -> Self {
        connection.set_buffer_limit(Some(MAX_KEPT_BYTES));
        Self(Mutex::new(State { connection, kept: 0 }))
    }

    /// Returns the channel id for `tls-exporter`.
    pub(super) fn channel_id(&self) -> Result<[u8; 32], NoChannelId> {
        let connection = &self.lock().connection;
        if connection.protocol_version() != Some(ProtocolVersion::TLSv1_3) {
            return Err(NoChannelId::OldTls);
        }
        let exported = connection.export_keying_material([0; 32], TLS_EXPORTER_LABEL, Some(&[]));
        exported.map_err(|_| NoChannelId::NoMaterial)
    }

    /// Reads available bytes. Returns with the result whether there is something to write: an answer of
    /// TLS itself, or an alert.
    pub(super) fn read(
        &self,
        socket: &ClientSocket,
        buffer: &mut [u8],
    ) -> (io::Result<TlsRead>, bool) {
        let mut state = self.lock();
        let read = state.read(socket, buffer);
        (read, state.connection.wants_write())
    }

    /// Encrypts and writes bytes; returns how many were taken.
    ///
    /// # Errors
    /// `WouldBlock` if the socket has not taken earlier ones.
    pub(super) fn write(&self, slices: &[IoSlice<'_>], socket: &ClientSocket) -> io::Result<usize> {
        self.lock().write(slices, socket)
    }

    /// Writes what is encrypted.
    ///
    /// # Errors
    /// `WouldBlock` if the socket does not take all of it.
    pub(super) fn flush(&self, socket: &ClientSocket) -> io::Result<()> {
        self.lock().send(socket)
    }

    /// Tells the peer that nothing follows, as far as the socket takes it.
    pub(super) fn close(&self, socket: &ClientSocket) {
        let mut state = self.lock();
        state.connection.send_close_notify();
        // The end of the socket follows in any case.
        let _unsent = state.send(socket);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic of rustls would leave a session that fails later.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn read(&mut self, socket: &ClientSocket, buffer: &mut [u8]) -> io::Result<TlsRead> {
        let mut has_come = false;
        for _ in 0..MAX_EMPTY_READS {
            match self.connection.reader().read(buffer) {
                Ok(count) => return Ok(TlsRead::Bytes(count)),
                // Many clients end TCP without the alert.
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                    return Ok(TlsRead::Bytes(0));
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
            match self.connection.read_tls(&mut Incoming(socket)) {
                Ok(_) => has_come = true,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    return Ok(TlsRead::Blocked(has_come));
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            let processed = self.connection.process_new_packets();
            processed.map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
        }
        Ok(TlsRead::Yield)
    }

    /// Encrypts bytes, unless older ones wait for the socket, and writes them. Returns how many were
    /// encrypted.
    fn write(&mut self, slices: &[IoSlice<'_>], socket: &ClientSocket) -> io::Result<usize> {
        self.send(socket)?;
        let taken = self.connection.writer().write_vectored(slices)?;
        self.kept = taken;
        match self.send(socket) {
            Err(error) if error.kind() != ErrorKind::WouldBlock => Err(error),
            _ => Ok(taken),
        }
    }

    /// Writes encrypted bytes.
    fn send(&mut self, socket: &ClientSocket) -> io::Result<()> {
        while self.connection.wants_write() {
            match self.connection.write_tls(&mut Outgoing(socket)) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => self.kept = self.kept.saturating_sub(count),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.kept = 0;
        Ok(())
    }
}

/// Writes through the session to the socket, for an outbox.
pub(super) struct TlsSink<'a> {
    pub(super) session: &'a TlsSession,
    pub(super) socket: &'a ClientSocket,
}

impl Sink for TlsSink<'_> {
    fn write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.session.write(slices, self.socket)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.session.flush(self.socket)
    }

    fn kept(&self) -> usize {
        self.session.lock().kept
    }
}

/// The socket, as rustls reads it.
struct Incoming<'a>(&'a ClientSocket);

impl Read for Incoming<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.try_read_all(buffer)
    }
}

/// The socket, as rustls writes to it.
struct Outgoing<'a>(&'a ClientSocket);

impl Write for Outgoing<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write_vectored(slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
