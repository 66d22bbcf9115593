//! Headers of the frames of clients, as far as they have arrived; RFC 6455, section 5.2.

use crate::error::ReadError;
use crate::mask::Mask;
use crate::opcode::Opcode;
use crate::outgoing::COMPRESSED_BIT;

/// The size in bytes of the longest header: two bytes, a length of eight, and a key of four.
const MAX_BYTES: usize = 14;

/// The maximum size of the payload of a control frame, in bytes.
const MAX_CONTROL_BYTES: u64 = 125;

/// The header of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ClientHeader {
    pub(crate) opcode: Opcode,
    /// Whether the frame is the last one of its message.
    pub(crate) is_final: bool,
    /// Whether the frame begins a compressed message.
    pub(crate) is_compressed: bool,
    /// The size of the payload in bytes.
    pub(crate) length: u64,
    pub(crate) mask: Mask,
}

impl ClientHeader {
    /// Takes a header from the beginning of `bytes`; `None`, and takes nothing, if it is not
    /// complete. An error in an incomplete header is found as soon as its byte is there. `inflates`
    /// tells whether messages may be compressed.
    fn take(bytes: &mut &[u8], inflates: bool) -> Result<Option<Self>, ReadError> {
        let mut rest = *bytes;
        let Some(&[first, second]) = take(&mut rest) else {
            let opcode = bytes.first().map(|&first| opcode(first, inflates)).transpose();
            return opcode.map(|_| None);
        };
        let opcode = opcode(first, inflates)?;
        let is_compressed = first & COMPRESSED_BIT != 0;
        let is_final = first & 0x80 != 0;
        if second & 0x80 == 0 {
            return Err(ReadError::Unmasked);
        }
        let length = match second & 0x7f {
            126 => take(&mut rest).map(|&length| u64::from(u16::from_be_bytes(length))),
            127 => take(&mut rest).map(|&length| u64::from_be_bytes(length)),
            length => Some(u64::from(length)),
        };
        if opcode.is_control() {
            if !is_final {
                return Err(ReadError::FragmentedControl);
            }
            if length.is_some_and(|length| length > MAX_CONTROL_BYTES) {
                return Err(ReadError::LongControl);
            }
        }
        let (Some(length), Some(&key)) = (length, take(&mut rest)) else { return Ok(None) };
        *bytes = rest;
        Ok(Some(Self { opcode, is_final, is_compressed, length, mask: Mask::new(key) }))
    }
}

/// Takes the first `N` bytes, if there are as many.
fn take<'a, const N: usize>(bytes: &mut &'a [u8]) -> Option<&'a [u8; N]> {
    let (taken, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(taken)
}

/// Returns the opcode in the first byte of a header.
fn opcode(first: u8, inflates: bool) -> Result<Opcode, ReadError> {
    let usable = if inflates { COMPRESSED_BIT } else { 0 };
    if first & 0x70 & !usable != 0 {
        return Err(ReadError::ReservedBits);
    }
    let number = first & 0x0f;
    let opcode = Opcode::of_number(number).ok_or(ReadError::UnknownOpcode(number))?;
    if first & COMPRESSED_BIT != 0 && !matches!(opcode, Opcode::Text | Opcode::Binary) {
        return Err(ReadError::MisplacedCompression);
    }
    Ok(opcode)
}

/// The bytes of a header that has not arrived completely.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PartialHeader {
    bytes: [u8; MAX_BYTES],
    length: u8,
}

impl PartialHeader {
    pub(crate) const EMPTY: Self = Self { bytes: [0; MAX_BYTES], length: 0 };

    /// Returns whether no byte of a header has arrived.
    pub(crate) const fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Takes the bytes of a header from `input`. Returns the header once it is complete.
    pub(crate) fn take(
        &mut self,
        input: &mut &[u8],
        inflates: bool,
    ) -> Result<Option<ClientHeader>, ReadError> {
        if self.is_empty()
            && let Some(header) = ClientHeader::take(input, inflates)?
        {
            return Ok(Some(header));
        }
        // A header in parts is rare and short: byte by byte.
        while let Some((&byte, rest)) = input.split_first() {
            let Some(place) = self.bytes.get_mut(usize::from(self.length)) else { break };
            *place = byte;
            self.length += 1;
            *input = rest;
            let mut so_far = self.bytes.get(..usize::from(self.length)).unwrap_or_default();
            if let Some(header) = ClientHeader::take(&mut so_far, inflates)? {
                *self = Self::EMPTY;
                return Ok(Some(header));
            }
        }
        Ok(None)
    }
}
