//! Frames of a server: unfragmented and unmasked. RFC 6455, section 5.2.

use bytes::Bytes;

use crate::opcode::Opcode;

/// The maximum size of a [`Header`] in bytes.
pub const MAX_HEADER_BYTES: usize = 10;

/// The bit of compressed messages, RSV1; RFC 7692, section 6.
pub(crate) const COMPRESSED_BIT: u8 = 0x40;

/// The header of an unfragmented, unmasked frame.
#[derive(Clone, Copy, Debug)]
pub struct Header {
    bytes: [u8; MAX_HEADER_BYTES],
    length: usize,
}

impl Header {
    /// Returns the bytes of the header.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }

    /// Marks the payload as compressed.
    pub(crate) const fn compressed(mut self) -> Self {
        self.bytes[0] |= COMPRESSED_BIT;
        self
    }

    /// Writes the header directly before the payload that follows [`MAX_HEADER_BYTES`] of headroom.
    pub fn before(&self, mut buffer: Vec<u8>) -> Bytes {
        let start = MAX_HEADER_BYTES.saturating_sub(self.length);
        if let Some(room) = buffer.get_mut(start..MAX_HEADER_BYTES) {
            room.copy_from_slice(self.as_bytes());
        }
        Bytes::from(buffer).slice(start..)
    }
}

/// Returns the header of a frame whose payload has `length` bytes.
pub fn header(opcode: Opcode, length: usize) -> Header {
    let first = 0x80 | opcode.number();
    let mut bytes = [0; MAX_HEADER_BYTES];
    let written: &[&[u8]] = match (u8::try_from(length), u16::try_from(length)) {
        (Ok(short @ 0..=125), _) => &[&[first, short]],
        (_, Ok(medium)) => &[&[first, 126], &medium.to_be_bytes()],
        _ => &[&[first, 127], &(length as u64).to_be_bytes()],
    };
    let mut end = 0;
    for (place, &byte) in bytes.iter_mut().zip(written.iter().copied().flatten()) {
        *place = byte;
        end += 1;
    }
    Header { bytes, length: end }
}

/// Returns a frame with this payload.
pub fn frame(opcode: Opcode, payload: &[u8]) -> Bytes {
    let header = header(opcode, payload.len());
    [header.as_bytes(), payload].concat().into()
}

/// Returns the payload of one of [`frame`]'s frames.
pub fn body(frame: &[u8]) -> &[u8] {
    let header = match frame.get(1) {
        Some(126) => 4,
        Some(127) => 10,
        _ => 2,
    };
    frame.get(header..).unwrap_or_default()
}

/// Reads the head of one of [`frame`]'s frames: its opcode, and the sizes of its header and of its payload
/// in bytes. `None` of other bytes.
pub fn frame_head(bytes: &[u8]) -> Option<(Opcode, usize, usize)> {
    let (&[first, second], rest) = bytes.split_first_chunk()?;
    let opcode = Opcode::of_number(first & 0x0f)?;
    Some(match second {
        126 => (opcode, 4, u16::from_be_bytes(*rest.first_chunk()?).into()),
        127 => (opcode, 10, usize::try_from(u64::from_be_bytes(*rest.first_chunk()?)).ok()?),
        short => (opcode, 2, short.into()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_headers_as_rfc_6455_says() {
        assert_eq!(frame(Opcode::Text, b"[]")[..], *b"\x81\x02[]");
        assert_eq!(frame(Opcode::Binary, b"[]")[..], *b"\x82\x02[]");
        assert_eq!(frame(Opcode::Ping, b"")[..], *b"\x89\x00");
        assert_eq!(header(Opcode::Text, 125).as_bytes(), b"\x81\x7d");
        assert_eq!(header(Opcode::Text, 126).as_bytes(), b"\x81\x7e\x00\x7e");
        assert_eq!(header(Opcode::Text, 65_535).as_bytes(), b"\x81\x7e\xff\xff");
        assert_eq!(header(Opcode::Text, 65_536).as_bytes(), b"\x81\x7f\0\0\0\0\0\x01\0\0");
    }

    #[test]
    fn finds_the_payload_of_a_frame() {
        for length in [0, 1, 125, 126, 65_535, 65_536, 100_000] {
            let payload = vec![b'x'; length];
            let frame = frame(Opcode::Text, &payload);
            assert_eq!(body(&frame), payload);
            let header = frame.len() - length;
            assert_eq!(frame_head(&frame), Some((Opcode::Text, header, length)));
            assert_eq!(frame_head(&frame[..header - 1]), None);
        }
    }
}
