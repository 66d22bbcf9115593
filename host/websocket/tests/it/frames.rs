//! Frames of clients, for tests.

/// Options of a frame that is not one of a well-behaved client.
pub(crate) struct Raw<'a> {
    pub(crate) first: u8,
    pub(crate) masked: bool,
    /// The encoding of the length: 0 for the shortest, or 2 or 8 further bytes.
    pub(crate) length_bytes: usize,
    pub(crate) payload: &'a [u8],
}

const KEY: [u8; 4] = [0x9a, 0x01, 0xfe, 0x33];

impl Raw<'_> {
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let length = self.payload.len();
        let mask = if self.masked { 0x80 } else { 0 };
        let mut frame = vec![self.first];
        match (self.length_bytes, length) {
            (8, _) | (_, 65_536..) => {
                frame.push(mask | 127);
                frame.extend((length as u64).to_be_bytes());
            }
            (2, _) | (_, 126..) => {
                frame.push(mask | 126);
                frame.extend(u16::try_from(length).unwrap().to_be_bytes());
            }
            _ => frame.push(mask | u8::try_from(length).unwrap()),
        }
        if self.masked {
            frame.extend(KEY);
            frame.extend(self.payload.iter().zip(KEY.iter().cycle()).map(|(byte, key)| byte ^ key));
        } else {
            frame.extend(self.payload);
        }
        frame
    }
}

/// Returns a frame of a well-behaved client with this first byte.
pub(crate) fn frame(first: u8, payload: impl AsRef<[u8]>) -> Vec<u8> {
    Raw { first, masked: true, length_bytes: 0, payload: payload.as_ref() }.bytes()
}
