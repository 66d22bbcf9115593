//! Differential fuzzing: the reader and tungstenite read the same bytes, in the same portions.
//! Where both accept, the messages are equal; where one refuses, so does the other.

use std::collections::VecDeque;
use std::io::{self, Read, Write};

use bytes::Bytes;
use jackfield_websocket::{Message, MessageReader};
use proptest::collection::vec;
use proptest::prelude::*;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{self, WebSocket};

use crate::frames::Raw;

const MAX_BYTES: usize = 300;

/// The result of reading: the messages, and whether they end with a refusal.
#[derive(Debug, PartialEq)]
struct Reading {
    messages: Vec<Message>,
    is_refused: bool,
}

fn read_ours(portions: &[Vec<u8>]) -> Reading {
    let mut reader = MessageReader::new(MAX_BYTES);
    let mut messages = Vec::new();
    for portion in portions {
        let mut input = &portion[..];
        loop {
            match reader.read(&mut input) {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(_) => return Reading { messages, is_refused: true },
            }
        }
    }
    Reading { messages, is_refused: false }
}

fn read_theirs(portions: &[Vec<u8>]) -> Reading {
    let config = WebSocketConfig::default()
        .max_message_size(Some(MAX_BYTES))
        .max_frame_size(Some(MAX_BYTES));
    let socket = Socket(portions.iter().cloned().map(VecDeque::from).collect());
    let mut websocket = WebSocket::from_raw_socket(socket, Role::Server, Some(config));
    let mut messages = Vec::new();
    loop {
        match websocket.read() {
            Ok(message) => messages.push(ours(message)),
            Err(tungstenite::Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                return Reading { messages, is_refused: false };
            }
            // After a close frame, all further bytes are of no interest.
            Err(tungstenite::Error::ConnectionClosed) => {
                return Reading { messages, is_refused: false };
            }
            Err(_) => return Reading { messages, is_refused: true },
        }
    }
}

/// Converts a message of tungstenite; the content of a close frame is compared by `rules`.
fn ours(message: tungstenite::Message) -> Message {
    match message {
        tungstenite::Message::Text(text) => Message::Text(Bytes::from(text)),
        tungstenite::Message::Binary(data) => Message::Binary(data),
        tungstenite::Message::Ping(data) => Message::Ping(data),
        tungstenite::Message::Pong(data) => Message::Pong(data),
        tungstenite::Message::Close(_) => Message::Close(None),
        tungstenite::Message::Frame(_) => unreachable!("not returned by reads"),
    }
}

/// Removes the differences that are meant:
/// - The reader refuses a close frame with a forbidden code; tungstenite answers it with 1002.
fn normalize(mut reading: Reading) -> Reading {
    if let Some(Message::Close(content)) = reading.messages.last_mut() {
        *content = None;
    }
    reading
}

struct Socket(VecDeque<VecDeque<u8>>);

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.0.front().is_some_and(VecDeque::is_empty) {
            self.0.pop_front();
        }
        match self.0.front_mut() {
            Some(portion) => portion.read(buffer),
            None => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Payloads: short texts with characters of several bytes, any bytes, and long ones.
fn payload() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => "[a-zé€🦀]{0,8}".prop_map(String::into_bytes),
        2 => vec(any::<u8>(), 0..12),
        1 => vec(Just(b'x'), 120..330),
        // Halves of characters.
        1 => Just(b"\xc3".to_vec()),
        1 => Just(b"\xa9 a".to_vec()),
        // The content of close frames.
        1 => (900_u16..5100).prop_map(|code| code.to_be_bytes().to_vec()),
    ]
}

/// Frames: mostly of well-behaved clients.
fn any_frame() -> impl Strategy<Value = Vec<u8>> {
    let first = prop_oneof![
        10 => prop::sample::select(vec![0x81, 0x82, 0x01, 0x02, 0x00, 0x80, 0x89, 0x8a]),
        1 => Just(0x88),
        1 => any::<u8>(),
    ];
    let length = prop_oneof![8 => Just(0), 1 => Just(2), 1 => Just(8)];
    (first, prop::bool::weighted(0.98), length, payload()).prop_map(
        |(first, masked, length_bytes, payload)| {
            Raw { first, masked, length_bytes, payload: &payload }.bytes()
        },
    )
}

/// Streams of frames, of which some are damaged, in portions.
fn stream() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let damage = prop::option::weighted(0.2, (any::<prop::sample::Index>(), any::<u8>()));
    (vec(any_frame(), 0..8), damage, vec(1_usize..40, 0..60)).prop_map(|(frames, damage, sizes)| {
        let mut bytes = frames.concat();
        if let Some((place, byte)) = damage
            && !bytes.is_empty()
        {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        let mut rest = &bytes[..];
        let mut portions = Vec::new();
        for size in sizes {
            let (portion, after) = rest.split_at(size.min(rest.len()));
            portions.push(portion.to_vec());
            rest = after;
        }
        portions.push(rest.to_vec());
        portions
    })
}

/// Returns whether the stream ends within a frame that tungstenite has not examined yet: it waits
/// for whole frames, and the reader refuses at the header.
fn is_ahead(ours: &Reading, theirs: &Reading, portions: &[Vec<u8>]) -> bool {
    if !ours.is_refused || theirs.is_refused || ours.messages != theirs.messages {
        return false;
    }
    let mut padded = portions.to_vec();
    padded.push(vec![0; 2 * MAX_BYTES]);
    read_theirs(&padded).is_refused
}

/// Returns whether the last frame that was read is a close frame with a forbidden code.
fn is_forbidden_close(ours: &Reading, theirs: &Reading) -> bool {
    ours.is_refused
        && theirs.messages.last() == Some(&Message::Close(None))
        && theirs.messages.len() == ours.messages.len() + 1
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn reads_as_tungstenite_does(portions in stream()) {
        let (ours, theirs) = (normalize(read_ours(&portions)), normalize(read_theirs(&portions)));
        let is_meant = is_ahead(&ours, &theirs, &portions) || is_forbidden_close(&ours, &theirs);
        prop_assert!(ours == theirs || is_meant, "ours: {ours:?}\ntheirs: {theirs:?}");
    }
}
