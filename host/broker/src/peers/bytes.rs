//! Numbers, texts and lists in bytes: little-endian numbers, lengths of four bytes before texts and
//! lists. A reader answers `None` wherever the bytes end too early; it reserves no memory for a length
//! that is only written.

use bytes::{Buf, Bytes};
use jackfield_wamp::dialect::Codec;

/// Reads from the front of a message. Texts are slices of it.
#[derive(Clone)]
pub(crate) struct Input(Bytes);

impl Input {
    pub(crate) const fn new(bytes: Bytes) -> Self {
        Self(bytes)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.0.try_get_u8().ok()
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.0.try_get_u16_le().ok()
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.0.try_get_u32_le().ok()
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.0.try_get_u64_le().ok()
    }

    pub(crate) fn bytes(&mut self) -> Option<Bytes> {
        let length = usize::try_from(self.u32()?).ok()?;
        (length <= self.0.len()).then(|| self.0.split_to(length))
    }

    pub(crate) fn text(&mut self) -> Option<String> {
        String::from_utf8(self.bytes()?.to_vec()).ok()
    }

    /// Reads a list whose length stands before it.
    pub(crate) fn list<T, L: FromIterator<T>>(
        &mut self,
        mut item: impl FnMut(&mut Self) -> Option<T>,
    ) -> Option<L> {
        (0..self.u32()?).map(|_| item(self)).collect()
    }

    /// Returns the rest.
    pub(crate) fn rest(self) -> Bytes {
        self.0
    }
}

/// Writes the length before bytes. What is too long for its length is cut: no limit of the server allows
/// four gigabytes.
pub(crate) fn put_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    let length = put_length(bytes.len(), out);
    out.extend_from_slice(bytes.get(..length).unwrap_or(bytes));
}

/// Writes a list.
pub(crate) fn put_list<T>(
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

pub(crate) fn put_u64(number: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(&number.to_le_bytes());
}

/// Returns the number of a codec between nodes.
pub(crate) const fn codec_number(codec: Codec) -> u8 {
    match codec {
        Codec::Json => 0,
        Codec::MessagePack => 1,
        Codec::Cbor => 2,
    }
}

/// Returns the codec with this number; `None` if it is unknown.
pub(crate) fn codec_of(number: u8) -> Option<Codec> {
    let codecs = [Codec::Json, Codec::MessagePack, Codec::Cbor];
    codecs.into_iter().find(|codec| codec_number(*codec) == number)
}
