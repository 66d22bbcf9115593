//! Compressed messages of a server, each without those before it; RFC 7692, section 7.2.

use std::cell::RefCell;

use flate2::{Decompress, FlushDecompress};

use super::MAX_MESSAGE_BYTES;

/// The end of each compressed message, which is not sent; section 7.2.1.
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

thread_local! {
    static DECOMPRESSOR: RefCell<Decompress> = RefCell::new(Decompress::new(false));
}

/// Returns the content of a message.
pub(super) fn inflated(message: &[u8]) -> Result<Vec<u8>, &'static str> {
    const DAMAGED: &str = "a compressed message that cannot be read";
    let mut content = Vec::with_capacity(4 * message.len() + 64);
    DECOMPRESSOR.with_borrow_mut(|decompressor| {
        decompressor.reset(false);
        for part in [message, &TAIL] {
            let begin = decompressor.total_in();
            loop {
                let taken = usize::try_from(decompressor.total_in() - begin).unwrap_or_default();
                let rest = part.get(taken..).unwrap_or_default();
                decompressor
                    .decompress_vec(rest, &mut content, FlushDecompress::Sync)
                    .map_err(|_| DAMAGED)?;
                if content.len() < content.capacity() {
                    break;
                }
                if content.len() > MAX_MESSAGE_BYTES {
                    return Err("a compressed message of more than 64 MiB");
                }
                content.reserve(content.len());
            }
        }
        Ok(content)
    })
}
