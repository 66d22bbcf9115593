//! The four bytes with which each side begins.

/// The first byte of both sides. No request of HTTP and no TLS begins with it.
pub const MAGIC: u8 = 0x7f;

/// The size of the handshake of one side in bytes.
pub const HANDSHAKE_BYTES: usize = 4;

/// The exponent of the smallest maximum size: 512 bytes.
const MIN_EXPONENT: u32 = 9;

/// The handshake of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// The serializer that the client wants.
    pub serializer: Serializer,
    /// The maximum size in bytes of the payloads that the client takes: 512 to 16 MiB.
    pub max_payload_bytes: usize,
}

/// A serializer of both sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Serializer {
    /// JSON.
    Json = 1,
    /// MessagePack.
    MessagePack = 2,
    /// CBOR.
    Cbor = 3,
}

/// The reason for which a handshake is refused, as the server's answer names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    /// The server does not speak the serializer.
    #[error("the serializer with the number {0} is not spoken here")]
    Serializer(u8),
    /// A byte that is reserved is not zero.
    #[error("the reserved bytes of the handshake are not zero")]
    Reserved,
    /// The server takes no more connections now.
    #[error("the server takes no more connections")]
    TooManyConnections,
}

impl Request {
    /// Reads the handshake of a client; `None` if the bytes are of another protocol.
    ///
    /// # Errors
    /// [`HandshakeError`] of a handshake that asks for something that does not exist.
    pub fn read(bytes: [u8; HANDSHAKE_BYTES]) -> Option<Result<Self, HandshakeError>> {
        let [magic, wanted, reserved @ ..] = bytes;
        if magic != MAGIC {
            return None;
        }
        let serializer = match wanted & 0x0f {
            1 => Serializer::Json,
            2 => Serializer::MessagePack,
            3 => Serializer::Cbor,
            number => return Some(Err(HandshakeError::Serializer(number))),
        };
        if reserved != [0, 0] {
            return Some(Err(HandshakeError::Reserved));
        }
        let max_payload_bytes = 1 << (MIN_EXPONENT + u32::from(wanted >> 4));
        Some(Ok(Self { serializer, max_payload_bytes }))
    }
}

/// Returns the answer to an accepted handshake. The client is told the greatest maximum size that the
/// handshake can name and that is no more than `max_payload_bytes`; 512 bytes at least.
pub fn accept(serializer: Serializer, max_payload_bytes: usize) -> [u8; HANDSHAKE_BYTES] {
    let exponent = max_payload_bytes.checked_ilog2().unwrap_or_default();
    let length = exponent.saturating_sub(MIN_EXPONENT).min(0x0f);
    // At most 15.
    let length = u8::try_from(length).unwrap_or_default();
    [MAGIC, length << 4 | serializer as u8, 0, 0]
}

/// Returns the answer to a refused handshake.
pub const fn refuse(error: HandshakeError) -> [u8; HANDSHAKE_BYTES] {
    let number = match error {
        HandshakeError::Serializer(_) => 1,
        HandshakeError::Reserved => 3,
        HandshakeError::TooManyConnections => 4,
    };
    [MAGIC, number << 4, 0, 0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_requests() {
        let request =
            |serializer, max_payload_bytes| Some(Ok(Request { serializer, max_payload_bytes }));
        assert_eq!(Request::read([0x7f, 0xf1, 0, 0]), request(Serializer::Json, 16 << 20));
        assert_eq!(Request::read([0x7f, 0x02, 0, 0]), request(Serializer::MessagePack, 512));
        assert_eq!(Request::read([0x7f, 0xb3, 0, 0]), request(Serializer::Cbor, 1 << 20));
        for number in [0, 4, 5, 15] {
            let error = HandshakeError::Serializer(number);
            assert_eq!(Request::read([0x7f, 0xf0 | number, 0, 0]), Some(Err(error)));
            assert_eq!(refuse(error), [0x7f, 0x10, 0, 0]);
        }
        for reserved in [[1, 0], [0, 1]] {
            let bytes = [0x7f, 0xf1, reserved[0], reserved[1]];
            assert_eq!(Request::read(bytes), Some(Err(HandshakeError::Reserved)));
        }
        assert_eq!(refuse(HandshakeError::Reserved), [0x7f, 0x30, 0, 0]);
        assert_eq!(refuse(HandshakeError::TooManyConnections), [0x7f, 0x40, 0, 0]);
        assert_eq!(Request::read(*b"GET "), None);
    }

    #[test]
    fn names_a_maximum_size_that_is_taken() {
        for (bytes, length) in [
            (0, 0),
            (512, 0),
            (1_023, 0),
            (1_024, 1),
            (1 << 20, 11),
            ((1 << 21) - 1, 11),
            (16 << 20, 15),
            (usize::MAX, 15),
        ] {
            assert_eq!(accept(Serializer::Json, bytes), [0x7f, length << 4 | 1, 0, 0], "{bytes}");
        }
        assert_eq!(accept(Serializer::Cbor, 1 << 20), [0x7f, 0xb3, 0, 0]);
    }
}
