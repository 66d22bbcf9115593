//! Frames: a byte with the kind, three bytes with the length, and the payload.

use bytes::Bytes;

/// The size of a header in bytes.
pub const HEADER_BYTES: usize = 4;

/// The maximum size of a payload in bytes.
pub const MAX_PAYLOAD_BYTES: usize = 1 << 24;

/// The bit of the first byte that means the length of exactly 2^24.
const MAX_LENGTH_BIT: u8 = 0x08;

/// The kind of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameKind {
    /// A message of WAMP.
    Message,
    /// A request for a pong with the same payload.
    Ping,
    /// The answer to a ping.
    Pong,
}

/// A frame of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The kind.
    pub kind: FrameKind,
    /// The payload.
    pub payload: Bytes,
}

/// A header that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeaderError {
    Reserved,
    Kind(u8),
}

/// Returns the header of a frame; `None` if the payload is too long.
pub fn header(kind: FrameKind, length: usize) -> Option<[u8; HEADER_BYTES]> {
    let number = match kind {
        FrameKind::Message => 0,
        FrameKind::Ping => 1,
        FrameKind::Pong => 2,
    };
    if length == MAX_PAYLOAD_BYTES {
        return Some([number | MAX_LENGTH_BIT, 0, 0, 0]);
    }
    let [0, high, middle, low] = u32::try_from(length).ok()?.to_be_bytes() else { return None };
    Some([number, high, middle, low])
}

/// Reads a header: the kind and the length of the payload.
pub(crate) fn read_header(
    [first, high, middle, low]: [u8; HEADER_BYTES],
) -> Result<(FrameKind, usize), HeaderError> {
    if first & 0xf0 != 0 {
        return Err(HeaderError::Reserved);
    }
    let kind = match first & 0x07 {
        0 => FrameKind::Message,
        1 => FrameKind::Ping,
        2 => FrameKind::Pong,
        number => return Err(HeaderError::Kind(number)),
    };
    let length = u32::from_be_bytes([0, high, middle, low]) as usize;
    match (first & MAX_LENGTH_BIT != 0, length) {
        (false, length) => Ok((kind, length)),
        (true, 0) => Ok((kind, MAX_PAYLOAD_BYTES)),
        // Nothing is longer than 2^24.
        (true, _) => Err(HeaderError::Reserved),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_headers_that_it_writes() {
        for kind in [FrameKind::Message, FrameKind::Ping, FrameKind::Pong] {
            for length in [0, 1, 255, 256, 65_536, MAX_PAYLOAD_BYTES - 1, MAX_PAYLOAD_BYTES] {
                let header = header(kind, length).unwrap();
                assert_eq!(read_header(header), Ok((kind, length)));
            }
            assert_eq!(header(kind, MAX_PAYLOAD_BYTES + 1), None);
        }
        assert_eq!(header(FrameKind::Message, 258), Some([0, 0, 1, 2]));
        assert_eq!(header(FrameKind::Ping, MAX_PAYLOAD_BYTES), Some([9, 0, 0, 0]));
    }

    #[test]
    fn refuses_what_is_reserved() {
        for first in [0x10, 0x20, 0x40, 0x80] {
            assert_eq!(read_header([first, 0, 0, 1]), Err(HeaderError::Reserved));
        }
        assert_eq!(read_header([0x08, 0, 0, 1]), Err(HeaderError::Reserved));
        for number in 3..8 {
            assert_eq!(read_header([number, 0, 0, 1]), Err(HeaderError::Kind(number)));
        }
    }
}
