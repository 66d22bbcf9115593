//! Frame tracker: detects message boundaries in the byte stream of a client, by parsing frame
//! headers only. RFC 6455, section 5.2.

/// The position in a client's stream of frames.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct FrameTracker {
    at: At,
    /// Whether a fragmented message has begun and not ended.
    open: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum At {
    /// Between two frames.
    #[default]
    Start,
    /// After the byte with the opcode.
    Opcode,
    /// In an extended length: the number of missing bytes, and the value of those before them.
    Length { missing: u8, length: u64, masked: bool },
    /// In the masking key, before a body of this length.
    Key { missing: u8, length: u64 },
    /// In the body, of which this number of bytes, at least one, is missing.
    Body(u64),
}

impl FrameTracker {
    /// Returns whether the bytes so far end with a complete message.
    pub(super) fn is_between_messages(&self) -> bool {
        self.at == At::Start && !self.open
    }

    /// Advances over these bytes.
    pub(super) fn pass(&mut self, mut bytes: &[u8]) {
        while let Some((&byte, rest)) = bytes.split_first() {
            if let At::Body(missing) = self.at {
                let here = usize::try_from(missing).unwrap_or(usize::MAX).min(bytes.len());
                bytes = bytes.get(here..).unwrap_or_default();
                self.at = body(missing - here as u64);
            } else {
                self.step(byte);
                bytes = rest;
            }
        }
    }

    /// Advances over one byte of a header.
    fn step(&mut self, byte: u8) {
        self.at = match self.at {
            At::Start => {
                let (is_last, opcode) = (byte & 0x80 != 0, byte & 0x0f);
                // Control frames may come between the frames of a message.
                if opcode < 8 {
                    self.open = !is_last;
                }
                At::Opcode
            }
            At::Opcode => {
                let masked = byte & 0x80 != 0;
                match byte & 0x7f {
                    126 => At::Length { missing: 2, length: 0, masked },
                    127 => At::Length { missing: 8, length: 0, masked },
                    length => key(masked, u64::from(length)),
                }
            }
            At::Length { missing, length, masked } => {
                let length = length << 8 | u64::from(byte);
                match missing {
                    1 => key(masked, length),
                    missing => At::Length { missing: missing - 1, length, masked },
                }
            }
            At::Key { missing: 1, length } => body(length),
            At::Key { missing, length } => At::Key { missing: missing - 1, length },
            At::Body(missing) => body(missing - 1),
        };
    }
}

fn key(masked: bool, length: u64) -> At {
    if masked { At::Key { missing: 4, length } } else { body(length) }
}

fn body(length: u64) -> At {
    if length == 0 { At::Start } else { At::Body(length) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns a masked frame with this first byte, whose length is encoded in `bytes` further
    /// bytes.
    fn frame(first: u8, length: usize, bytes: usize) -> Vec<u8> {
        let mut frame = vec![first];
        match bytes {
            0 => frame.push(0x80 | u8::try_from(length).unwrap()),
            2 => {
                frame.push(0xfe);
                frame.extend(u16::try_from(length).unwrap().to_be_bytes());
            }
            _ => {
                frame.push(0xff);
                frame.extend((length as u64).to_be_bytes());
            }
        }
        frame.resize(frame.len() + 4 + length, b'x');
        frame
    }

    /// Checks that the tracker finds exactly the ends of these messages, for portions of several
    /// sizes.
    #[track_caller]
    fn check(messages: &[&[Vec<u8>]]) {
        let ends: Vec<usize> = messages
            .iter()
            .scan(0, |end, message| {
                *end += message.iter().map(Vec::len).sum::<usize>();
                Some(*end)
            })
            .collect();
        let bytes = messages.concat().concat();
        for size in [1, 2, 3, 5, 7, 100, bytes.len()] {
            let mut tracker = FrameTracker::default();
            let mut passed = 0;
            for portion in bytes.chunks(size) {
                tracker.pass(portion);
                passed += portion.len();
                assert_eq!(tracker.is_between_messages(), ends.contains(&passed), "at {passed}");
            }
        }
    }

    #[test]
    fn finds_the_ends_of_messages() {
        check(&[&[frame(0x81, 0, 0)], &[frame(0x82, 125, 0)], &[frame(0x81, 126, 2)]]);
        check(&[&[frame(0x82, 70_000, 8)], &[frame(0x81, 5, 0)]]);
    }

    #[test]
    fn accepts_overlong_length_encodings() {
        check(&[&[frame(0x8a, 3, 2)], &[frame(0x81, 7, 8)], &[frame(0x81, 0, 2)]]);
    }

    #[test]
    fn counts_fragments_around_a_ping() {
        let fragments = [frame(0x01, 3, 0), frame(0x89, 2, 0), frame(0x00, 0, 0)];
        check(&[&[fragments.to_vec(), vec![frame(0x80, 4, 0)]].concat(), &[frame(0x81, 1, 0)]]);
    }
}
