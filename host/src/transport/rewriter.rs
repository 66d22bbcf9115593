//! Rewriter of a connection: its outbox has frames of WebSocket, each with one message, so that events are encoded
//! once for all clients. They are rewritten for RawSocket, and for a WebSocket with batches.
//!
//! Rewritten bytes that the socket does not take stay here, [`MAX_KEPT_BYTES`] at most. For RawSocket, pings are left
//! out: clients in use take their header for a message of 16 MiB. So are close frames: RawSocket has none. A batch has
//! one message: the frames that wait are written together in any case.

use std::io::{self, ErrorKind, IoSlice};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use jackfield_broker::outbox::Sink;
use jackfield_rawsocket::{self as rawsocket, FrameKind};
use jackfield_websocket::{Opcode, frame_head, header};

use super::tls_session::TlsSession;
use crate::client_socket::ClientSocket;
use crate::frame::Form;

/// The maximum number of bytes that are rewritten and not taken by the socket yet.
const MAX_KEPT_BYTES: usize = 32 << 10;

/// The separator of Autobahn and Crossbar, until the client has used one.
const DEFAULT_SEPARATOR: u8 = 0x18;

/// The sending side of a socket whose frames are rewritten.
pub(super) struct Rewriter {
    form: Form,
    state: Mutex<State>,
    /// The byte behind each message of a batch in JSON.
    separator: AtomicU8,
}

struct State {
    at: At,
    /// Rewritten bytes, of which `sent` are taken by the socket.
    kept: Vec<u8>,
    sent: usize,
}

/// The place in the stream of frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Header,
    /// A payload of which bytes are missing.
    Payload(Payload),
}

/// The rest of the payload of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Payload {
    missing: usize,
    /// Whether it is written.
    is_written: bool,
    /// The byte behind it.
    end: Option<u8>,
}

impl Rewriter {
    /// Creates the rewriter of a form; `None` for frames that are written as they are.
    pub(super) fn of(form: Form) -> Option<Self> {
        let state = State { at: At::Header, kept: Vec::new(), sent: 0 };
        let separator = AtomicU8::new(DEFAULT_SEPARATOR);
        (form != Form::WebSocket).then(|| Self { form, state: Mutex::new(state), separator })
    }

    pub(super) const fn form(&self) -> Form {
        self.form
    }

    /// Replaces the byte behind each message of a batch in JSON.
    pub(super) fn set_separator(&self, separator: u8) {
        self.separator.store(separator, Ordering::Relaxed);
    }

    /// Writes the header of a frame with a payload of this length. Returns the rest of it.
    fn begin(&self, kept: &mut Vec<u8>, opcode: Opcode, length: usize) -> io::Result<Payload> {
        let mut payload = Payload { missing: length, is_written: true, end: None };
        match (self.form, opcode) {
            (Form::RawSocket { .. }, Opcode::Ping | Opcode::Close) => payload.is_written = false,
            (Form::RawSocket { max_payload_bytes }, opcode) => {
                let is_pong = opcode == Opcode::Pong;
                let kind = if is_pong { FrameKind::Pong } else { FrameKind::Message };
                let header =
                    rawsocket::header(kind, length).filter(|_| length <= max_payload_bytes);
                kept.extend_from_slice(&header.ok_or_else(|| too_long(length, max_payload_bytes))?);
            }
            (Form::Batched, Opcode::Text) => {
                kept.extend_from_slice(header(opcode, length + 1).as_bytes());
                payload.end = Some(self.separator.load(Ordering::Relaxed));
            }
            (Form::Batched, Opcode::Binary) => {
                let prefix =
                    u32::try_from(length).map_err(|_| too_long(length, u32::MAX as usize))?;
                kept.extend_from_slice(header(opcode, length + size_of::<u32>()).as_bytes());
                kept.extend_from_slice(&prefix.to_be_bytes());
            }
            (Form::Batched | Form::WebSocket, opcode) => {
                kept.extend_from_slice(header(opcode, length).as_bytes());
            }
        }
        Ok(payload)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic under the lock would leave a stream that the client refuses.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn too_long(length: usize, limit: usize) -> io::Error {
    let text = format!(
        "a message of {length} bytes is longer than the {limit} bytes that the client takes"
    );
    io::Error::new(ErrorKind::InvalidData, text)
}

impl State {
    /// Takes as much of a frame, or of the rest of one, as there is room. Returns the number of bytes.
    fn take(&mut self, rewriter: &Rewriter, frame: &[u8]) -> io::Result<usize> {
        let mut rest = frame;
        while !rest.is_empty() && self.kept.len() < MAX_KEPT_BYTES {
            match self.at {
                At::Header => {
                    let Some((opcode, head, length)) = frame_head(rest) else {
                        // Unreachable: the frames are those of this server.
                        return Err(ErrorKind::InvalidData.into());
                    };
                    self.at = At::Payload(rewriter.begin(&mut self.kept, opcode, length)?);
                    rest = rest.get(head..).unwrap_or_default();
                }
                At::Payload(payload) => {
                    let room = MAX_KEPT_BYTES - self.kept.len();
                    let (part, behind) = rest.split_at(payload.missing.min(rest.len()).min(room));
                    if payload.is_written {
                        self.kept.extend_from_slice(part);
                    }
                    self.at =
                        At::Payload(Payload { missing: payload.missing - part.len(), ..payload });
                    rest = behind;
                }
            }
            if let At::Payload(Payload { missing: 0, end, .. }) = self.at {
                self.kept.extend(end);
                self.at = At::Header;
            }
        }
        Ok(frame.len() - rest.len())
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

/// Writes through a rewriter, and TLS if there is one, to the socket, for an outbox.
pub(super) struct RewritingSink<'a> {
    pub(super) rewriter: &'a Rewriter,
    pub(super) tls: Option<&'a TlsSession>,
    pub(super) socket: &'a ClientSocket,
}

impl Sink for RewritingSink<'_> {
    fn write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut state = self.rewriter.lock();
        state.send(self.tls, self.socket)?;
        let mut taken = 0;
        for slice in slices {
            let count = match state.take(self.rewriter, slice) {
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
        self.rewriter.lock().send(self.tls, self.socket)
    }

    fn kept(&self) -> usize {
        let state = self.rewriter.lock();
        state.kept.len() - state.sent
    }
}

#[cfg(test)]
mod tests {
    use jackfield_websocket::frame;

    use super::*;

    /// Rewrites frames in portions as large as there is room.
    fn rewrite(form: Form, frames: &[bytes::Bytes]) -> io::Result<Vec<u8>> {
        let rewriter = Rewriter::of(form).unwrap();
        rewriter.set_separator(0x1e);
        let mut state = rewriter.lock();
        let mut written = Vec::new();
        for frame in frames {
            let mut rest = &frame[..];
            while !rest.is_empty() {
                let taken = state.take(&rewriter, rest)?;
                rest = &rest[taken..];
                assert!(state.kept.len() <= MAX_KEPT_BYTES + 1);
                written.append(&mut state.kept);
            }
        }
        assert_eq!(state.at, At::Header);
        Ok(written)
    }

    #[test]
    fn rewrites_frames_for_rawsocket() {
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
        let frames = frames.map(|(frame, _)| frame);
        let form = Form::RawSocket { max_payload_bytes: 100_000 };
        assert_eq!(rewrite(form, &frames).unwrap(), expected);
    }

    #[test]
    fn makes_a_batch_of_each_message() {
        let long = vec![b'x'; 70_000];
        let frames = [
            frame(Opcode::Text, b"[]"),
            frame(Opcode::Ping, b""),
            frame(Opcode::Text, &long),
            frame(Opcode::Binary, b"\x90"),
            frame(Opcode::Pong, b"pong"),
            frame(Opcode::Binary, &long),
            frame(Opcode::Close, b"\x03\xe8bye"),
        ];
        let length = 70_000_u32.to_be_bytes();
        let expected = [
            frame(Opcode::Text, b"[]\x1e"),
            frame(Opcode::Ping, b""),
            frame(Opcode::Text, &[&long[..], b"\x1e"].concat()),
            frame(Opcode::Binary, b"\0\0\0\x01\x90"),
            frame(Opcode::Pong, b"pong"),
            frame(Opcode::Binary, &[&length[..], &long].concat()),
            frame(Opcode::Close, b"\x03\xe8bye"),
        ];
        assert_eq!(rewrite(Form::Batched, &frames).unwrap(), expected.concat());
    }

    #[test]
    fn refuses_a_message_that_the_client_does_not_take() {
        let form = Form::RawSocket { max_payload_bytes: 512 };
        rewrite(form, &[frame(Opcode::Text, &[b'x'; 512])]).unwrap();
        let error = rewrite(form, &[frame(Opcode::Text, &[b'x'; 513])]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "a message of 513 bytes is longer than the 512 bytes that the client takes"
        );
    }
}
