//! Cryptosign: the client signs random bytes with its private key, Ed25519. WAMP v2 specification, section
//! "Cryptosign-based Authentication".

use ring::signature::{ED25519, UnparsedPublicKey};

/// The length of a signature in bytes.
const SIGNATURE: usize = 64;

/// Parses 32 bytes from 64 hexadecimal digits.
pub(super) fn from_hex(text: &str) -> Option<[u8; 32]> {
    bytes(text)?.try_into().ok()
}

/// Returns the message that the client signs: the challenge, XORed with the id of its channel if it binds
/// that.
pub(super) fn message(challenge: [u8; 32], channel_id: Option<[u8; 32]>) -> [u8; 32] {
    let mut message = challenge;
    for (byte, of_channel) in message.iter_mut().zip(channel_id.into_iter().flatten()) {
        *byte ^= of_channel;
    }
    message
}

/// Returns whether `signature` is the hexadecimal text of a signature of the message, followed by the message.
pub(super) fn verify(key: &[u8; 32], message: &[u8; 32], signature: &str) -> bool {
    let Some(bytes) = bytes(signature.trim()) else { return false };
    let Some((signature, signed)) = bytes.split_at_checked(SIGNATURE) else { return false };
    signed == message && UnparsedPublicKey::new(&ED25519, key).verify(message, signature).is_ok()
}

fn bytes(text: &str) -> Option<Vec<u8>> {
    // Longer than a signature with its message: not worth the memory.
    if text.len() > 4 * SIGNATURE || !text.len().is_multiple_of(2) {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|it| u8::try_from(it).ok());
    text.as_bytes()
        .chunks_exact(2)
        .map(|pair| match pair {
            [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
            _ => None,
        })
        .collect()
}

pub(super) fn to_hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _infallible = write!(text, "{byte:02x}");
        text
    })
}
