//! The rules of RFC 6455.

use bytes::Bytes;
use jackfield_websocket::{CloseCode, MAX_FRAMES, Message, MessageReader, ReadError};

use crate::frames::{Raw, frame};

const MAX_BYTES: usize = 100_000;

/// Reads the messages in these bytes, which arrive in portions of `size`.
fn read(bytes: &[u8], size: usize) -> Result<Vec<Message>, ReadError> {
    let mut reader = MessageReader::new(MAX_BYTES);
    let mut messages = Vec::new();
    for mut portion in bytes.chunks(size) {
        while let Some(message) = reader.read(&mut portion)? {
            messages.push(message);
        }
        assert!(portion.is_empty(), "the reader takes all input");
    }
    Ok(messages)
}

#[track_caller]
fn check(frames: &[Vec<u8>], expected: &[Message]) {
    let bytes = frames.concat();
    for size in [1, 2, 3, 7, 64, bytes.len().max(1)] {
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

fn text(text: &str) -> Message {
    Message::Text(Bytes::copy_from_slice(text.as_bytes()))
}

#[test]
fn reads_the_masked_example_of_section_5_7() {
    let hello = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
    check(&[hello.to_vec()], &[text("Hello")]);
}

#[test]
fn reads_messages_of_all_lengths() {
    for length in [0, 1, 125, 126, 127, 65_535, 65_536, MAX_BYTES] {
        let long = "x".repeat(length);
        check(
            &[frame(0x81, &long), frame(0x82, b"\xff")],
            &[text(&long), Message::Binary(Bytes::from_static(b"\xff"))],
        );
    }
}

#[test]
fn accepts_overlong_lengths() {
    for length_bytes in [2, 8] {
        let raw = Raw { first: 0x81, masked: true, length_bytes, payload: b"abc" };
        check(&[raw.bytes()], &[text("abc")]);
    }
}

#[test]
fn joins_fragments_around_control_frames() {
    let frames = [
        frame(0x01, b"a\xc3"),
        frame(0x89, b"ping"),
        frame(0x00, b""),
        frame(0x8a, b""),
        frame(0x80, b"\xa9"),
        frame(0x02, b"\x00"),
        frame(0x80, b"\x01"),
    ];
    check(
        &frames,
        &[
            Message::Ping(Bytes::from_static(b"ping")),
            Message::Pong(Bytes::new()),
            text("aé"),
            Message::Binary(Bytes::from_static(b"\x00\x01")),
        ],
    );
}

#[test]
fn ends_with_a_close_frame() {
    let reason = [&1000_u16.to_be_bytes()[..], "bye é".as_bytes()].concat();
    let bytes = [frame(0x88, reason), frame(0x81, "ignored"), vec![0xff; 20]];
    let read = read(&bytes.concat(), 5).unwrap();
    let [Message::Close(Some(close))] = &read[..] else { panic!("{read:?}") };
    assert_eq!(close.code, CloseCode::NORMAL);
    assert_eq!(close.reason, "bye é");
    check(&[frame(0x88, "")], &[Message::Close(None)]);
    check(&[frame(0x01, "a"), frame(0x88, "")], &[Message::Close(None)]);
}

#[test]
fn refuses_close_frames_with_wrong_content() {
    refuse(&[frame(0x88, b"\x03")], ReadError::ShortClose, CloseCode::PROTOCOL);
    for number in [0_u16, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65_535] {
        let expected = ReadError::CloseCode(number);
        refuse(&[frame(0x88, number.to_be_bytes())], expected, CloseCode::PROTOCOL);
    }
    for number in [1000_u16, 1003, 1007, 1014, 3000, 4999] {
        assert!(read(&frame(0x88, number.to_be_bytes()), 1).is_ok(), "{number}");
    }
    refuse(&[frame(0x88, b"\x03\xe8\xff")], ReadError::Utf8, CloseCode::INVALID);
}

#[test]
fn refuses_violations() {
    let unmasked = Raw { first: 0x81, masked: false, length_bytes: 0, payload: b"a" };
    refuse(&[unmasked.bytes()], ReadError::Unmasked, CloseCode::PROTOCOL);
    for bit in [0x40, 0x20, 0x10] {
        refuse(&[frame(0x81 | bit, "a")], ReadError::ReservedBits, CloseCode::PROTOCOL);
    }
    for number in [3, 7, 0xb, 0xf] {
        let expected = ReadError::UnknownOpcode(number);
        refuse(&[frame(0x80 | number, "a")], expected, CloseCode::PROTOCOL);
    }
    refuse(&[frame(0x09, "a")], ReadError::FragmentedControl, CloseCode::PROTOCOL);
    let long = [b'x'; 126];
    refuse(&[frame(0x89, long)], ReadError::LongControl, CloseCode::PROTOCOL);
    refuse(&[frame(0x80, "a")], ReadError::UnexpectedContinuation, CloseCode::PROTOCOL);
    let begun = [frame(0x01, "a"), frame(0x81, "b")];
    refuse(&begun, ReadError::ExpectedContinuation, CloseCode::PROTOCOL);
}

#[test]
fn refuses_text_that_is_not_utf8_in_the_first_wrong_fragment() {
    refuse(&[frame(0x81, b"a\xff")], ReadError::Utf8, CloseCode::INVALID);
    refuse(&[frame(0x01, b"a\xff")], ReadError::Utf8, CloseCode::INVALID);
    refuse(&[frame(0x01, b"\xc3"), frame(0x00, b"x")], ReadError::Utf8, CloseCode::INVALID);
    refuse(&[frame(0x01, b"\xc3"), frame(0x80, b"")], ReadError::Utf8, CloseCode::INVALID);
}

#[test]
fn refuses_large_messages_by_their_headers() {
    let too_large = |bytes| ReadError::TooLarge { bytes, limit: MAX_BYTES };
    let whole = frame(0x82, vec![0; MAX_BYTES + 1]);
    refuse(&[whole[..14].to_vec()], too_large(MAX_BYTES as u64 + 1), CloseCode::SIZE);
    let part = frame(0x02, vec![0; MAX_BYTES]);
    let next = frame(0x80, b"x");
    refuse(&[part, next[..6].to_vec()], too_large(MAX_BYTES as u64 + 1), CloseCode::SIZE);
    let mut huge = vec![0x82, 0xff];
    huge.extend([0xff; 12]);
    refuse(&[huge], too_large(u64::MAX), CloseCode::SIZE);
}

#[test]
fn refuses_a_message_of_endless_frames() {
    let fragments = |count: u32| {
        let mut bytes = frame(0x01, "");
        bytes.extend((1..count).flat_map(|_| frame(0x00, "")));
        bytes
    };
    assert_eq!(read(&fragments(MAX_FRAMES), 4096), Ok(Vec::new()));
    refuse(&[fragments(MAX_FRAMES + 1)], ReadError::TooManyFrames, CloseCode::SIZE);
}

#[test]
fn counts_the_bytes_of_an_incomplete_message() {
    let mut reader = MessageReader::new(MAX_BYTES);
    let bytes = [frame(0x01, "abc"), frame(0x00, "de")].concat();
    assert_eq!(reader.read(&mut &bytes[..bytes.len() - 1]), Ok(None));
    assert_eq!(reader.incomplete_bytes(), 4);
    let rest = [&bytes[bytes.len() - 1..], &frame(0x80, "")].concat();
    assert_eq!(reader.read(&mut &rest[..]), Ok(Some(text("abcde"))));
    assert_eq!(reader.incomplete_bytes(), 0);
}
