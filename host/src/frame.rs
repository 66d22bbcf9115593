//! Outgoing WebSocket frames: unfragmented, unmasked, and encoded once for all receivers of a
//! dialect. RFC 6455, section 5.2.

use std::io::Cursor;

use bytes::Bytes;
use jackfield_broker::{Framing, Session};
use jackfield_wamp::dialect::Dialect;
use jackfield_wamp::protocol::Reply;
use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Control, Data, OpCode};

/// The maximum size in bytes of the header of an unmasked frame.
const HEADROOM: usize = 10;

/// Returns the framing of events for the broker, with the maximum size of an event.
pub(crate) const fn framing(max_bytes: usize) -> Framing {
    Framing { headroom: HEADROOM, max_bytes, finish }
}

/// Returns one WAMP message in a frame of its own.
pub(crate) fn message(dialect: Dialect, body: &[u8]) -> Bytes {
    frame(data(dialect), body)
}

/// Returns a reply in a frame of its own; `None` if the dialect of the session has no message for
/// it.
pub(crate) fn reply(session: &Session, reply: &Reply<'_>) -> Option<Bytes> {
    let body = reply.encode(session.dialect)?;
    Some(message(session.dialect, &body))
}

/// Returns the message in a frame of [`message`] or [`reply`].
pub(crate) fn body(frame: &[u8]) -> &[u8] {
    let mut header = Cursor::new(frame);
    match FrameHeader::parse(&mut header) {
        Ok(Some(_)) => usize::try_from(header.position()).ok().and_then(|at| frame.get(at..)),
        Ok(None) | Err(_) => None,
    }
    .unwrap_or_default()
}

/// The size in bytes of a [`ping`].
pub(crate) const PING_BYTES: usize = 2;

/// Returns a ping without a payload: any bytes from the peer count as a sign of life, not only the
/// pong.
pub(crate) fn ping() -> Bytes {
    frame(OpCode::Control(Control::Ping), b"")
}

/// The maximum size of a close reason: a control frame holds 125 bytes, of which the code takes 2.
const MAX_REASON_BYTES: usize = 123;

/// Returns a close frame; RFC 6455, section 5.5.1. A longer reason is truncated.
pub(crate) fn close(code: CloseCode, reason: &str) -> Bytes {
    let mut end = reason.len().min(MAX_REASON_BYTES);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    let mut body = u16::from(code).to_be_bytes().to_vec();
    body.extend_from_slice(reason.as_bytes().get(..end).unwrap_or_default());
    frame(OpCode::Control(Control::Close), &body)
}

/// Writes the header into the headroom, directly before the message.
fn finish(dialect: Dialect, mut buffer: Vec<u8>) -> Bytes {
    let header = header(data(dialect), buffer.len().saturating_sub(HEADROOM));
    let start = HEADROOM.saturating_sub(header.len());
    if let Some(room) = buffer.get_mut(start..start + header.len()) {
        room.copy_from_slice(&header);
    }
    Bytes::from(buffer).slice(start..)
}

fn frame(opcode: OpCode, body: &[u8]) -> Bytes {
    let mut frame = header(opcode, body.len());
    frame.extend_from_slice(body);
    frame.into()
}

fn header(opcode: OpCode, length: usize) -> Vec<u8> {
    let header = FrameHeader { opcode, ..FrameHeader::default() };
    let mut bytes = Vec::with_capacity(HEADROOM + length.min(HEADROOM));
    // Writing into a vector cannot fail.
    let _infallible = header.format(length as u64, &mut bytes);
    bytes
}

fn data(dialect: Dialect) -> OpCode {
    OpCode::Data(if dialect.is_binary() { Data::Binary } else { Data::Text })
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
        assert_eq!(close(CloseCode::Away, "bye")[..], *b"\x88\x05\x03\xe9bye");
    }

    #[test]
    fn truncates_a_long_reason_between_characters() {
        let frame = close(CloseCode::Policy, &"é".repeat(100));
        assert_eq!(frame.len(), 2 + 2 + 122);
        assert!(std::str::from_utf8(&frame[4..]).is_ok());
    }
}
