//! Masks of clients; RFC 6455, section 5.3.

/// The masking key of a frame, and the position in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mask([u8; 4]);

impl Mask {
    pub(crate) const fn new(key: [u8; 4]) -> Self {
        Self(key)
    }

    /// Removes the mask from the next bytes of the payload.
    pub(crate) fn remove(&mut self, bytes: &mut [u8]) {
        // Eight bytes in one step: the compiler makes vectors of it.
        let [a, b, c, d] = self.0;
        let key = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
        let (words, rest) = bytes.as_chunks_mut::<8>();
        for word in words {
            *word = (u64::from_ne_bytes(*word) ^ key).to_ne_bytes();
        }
        for (byte, key) in rest.iter_mut().zip(self.0.iter().cycle()) {
            *byte ^= key;
        }
        self.0.rotate_left(rest.len() % 4);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn removes_a_mask_in_any_portions() {
        let key = [0x11, 0x22, 0x43, 0x84];
        let plain: Vec<u8> = (0..100).collect();
        let masked: Vec<u8> = plain.iter().zip(key.iter().cycle()).map(|(a, b)| a ^ b).collect();
        for size in 1..=masked.len() {
            let (mut bytes, mut mask) = (masked.clone(), Mask::new(key));
            for portion in bytes.chunks_mut(size) {
                mask.remove(portion);
            }
            assert_eq!(bytes, plain, "portions of {size} bytes");
        }
    }
}
