//! Frames: bytes that arrive at once, and one after the other, are the same messages, of a bounded
//! size.

use jackfield_rawsocket as raw;
use jackfield_websocket::MessageReader;

/// The limit of a message in these targets.
const MAX_BYTES: usize = 1 << 12;

/// The bytes of a client of a WebSocket, behind the handshake.
pub fn web_socket(data: &[u8]) {
    let read = |chunk: usize| {
        let mut reader = MessageReader::new(MAX_BYTES);
        let mut messages = Vec::new();
        for mut bytes in data.chunks(chunk) {
            loop {
                match reader.read(&mut bytes) {
                    Ok(Some(message)) => messages.push(format!("{message:?}")),
                    Ok(None) => break,
                    Err(error) => {
                        messages.push(format!("{error:?}"));
                        return messages;
                    }
                }
                assert!(reader.incomplete_bytes() <= MAX_BYTES);
            }
            assert!(bytes.is_empty(), "all input is taken");
        }
        messages
    };
    assert_eq!(read(data.len().max(1)), read(1));
}

/// The bytes of a client of a RawSocket: the handshake, and frames.
pub fn raw_socket(data: &[u8]) {
    let Some((handshake, data)) = data.split_first_chunk() else { return };
    if !matches!(raw::Request::read(*handshake), Some(Ok(_))) {
        return;
    }
    let read = |chunk: usize| {
        let mut reader = raw::FrameReader::new(MAX_BYTES);
        let mut frames = Vec::new();
        for mut bytes in data.chunks(chunk) {
            loop {
                match reader.read(&mut bytes) {
                    Ok(Some(frame)) => frames.push(format!("{frame:?}")),
                    Ok(None) => break,
                    Err(error) => {
                        frames.push(format!("{error:?}"));
                        return frames;
                    }
                }
                assert!(reader.incomplete_bytes() <= MAX_BYTES);
            }
            assert!(bytes.is_empty(), "all input is taken");
        }
        frames
    };
    assert_eq!(read(data.len().max(1)), read(1));
}
