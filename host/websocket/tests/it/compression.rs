//! Compressed messages of clients; RFC 7692.

use bytes::Bytes;
use jackfield_websocket::{
    CloseCode, Message, MessageReader, Opcode, ReadError, body, deflated, frame as server_frame,
};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::frames::frame;

const MAX_BYTES: usize = 10_000;

/// "Hello" of RFC 7692, section 7.2.3.1.
const HELLO: [u8; 7] = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];

fn read(bytes: &[u8], size: usize) -> Result<Vec<Message>, ReadError> {
    let mut reader = MessageReader::new(MAX_BYTES).inflating(true);
    let mut messages = Vec::new();
    for mut portion in bytes.chunks(size) {
        while let Some(message) = reader.read(&mut portion)? {
            messages.push(message);
        }
    }
    Ok(messages)
}

#[track_caller]
fn check(frames: &[Vec<u8>], expected: &[Message]) {
    let bytes = frames.concat();
    for size in [1, 2, 3, 7, bytes.len()] {
        assert_eq!(read(&bytes, size).as_deref(), Ok(expected), "portions of {size} bytes");
    }
}

#[track_caller]
fn refuse(frames: &[Vec<u8>], expected: ReadError, code: CloseCode) {
    let bytes = frames.concat();
    for size in [1, 3, bytes.len()] {
        assert_eq!(read(&bytes, size), Err(expected), "portions of {size} bytes");
    }
    assert_eq!(expected.close_code(), code);
}

fn text(text: &'static str) -> Message {
    Message::Text(Bytes::from_static(text.as_bytes()))
}

/// Compresses a message as a client may do it.
fn compressed(content: &[u8]) -> Bytes {
    let frame = deflated(&server_frame(Opcode::Binary, content)).unwrap();
    frame.slice_ref(body(&frame))
}

#[test]
fn compressed_and_plain_messages_take_turns() {
    check(
        &[frame(0xc1, HELLO), frame(0x81, "Hello"), frame(0xc2, HELLO), frame(0xc1, HELLO)],
        &[
            text("Hello"),
            text("Hello"),
            Message::Binary(Bytes::from_static(b"Hello")),
            text("Hello"),
        ],
    );
}

#[test]
fn joins_fragments_before_they_are_inflated() {
    let (begin, end) = HELLO.split_at(3);
    check(
        &[
            frame(0x41, begin),
            frame(0x89, b"ping"),
            frame(0x00, b""),
            frame(0x80, end),
            frame(0x81, "x"),
        ],
        &[Message::Ping(Bytes::from_static(b"ping")), text("Hello"), text("x")],
    );
}

#[test]
fn refuses_the_bit_in_other_frames() {
    let misplaced = ReadError::MisplacedCompression;
    for opcode in [0xc8, 0xc9, 0xca] {
        refuse(&[frame(opcode, b"")], misplaced, CloseCode::PROTOCOL);
    }
    refuse(&[frame(0x41, &HELLO[..3]), frame(0xc0, &HELLO[3..])], misplaced, CloseCode::PROTOCOL);
    for first in [0xa1, 0x91, 0xe1, 0xd1] {
        refuse(&[frame(first, HELLO)], ReadError::ReservedBits, CloseCode::PROTOCOL);
    }
    // At its first byte.
    assert_eq!(read(&[0xc9], 1), Err(misplaced));
}

#[test]
fn refuses_the_bit_without_negotiation() {
    let mut reader = MessageReader::new(MAX_BYTES);
    assert_eq!(reader.read(&mut &frame(0xc1, HELLO)[..1]), Err(ReadError::ReservedBits));
}

#[test]
fn refuses_damaged_messages_and_text_that_is_not_utf_8() {
    refuse(&[frame(0xc1, b"\x07")], ReadError::Compression, CloseCode::INVALID);
    // A stored block with half a character.
    let half = [0x00, 0x01, 0x00, 0xfe, 0xff, 0xc3, 0x00];
    refuse(&[frame(0xc1, half)], ReadError::Utf8, CloseCode::INVALID);
    check(&[frame(0xc2, half)], &[Message::Binary(Bytes::from_static(b"\xc3"))]);
}

#[test]
fn the_limit_is_one_of_compressed_and_of_inflated_bytes() {
    let largest = vec![b'x'; MAX_BYTES];
    check(&[frame(0xc2, compressed(&largest))], &[Message::Binary(largest.into())]);
    let limit = MAX_BYTES;
    let bomb = compressed(&vec![b'x'; 1 << 24]);
    let (begin, end) = bomb.split_at(100);
    let end = &end[..end.len().min(MAX_BYTES - 100)];
    let too_large = ReadError::TooLarge { bytes: MAX_BYTES as u64 + 1, limit };
    refuse(&[frame(0xc2, begin)], too_large, CloseCode::SIZE);
    refuse(&[frame(0x42, begin), frame(0x80, end)], too_large, CloseCode::SIZE);
    // A message is refused by the length in its header.
    refuse(&[frame(0xc2, vec![0; MAX_BYTES + 1])], too_large, CloseCode::SIZE);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Any content, in any fragments and portions.
    #[test]
    fn inflates_what_was_compressed(
        words in vec("[a-zé€ ]{0,12}", 0..100),
        cuts in vec(any::<prop::sample::Index>(), 0..5),
        size in 1_usize..500,
    ) {
        let content = words.concat();
        let Some(message) = deflated(&server_frame(Opcode::Text, content.as_bytes())) else {
            return Ok(());
        };
        let message = body(&message);
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(message.len())).collect();
        cuts.sort_unstable();
        let ends = cuts.iter().copied().chain([message.len()]);
        let mut bytes = Vec::new();
        let mut start = 0;
        for (number, end) in ends.enumerate() {
            let first = if number == 0 { 0x41 } else { 0 };
            let last = if number == cuts.len() { 0x80 } else { 0 };
            bytes.extend(frame(first | last, &message[start..end]));
            start = end;
        }
        let expected = Message::Text(content.into_bytes().into());
        prop_assert_eq!(read(&bytes, size), Ok(vec![expected]));
    }

    /// Any bytes end in a message within the limit, or in an error.
    #[test]
    fn inflates_any_bytes_within_the_limit(bytes in vec(any::<u8>(), 0..300)) {
        if let Ok(messages) = read(&frame(0xc2, bytes), 300) {
            let [Message::Binary(content)] = &messages[..] else { panic!("{messages:?}") };
            prop_assert!(content.len() <= MAX_BYTES);
        }
    }
}
