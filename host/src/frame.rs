//! Outgoing WebSocket frames: unfragmented, unmasked, and encoded once for all receivers of a
//! dialect. RFC 6455, section 5.2.

use bytes::Bytes;
use jackfield_broker::{Framing, Session};
use jackfield_wamp::dialect::Dialect;
use jackfield_wamp::protocol::{Frame, Reply};
pub(crate) use jackfield_websocket::body;
use jackfield_websocket::{
    CloseCode, CloseFrame, MAX_HEADER_BYTES as HEADROOM, Opcode, deflated, frame, header,
};

/// The form of the frames of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// A message of WAMP in each frame of a WebSocket.
    WebSocket,
    /// A batch of messages in each frame of a WebSocket.
    Batched,
    /// RawSocket.
    RawSocket {
        /// The maximum size of the messages that the client takes.
        max_payload_bytes: usize,
    },
}

/// Returns the framing of events for the broker, with the maximum size of an event.
pub(crate) const fn framing(max_bytes: usize) -> Framing {
    Framing { headroom: HEADROOM, max_bytes, finish, compress }
}

/// Returns one WAMP message in a frame of its own.
pub(crate) fn message(dialect: Dialect, body: &[u8]) -> Bytes {
    frame(data(dialect), body)
}

/// Returns a message of a client in a frame to it.
pub(crate) fn echo(message: &Frame) -> Bytes {
    match message {
        Frame::Text(text) => frame(Opcode::Text, text),
        Frame::Binary(bytes) => frame(Opcode::Binary, bytes),
    }
}

/// Returns a reply in a frame of its own; `None` if the dialect of the session has no message for
/// it.
pub(crate) fn reply(session: &Session, reply: &Reply<'_>) -> Option<Bytes> {
    let body = reply.encode(session.dialect)?;
    Some(message(session.dialect, &body))
}

/// Returns the size in bytes of a data frame with a payload of this size.
pub(crate) fn data_frame_bytes(payload: usize) -> usize {
    header(Opcode::Binary, payload).as_bytes().len() + payload
}

/// The size in bytes of a [`ping`].
pub(crate) const PING_BYTES: usize = 2;

/// Returns a ping without a payload: any bytes from the peer count as a sign of life, not only the
/// pong.
pub(crate) fn ping() -> Bytes {
    frame(Opcode::Ping, b"")
}

/// Returns the answer to a ping with this payload.
pub(crate) fn pong(payload: &[u8]) -> Bytes {
    frame(Opcode::Pong, payload)
}

/// The maximum size of a close reason: a control frame holds 125 bytes, of which the code takes 2.
const MAX_REASON_BYTES: usize = 123;

/// Returns a close frame; RFC 6455, section 5.5.1. A longer reason is truncated.
pub(crate) fn close(code: CloseCode, reason: &str) -> Bytes {
    let mut end = reason.len().min(MAX_REASON_BYTES);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    close_with(code, reason.as_bytes().get(..end).unwrap_or_default())
}

/// Returns the answer to a close frame: the same content. RFC 6455, section 5.5.1.
pub(crate) fn close_answer(close: Option<&CloseFrame>) -> Bytes {
    close.map_or_else(|| frame(Opcode::Close, b""), |it| close_with(it.code, &it.reason))
}

fn close_with(code: CloseCode, reason: &[u8]) -> Bytes {
    frame(Opcode::Close, &[&code.number().to_be_bytes(), reason].concat())
}

/// Writes the header into the headroom, directly before the message.
fn finish(dialect: Dialect, buffer: Vec<u8>) -> Bytes {
    header(data(dialect), buffer.len().saturating_sub(HEADROOM)).before(buffer)
}

/// Shorter frames are not compressed: they fit a packet with the headers of TCP, and would hardly be
/// smaller.
const MIN_COMPRESSED_BYTES: usize = 256;

/// Returns the compressed form of a frame, if that is worth it.
fn compress(frame: &Bytes) -> Option<Bytes> {
    if frame.len() < MIN_COMPRESSED_BYTES { None } else { deflated(frame) }
}

fn data(dialect: Dialect) -> Opcode {
    if dialect.is_binary() { Opcode::Binary } else { Opcode::Text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jackfield_wamp::dialect::Codec;

    #[test]
    fn frames_events_and_replies_alike() {
        for length in [0, 1, 125, 126, 65_535, 65_536, 100_000] {
            let body = vec![b'x'; length];
            let mut buffer = vec![0; HEADROOM];
            buffer.extend_from_slice(&body);
            let event = finish(Dialect::V1, buffer);
            assert_eq!(event, message(Dialect::V1, &body), "{length}");
            assert_eq!(super::body(&event), body);
        }
    }

    #[test]
    fn writes_headers_as_rfc_6455_says() {
        assert_eq!(message(Dialect::V1, b"[]")[..], *b"\x81\x02[]");
        assert_eq!(message(Dialect::V2(Codec::Cbor), b"[]")[..], *b"\x82\x02[]");
        assert_eq!(message(Dialect::V1, &[b'x'; 126])[..4], *b"\x81\x7e\x00\x7e");
        assert_eq!(ping()[..], *b"\x89\x00");
        assert_eq!(close(CloseCode::AWAY, "bye")[..], *b"\x88\x05\x03\xe9bye");
    }

    #[test]
    fn truncates_a_long_reason_between_characters() {
        let frame = close(CloseCode::POLICY, &"é".repeat(100));
        assert_eq!(frame.len(), 2 + 2 + 122);
        assert!(std::str::from_utf8(&frame[4..]).is_ok());
    }
}
