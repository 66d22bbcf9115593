//! WebSocket frames of a client: written masked, read unmasked. RFC 6455, section 5.
//!
//! Hand-written, because the generator shares the machine with the server: a thousand frames are
//! read from one buffer without a copy or an allocation.

/// Frame opcode. RFC 6455, section 5.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opcode {
    Continuation,
    Text,
    Binary,
    Close,
    Ping,
    Pong,
}

impl Opcode {
    const fn code(self) -> u8 {
        match self {
            Self::Continuation => 0,
            Self::Text => 1,
            Self::Binary => 2,
            Self::Close => 8,
            Self::Ping => 9,
            Self::Pong => 10,
        }
    }

    const fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            0 => Self::Continuation,
            1 => Self::Text,
            2 => Self::Binary,
            8 => Self::Close,
            9 => Self::Ping,
            10 => Self::Pong,
            _ => return None,
        })
    }
}

/// A frame from the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame<'a> {
    /// Whether it is the last frame of its message.
    pub(crate) last: bool,
    pub(crate) opcode: Opcode,
    /// Whether it begins a compressed message; RFC 7692, section 6.
    pub(crate) compressed: bool,
    pub(crate) payload: &'a [u8],
}

/// Reads one frame from the beginning of the bytes, with its length. `None` while it is incomplete.
///
/// # Errors
/// A frame that servers may not send.
pub(crate) fn read(bytes: &[u8]) -> Result<Option<(Frame<'_>, usize)>, &'static str> {
    let [first, second, rest @ ..] = bytes else { return Ok(None) };
    if first & 0x30 != 0 {
        return Err("a frame with reserved bits, without an extension");
    }
    if second & 0x80 != 0 {
        return Err("a masked frame");
    }
    let opcode = Opcode::from_code(first & 0x0f).ok_or("a frame with an unknown opcode")?;
    let (length, header) = match second & 0x7f {
        126 => (rest.first_chunk().map(|bytes| u64::from(u16::from_be_bytes(*bytes))), 4),
        127 => (rest.first_chunk().map(|bytes| u64::from_be_bytes(*bytes)), 10),
        short => (Some(u64::from(short)), 2),
    };
    let Some(length) = length else { return Ok(None) };
    let length = usize::try_from(length).ok().filter(|length| *length < MAX_FRAME_BYTES);
    let length = length.ok_or("a frame of more than 1 GiB")?;
    let Some(payload) = bytes.get(header..header + length) else { return Ok(None) };
    let (last, compressed) = (first & 0x80 != 0, first & 0x40 != 0);
    Ok(Some((Frame { last, opcode, compressed, payload }, header + length)))
}

/// Mask bit, added to the length.
const MASK_BIT: u8 = 0x80;

/// Longest frame; larger than any workload's, it only prevents overflow.
const MAX_FRAME_BYTES: usize = 1 << 30;

/// Appends a message in one frame. The mask is random, as RFC 6455, section 5.3 demands; a mask of
/// zero would spare the server work that other clients cause.
pub(crate) fn write(out: &mut Vec<u8>, opcode: Opcode, payload: &[u8]) {
    out.push(0x80 | opcode.code());
    let length = payload.len();
    if let Some(short) = u8::try_from(length).ok().filter(|length| *length < 126) {
        out.push(MASK_BIT + short);
    } else if let Ok(middle) = u16::try_from(length) {
        out.push(MASK_BIT + 126);
        out.extend_from_slice(&middle.to_be_bytes());
    } else {
        out.push(MASK_BIT + 127);
        out.extend_from_slice(&(length as u64).to_be_bytes());
    }
    let mask = fastrand::u32(1..);
    out.extend_from_slice(&mask.to_ne_bytes());
    let start = out.len();
    out.extend_from_slice(payload);
    unmask(out.get_mut(start..).unwrap_or_default(), mask);
}

fn unmask(payload: &mut [u8], mask: u32) {
    let wide = u64::from(mask) << 32 | u64::from(mask);
    let (chunks, rest) = payload.as_chunks_mut::<8>();
    for chunk in chunks {
        *chunk = (u64::from_ne_bytes(*chunk) ^ wide).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(wide.to_ne_bytes()) {
        *byte ^= key;
    }
}

/// Returns the code and the reason of a close frame. RFC 6455, section 5.5.1.
pub(crate) fn close_reason(payload: &[u8]) -> String {
    match payload {
        [high, low, reason @ ..] => {
            let code = u16::from_be_bytes([*high, *low]);
            format!("{code} {}", String::from_utf8_lossy(reason)).trim_end().to_owned()
        }
        _ => "without a reason".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_of_every_length_are_read_once_they_are_complete() {
        for length in [0_usize, 1, 125, 126, 65_535, 65_536] {
            let mut bytes = vec![0x82];
            match length {
                0..126 => bytes.push(u8::try_from(length).unwrap()),
                126..65_536 => {
                    bytes.push(126);
                    bytes.extend(u16::try_from(length).unwrap().to_be_bytes());
                }
                _ => {
                    bytes.push(127);
                    bytes.extend((length as u64).to_be_bytes());
                }
            }
            let header = bytes.len();
            bytes.resize(header + length, b'x');
            for short in [0, 1, header - 1, bytes.len() - 1] {
                assert_eq!(read(&bytes[..short.min(bytes.len() - 1)]), Ok(None), "{length}");
            }
            bytes.extend(b"behind");
            let (frame, used) = read(&bytes).unwrap().unwrap();
            assert_eq!((frame.last, frame.opcode), (true, Opcode::Binary));
            assert_eq!((frame.payload.len(), used), (length, header + length));
        }
    }

    #[test]
    fn rejects_frames_that_a_server_may_not_send() {
        for bytes in [
            &[0xa1, 0][..],
            &[0x91, 0],
            &[0x81, 0x80],
            &[0x83, 0],
            &[0x81, 127, 1, 0, 0, 0, 0, 0, 0, 0],
        ] {
            assert!(read(bytes).is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn writes_masked_complete_frames() {
        for length in [0_usize, 3, 8, 125, 126, 1_001, 70_000] {
            let payload: Vec<u8> = (0..=255).cycle().take(length).collect();
            let mut out = b"before".to_vec();
            write(&mut out, Opcode::Text, &payload);
            let frame = &out[6..];
            assert_eq!(frame[0], 0x81);
            assert_eq!(frame[1] & 0x80, 0x80, "masked");
            let header = match frame[1] & 0x7f {
                126 => 4,
                127 => 10,
                _ => 2,
            };
            let mask = &frame[header..header + 4];
            let plain: Vec<u8> = frame[header + 4..]
                .iter()
                .zip(mask.iter().cycle())
                .map(|(byte, key)| byte ^ key)
                .collect();
            assert_eq!(plain, payload, "{length}");
        }
    }

    #[test]
    fn reads_the_reason_of_a_close() {
        assert_eq!(close_reason(b"\x03\xf0slow"), "1008 slow");
        assert_eq!(close_reason(b"\x03\xe8"), "1000");
        assert_eq!(close_reason(b""), "without a reason");
    }
}
