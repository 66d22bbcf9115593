//! Numbers, texts and lists in bytes: little-endian numbers, lengths of four bytes before texts and
//! lists. A reader answers `None` wherever the bytes end too early; it reserves no memory for a length
//! that is only written.

use bytes::{Buf, Bytes};

/// Reads from the front of a message. Texts are slices of it.
pub(super) struct Input(Bytes);

impl Input {
    pub(super) const fn new(bytes: Bytes) -> Self {
        Self(bytes)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.0.try_get_u8().ok()
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        self.0.try_get_u16_le().ok()
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.0.try_get_u32_le().ok()
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.0.try_get_u64_le().ok()
    }

    pub(super) fn bytes(&mut self) -> Option<Bytes> {
        let length = usize::try_from(self.u32()?).ok()?;
        (length <= self.0.len()).then(|| self.0.split_to(length))
    }

    pub(super) fn text(&mut self) -> Option<String> {
        String::from_utf8(self.bytes()?.to_vec()).ok()
    }

    /// Reads a list whose length stands before it.
    pub(super) fn list<T, L: FromIterator<T>>(
        &mut self,
        mut item: impl FnMut(&mut Self) -> Option<T>,
    ) -> Option<L> {
        (0..self.u32()?).map(|_| item(self)).collect()
    }

    /// Returns the rest.
    pub(super) fn rest(self) -> Bytes {
        self.0
    }
}

/// Writes the length before bytes. What is too long for its length is cut: no limit of the server allows
/// four gigabytes.
pub(super) fn put_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    let length = put_length(bytes.len(), out);
    out.extend_from_slice(bytes.get(..length).unwrap_or(bytes));
}

/// Writes a list.
pub(super) fn put_list<T>(
    items: impl ExactSizeIterator<Item = T>,
    out: &mut Vec<u8>,
    mut item: impl FnMut(T, &mut Vec<u8>),
) {
    let length = put_length(items.len(), out);
    items.take(length).for_each(|it| item(it, out));
}

fn put_length(length: usize, out: &mut Vec<u8>) -> usize {
    let written = u32::try_from(length).unwrap_or(u32::MAX);
    out.extend_from_slice(&written.to_le_bytes());
    usize::try_from(written).unwrap_or(length)
}

pub(super) fn put_u64(number: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(&number.to_le_bytes());
}
