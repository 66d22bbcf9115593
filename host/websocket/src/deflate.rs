//! Compressed messages, each without those before it; RFC 7692, section 7.2.
//!
//! Each thread has one compressor and one decompressor, once it needs them. Connections have none.

use std::cell::RefCell;

use bytes::Bytes;
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use crate::error::ReadError;
use crate::outgoing::{MAX_HEADER_BYTES as HEADROOM, frame_head, header};

/// The window of compressed frames, as an exponent of 2: the smallest one that clients in use ask for.
/// Events are rarely longer.
pub(crate) const WINDOW_BITS: u8 = 12;

/// The level of compression: the next ones cost more time for hardly fewer bytes; decision 71.
const LEVEL: u32 = 2;

/// The end of each compressed message, which is not sent; section 7.2.1.
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

/// Room for the blocks and the end of a compressed message, beside its bytes.
const SPARE_BYTES: usize = 64;

/// The maximum number of ends of a stream within a message: after each, the decompressor begins anew.
const MAX_STREAMS: u32 = 16;

/// The least capacity for an inflated message, in bytes.
const MIN_CAPACITY_BYTES: usize = 256;

thread_local! {
    static COMPRESSOR: RefCell<Compress> =
        RefCell::new(Compress::new_with_window_bits(Compression::new(LEVEL), false, WINDOW_BITS));
    static DECOMPRESSOR: RefCell<Decompress> = RefCell::new(Decompress::new(false));
}

/// Compresses one of [`frame`](crate::frame)'s data frames. `None` if it would not be smaller.
pub fn deflated(frame: &[u8]) -> Option<Bytes> {
    let (opcode, head, _) = frame_head(frame)?;
    let payload = frame.get(head..)?;
    // Room for any content, so that the compressor never stops for lack of it.
    let room = payload.len() + payload.len() / 8 + SPARE_BYTES;
    let mut buffer = Vec::with_capacity(HEADROOM + room);
    buffer.resize(HEADROOM, 0);
    let is_complete = COMPRESSOR.with_borrow_mut(|compressor| {
        compressor.reset();
        let done = compressor.compress_vec(payload, &mut buffer, FlushCompress::Sync);
        done.is_ok() && compressor.total_in() == payload.len() as u64
    });
    let length = buffer.strip_suffix(&TAIL)?.len();
    if !is_complete || length >= HEADROOM + payload.len() {
        return None;
    }
    buffer.truncate(length);
    // The unused capacity would wait in outboxes, uncounted.
    buffer.shrink_to_fit();
    let header = header(opcode, buffer.len() - HEADROOM).compressed();
    Some(header.before(buffer))
}

/// Returns the content of a compressed message, of at most `max_bytes`.
///
/// # Errors
/// The content is larger, or the message is no result of a compression.
pub(crate) fn inflated(message: &[u8], max_bytes: usize) -> Result<Vec<u8>, ReadError> {
    // One byte more shows that it is too large.
    let end = max_bytes.saturating_add(1);
    let expected = message.len().saturating_mul(4).max(MIN_CAPACITY_BYTES);
    let mut content = Vec::new();
    content.reserve_exact(expected.min(end));
    let mut streams = 1;
    DECOMPRESSOR.with_borrow_mut(|decompressor| {
        decompressor.reset(false);
        for part in [message, &TAIL] {
            let mut rest = part;
            loop {
                let (taken, length) = (decompressor.total_in(), content.len());
                let done = decompressor.decompress_vec(rest, &mut content, FlushDecompress::None);
                let status = done.map_err(|_| ReadError::Compression)?;
                if content.len() > max_bytes {
                    return Err(ReadError::TooLarge { bytes: end as u64, limit: max_bytes });
                }
                let count = usize::try_from(decompressor.total_in() - taken).unwrap_or_default();
                rest = rest.get(count..).unwrap_or_default();
                let is_full = content.len() == content.capacity();
                if status == Status::StreamEnd {
                    streams += 1;
                    if streams > MAX_STREAMS {
                        return Err(ReadError::Compression);
                    }
                    decompressor.reset(false);
                } else if is_full {
                    let more = content.len().min(end - content.len());
                    content.reserve_exact(more);
                } else if !rest.is_empty() && count == 0 && content.len() == length {
                    return Err(ReadError::Compression);
                }
                if rest.is_empty() && !is_full {
                    break;
                }
            }
        }
        Ok(())
    })?;
    // It may wait for a handler, where its length is counted.
    if content.capacity() > 2 * content.len() {
        content.shrink_to_fit();
    }
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::opcode::Opcode;
    use crate::outgoing::{body, frame};

    fn text(length: usize) -> Vec<u8> {
        let words = ["order", "customer", "price", "12.50", "\"id\":", "{", "}", ","];
        let mut state = 7_usize;
        let mut text = Vec::new();
        while text.len() < length {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888);
            text.extend(words[state >> 40 & 7].as_bytes());
        }
        text.truncate(length);
        text
    }

    /// Bytes that no compression makes smaller.
    fn noise(length: usize) -> Vec<u8> {
        let mut state = 1_u64;
        let next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        };
        std::iter::repeat_with(next).take(length).collect()
    }

    #[test]
    fn inflates_the_examples_of_rfc_7692() {
        for message in [
            // Section 7.2.3.1, 7.2.3.3, 7.2.3.4 and 7.2.3.5.
            &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00][..],
            &[0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00],
            &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00],
            &[0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00],
        ] {
            assert_eq!(inflated(message, 5).as_deref(), Ok(&b"Hello"[..]), "{message:x?}");
            let too_large = ReadError::TooLarge { bytes: 5, limit: 4 };
            assert_eq!(inflated(message, 4), Err(too_large), "{message:x?}");
        }
        // An empty message, section 7.2.3.6.
        assert_eq!(inflated(&[0], 0), Ok(Vec::new()));
    }

    #[test]
    fn inflates_its_own_frames() {
        for length in [100, 256, 1_000, 4_096, 70_000, 1 << 20] {
            let text = text(length);
            let plain = frame(Opcode::Text, &text);
            let small = deflated(&plain).unwrap();
            assert!(small.len() < plain.len() * 2 / 3, "{length}: {}", small.len());
            assert_eq!(small[0], 0xc1);
            assert_eq!(frame_head(&small).map(|(_, head, size)| head + size), Some(small.len()));
            assert_eq!(inflated(body(&small), length), Ok(text), "{length}");
        }
    }

    #[test]
    fn leaves_frames_that_would_not_be_smaller() {
        for payload in [&b""[..], b"[]"] {
            assert_eq!(deflated(&frame(Opcode::Text, payload)), None);
        }
        for length in (1..100).chain([300, 5_000, 16_384, 65_536, 100_000, 1 << 20]) {
            assert_eq!(deflated(&frame(Opcode::Binary, &noise(length))), None, "{length}");
            // Noise beside text may become smaller.
            let mixed = [noise(length), text(length), noise(length)].concat();
            if let Some(small) = deflated(&frame(Opcode::Binary, &mixed)) {
                assert_eq!(inflated(body(&small), mixed.len()), Ok(mixed));
            }
        }
        // The compressor is as good as new afterwards.
        assert!(deflated(&frame(Opcode::Text, &text(300))).is_some());
    }

    /// A message whose content has no end that a reader could wait for.
    fn bomb(bytes: usize) -> Bytes {
        let plain = frame(Opcode::Binary, &vec![0; bytes]);
        let frame = deflated(&plain).unwrap();
        frame.slice_ref(body(&frame))
    }

    #[test]
    fn stops_at_the_limit_of_a_bomb() {
        let bomb = bomb(64 << 20);
        assert!(bomb.len() < 1 << 20, "{}", bomb.len());
        let limit = 1 << 20;
        let too_large = ReadError::TooLarge { bytes: limit as u64 + 1, limit };
        assert_eq!(inflated(&bomb, limit), Err(too_large));
        // The content that is kept is not larger than it is counted.
        let content = inflated(&bomb, 64 << 20).unwrap();
        assert!(content.capacity() <= 2 * content.len());
    }

    #[test]
    fn refuses_damaged_messages() {
        for message in [
            // A block of the reserved type, a stored one with a wrong length, a distance before the
            // beginning.
            &[0x07][..],
            &[0x00, 0x05, 0x00, 0x05, 0x00],
            &[0x02, 0x02, 0x00],
        ] {
            assert_eq!(inflated(message, 100), Err(ReadError::Compression), "{message:x?}");
        }
        // Thousands of empty streams.
        let ends = [0x03, 0x00].repeat(10_000);
        assert_eq!(inflated(&ends, 100), Err(ReadError::Compression));
        // The decompressor is as good as new afterwards.
        assert_eq!(inflated(&[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00], 5), Ok(b"Hello".to_vec()));
    }
}
