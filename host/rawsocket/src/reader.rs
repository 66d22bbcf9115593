//! Incremental reader of a client's frames.

use crate::frame::{self, Frame, FrameKind, HEADER_BYTES, HeaderError};

/// The maximum memory in bytes that is reserved for bytes that have not arrived. A client that
/// announces a large message and does not send it costs no more than this.
const MAX_RESERVED_BYTES: usize = 4 * 1024;

/// Reads the frames of a client from its bytes, in portions of any size.
///
/// Between two frames it owns no memory beside itself.
#[derive(Debug)]
pub struct FrameReader {
    max_payload_bytes: usize,
    at: At,
}

/// The place in the stream of frames.
#[derive(Debug)]
enum At {
    /// The header so far.
    Header([u8; HEADER_BYTES], usize),
    /// The payload so far, and the number of missing bytes.
    Payload(FrameKind, Vec<u8>, usize),
}

/// The reason for which a client's bytes cannot be read further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// A reserved bit of a header is set.
    #[error("a frame has reserved bits")]
    Reserved,
    /// The kind of a frame is not defined.
    #[error("a frame has the unknown kind {0}")]
    Kind(u8),
    /// The payload is larger than the limit.
    #[error("a message of {bytes} bytes is larger than the limit of {limit} bytes")]
    TooLarge {
        /// Its size in bytes.
        bytes: usize,
        /// The limit in bytes.
        limit: usize,
    },
}

/// The maximum size of the payload of a ping or pong in bytes: that of a WebSocket. They have no use for more.
const MAX_CONTROL_BYTES: usize = 125;

const BEGIN: At = At::Header([0; HEADER_BYTES], 0);

impl FrameReader {
    /// Returns a reader behind the handshake. Larger payloads are an error.
    pub const fn new(max_payload_bytes: usize) -> Self {
        Self { max_payload_bytes, at: BEGIN }
    }

    /// Replaces the maximum size, for the frames that begin from now on.
    pub const fn set_max_payload_bytes(&mut self, max_payload_bytes: usize) {
        self.max_payload_bytes = max_payload_bytes;
    }

    /// Takes bytes from `input` until a frame is complete, or until there are none. Call it again until
    /// it returns `None`: then all input is taken.
    ///
    /// # Errors
    /// The client violates the protocol, or the payload is too large. The reader must not be used
    /// further.
    pub fn read(&mut self, input: &mut &[u8]) -> Result<Option<Frame>, ReadError> {
        loop {
            match &mut self.at {
                At::Header(bytes, taken) => {
                    while *taken < HEADER_BYTES {
                        let Some(byte) = input.split_off_first() else { return Ok(None) };
                        if let Some(place) = bytes.get_mut(*taken) {
                            *place = *byte;
                        }
                        *taken += 1;
                    }
                    let (kind, length) = frame::read_header(*bytes)?;
                    let limit = match kind {
                        FrameKind::Message => self.max_payload_bytes,
                        FrameKind::Ping | FrameKind::Pong => MAX_CONTROL_BYTES,
                    };
                    if length > limit {
                        return Err(ReadError::TooLarge { bytes: length, limit });
                    }
                    self.at = At::Payload(kind, Vec::new(), length);
                }
                At::Payload(kind, payload, missing) => {
                    let available = input.split_off(..(*missing).min(input.len()));
                    let available = available.unwrap_or_default();
                    if payload.capacity() - payload.len() < available.len() {
                        let expected = (*missing).min(payload.len().max(MAX_RESERVED_BYTES));
                        payload.reserve_exact(expected.max(available.len()));
                    }
                    payload.extend_from_slice(available);
                    *missing -= available.len();
                    if *missing > 0 {
                        return Ok(None);
                    }
                    let (kind, payload) = (*kind, std::mem::take(payload).into());
                    self.at = BEGIN;
                    return Ok(Some(Frame { kind, payload }));
                }
            }
        }
    }

    /// Returns whether a part of a frame has come, its header included.
    pub const fn is_within_frame(&self) -> bool {
        !matches!(&self.at, At::Header(_, 0))
    }

    /// Returns the size in bytes of the payload so far, if a frame has begun and is not complete.
    pub fn incomplete_bytes(&self) -> usize {
        match &self.at {
            At::Header(..) => 0,
            At::Payload(_, payload, _) => payload.len(),
        }
    }
}

impl From<HeaderError> for ReadError {
    fn from(error: HeaderError) -> Self {
        match error {
            HeaderError::Reserved => Self::Reserved,
            HeaderError::Kind(number) => Self::Kind(number),
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;
    use crate::frame::header;

    fn kinds() -> impl Strategy<Value = FrameKind> {
        prop::sample::select(vec![FrameKind::Message, FrameKind::Ping, FrameKind::Pong])
    }

    proptest! {
        #[test]
        fn reads_frames_in_portions_of_any_size(
            frames in prop::collection::vec((kinds(), prop::collection::vec(any::<u8>(), 0..125)), 0..8),
            portion in 1_usize..400,
        ) {
            let mut stream = Vec::new();
            for (kind, payload) in &frames {
                stream.extend(header(*kind, payload.len()).unwrap());
                stream.extend(payload);
            }
            let mut reader = FrameReader::new(300);
            let mut read = Vec::new();
            for mut bytes in stream.chunks(portion) {
                while let Some(frame) = reader.read(&mut bytes).unwrap() {
                    read.push((frame.kind, frame.payload.to_vec()));
                }
                prop_assert!(bytes.is_empty());
            }
            prop_assert_eq!(read, frames);
            prop_assert_eq!(reader.incomplete_bytes(), 0);
        }

        #[test]
        fn survives_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut reader = FrameReader::new(64);
            let mut input = &bytes[..];
            while let Ok(Some(frame)) = reader.read(&mut input) {
                prop_assert!(frame.payload.len() <= 64);
            }
            prop_assert!(reader.incomplete_bytes() <= 64);
        }
    }

    #[test]
    fn refuses_large_frames_at_their_header() {
        let mut reader = FrameReader::new(10);
        let mut frame = &[0, 0, 0, 10, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10][..];
        let read = reader.read(&mut frame).unwrap().unwrap();
        assert_eq!(read.payload, Bytes::from_static(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]));
        let large = reader.read(&mut &[0, 0, 0, 11][..]);
        assert_eq!(large, Err(ReadError::TooLarge { bytes: 11, limit: 10 }));
        let mut reader = FrameReader::new(1_000);
        assert_eq!(reader.read(&mut &[1, 0, 0][..]), Ok(None));
        assert!(reader.is_within_frame());
        let ping = reader.read(&mut &[126][..]);
        assert_eq!(ping, Err(ReadError::TooLarge { bytes: 126, limit: 125 }));
    }
}
