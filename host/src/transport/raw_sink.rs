//! RawSocket of a connection: rewrites the frames of its outbox, which are those of WebSocket, so that
//! events are encoded once for the clients of both transports.
//!
//! Rewritten bytes that the socket does not take stay here, [`MAX_KEPT_BYTES`] at most. Pings are left out: clients
//! in use take their header for a message of 16 MiB. So are close frames: RawSocket has none.

use std::io::{self, ErrorKind, IoSlice};
use std::sync::{Mutex, MutexGuard, PoisonError};

use jackfield_broker::outbox::Sink;
use jackfield_rawsocket::{self as rawsocket, FrameKind};
use jackfield_websocket::{Opcode, frame_head};

use super::tls_session::TlsSession;
use crate::client_socket::ClientSocket;

/// The maximum number of bytes that are rewritten and not taken by the socket yet.
const MAX_KEPT_BYTES: usize = 32 << 10;

/// The sending side of a RawSocket.
pub(super) struct RawSocket(Mutex<State>);

struct State {
    /// The maximum size in bytes of the messages that the client takes.
    max_payload_bytes: usize,
    at: At,
    /// Rewritten bytes, of which `sent` are taken by the socket.
    kept: Vec<u8>,
    sent: usize,
}

/// The place in the stream of frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Header,
    /// The number of bytes of the payload that follow, and whether they are written.
    Payload(usize, bool),
}

impl RawSocket {
    pub(super) fn new(max_payload_bytes: usize) -> Self {
        let (at, kept) = (At::Header, Vec::new());
        Self(Mutex::new(State { max_payload_bytes, at, kept, sent: 0 }))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic under the lock would leave a stream that the client refuses.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Takes as much of a frame, or of the rest of one, as there is room. Returns the number of bytes.
    fn take(&mut self, frame: &[u8]) -> io::Result<usize> {
        let mut rest = frame;
        while !rest.is_empty() && self.kept.len() < MAX_KEPT_BYTES {
            match self.at {
                At::Header => {
                    let Some((opcode, head, length)) = frame_head(rest) else {
                        // Unreachable: the frames are those of this server.
                        return Err(ErrorKind::InvalidData.into());
                    };
                    let is_written = self.begin(opcode, length)?;
                    self.at = At::Payload(length, is_written);
                    rest = rest.get(head..).unwrap_or_default();
                }
                At::Payload(missing, is_written) => {
                    let room = MAX_KEPT_BYTES - self.kept.len();
                    let (payload, behind) = rest.split_at(missing.min(rest.len()).min(room));
                    if is_written {
                        self.kept.extend_from_slice(payload);
                    }
                    self.at = At::Payload(missing - payload.len(), is_written);
                    rest = behind;
                }
            }
            if let At::Payload(0, _) = self.at {
                self.at = At::Header;
            }
        }
        Ok(frame.len() - rest.len())
    }

    /// Writes the header of a frame. Returns whether the payload follows.
    fn begin(&mut self, opcode: Opcode, length: usize) -> io::Result<bool> {
        let kind = match opcode {
            Opcode::Text | Opcode::Binary | Opcode::Continuation => FrameKind::Message,
            Opcode::Pong => FrameKind::Pong,
            Opcode::Ping | Opcode::Close => return Ok(false),
        };
        let header = rawsocket::header(kind, length).filter(|_| length <= self.max_payload_bytes);
        let header = header.ok_or_else(|| {
            let limit = self.max_payload_bytes;
            let text = format!(
                "a message of {length} bytes is longer than the {limit} bytes that the client takes"
            );
            io::Error::new(ErrorKind::InvalidData, text)
        })?;
        self.kept.extend_from_slice(&header);
        Ok(true)
    }

    /// Writes what was rewritten.
    fn send(&mut self, tls: Option<&TlsSession>, socket: &ClientSocket) -> io::Result<()> {
        while let Some(bytes) = self.kept.get(self.sent..).filter(|bytes| !bytes.is_empty()) {
            let written = match tls {
                None => socket.try_write(bytes),
                Some(tls) => tls.write(&[IoSlice::new(bytes)], socket),
            };
            match written {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        // Frees the memory for an idle connection.
        (self.kept, self.sent) = (Vec::new(), 0);
        tls.map_or(Ok(()), |tls| tls.flush(socket))
    }
}

/// Writes through a RawSocket, and TLS if there is one, to the socket, for an outbox.
pub(super) struct RawSink<'a> {
    pub(super) raw: &'a RawSocket,
    pub(super) tls: Option<&'a TlsSession>,
    pub(super) socket: &'a ClientSocket,
}

impl Sink for RawSink<'_> {
    fn write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut state = self.raw.lock();
        state.send(self.tls, self.socket)?;
        let mut taken = 0;
        for slice in slices {
            let count = match state.take(slice) {
                Ok(count) => count,
                Err(error) => {
                    // What came before it is sent, as far as the socket takes it.
                    let _unsent = state.send(self.tls, self.socket);
                    return Err(error);
                }
            };
            taken += count;
            if count < slice.len() {
                break;
            }
        }
        match state.send(self.tls, self.socket) {
            Err(error) if error.kind() != ErrorKind::WouldBlock => Err(error),
            _ => Ok(taken),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.raw.lock().send(self.tls, self.socket)
    }

    fn kept(&self) -> usize {
        let state = self.raw.lock();
        state.kept.len() - state.sent
    }
}

#[cfg(test)]
mod tests {
    use jackfield_websocket::frame;

    use super::*;

    #[test]
    fn rewrites_frames_in_portions_of_any_size() {
        let long = vec![b'x'; 70_000];
        let frames = [
            (frame(Opcode::Text, b"[]"), Some((FrameKind::Message, &b"[]"[..]))),
            (frame(Opcode::Ping, b""), None),
            (frame(Opcode::Pong, b"pong"), Some((FrameKind::Pong, b"pong"))),
            (frame(Opcode::Binary, &long), Some((FrameKind::Message, &long))),
            (frame(Opcode::Close, b"\x03\xe8bye"), None),
            (frame(Opcode::Text, b""), Some((FrameKind::Message, b""))),
        ];
        let mut expected = Vec::new();
        for (kind, payload) in frames.iter().filter_map(|(_, rewritten)| *rewritten) {
            expected.extend(rawsocket::header(kind, payload.len()).unwrap());
            expected.extend(payload);
        }
        let socket = RawSocket::new(100_000);
        let mut state = socket.lock();
        let mut written = Vec::new();
        for (frame, _) in &frames {
            let mut rest = &frame[..];
            while !rest.is_empty() {
                let taken = state.take(rest).unwrap();
                rest = &rest[taken..];
                assert!(state.kept.len() <= MAX_KEPT_BYTES);
                written.append(&mut state.kept);
            }
        }
        assert_eq!(written, expected);
        assert_eq!(state.at, At::Header);
    }

    #[test]
    fn refuses_a_message_that_the_client_does_not_take() {
        let socket = RawSocket::new(512);
        let mut state = socket.lock();
        state.take(&frame(Opcode::Text, &[b'x'; 512])).unwrap();
        let error = state.take(&frame(Opcode::Text, &[b'x'; 513])).unwrap_err();
        assert_eq!(
            error.to_string(),
            "a message of 513 bytes is longer than the 512 bytes that the client takes"
        );
    }
}
