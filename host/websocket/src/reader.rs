//! Incremental reader of a client's messages.

use bytes::Bytes;

use crate::close::CloseFrame;
use crate::deflate::inflated;
use crate::error::ReadError;
use crate::header::{ClientHeader, PartialHeader};
use crate::mask::Mask;
use crate::message::Message;
use crate::opcode::Opcode;
use crate::utf8::Utf8Check;

/// The maximum memory in bytes that is reserved for bytes that have not arrived. A client that
/// announces a large message and does not send it costs no more than this.
const MAX_RESERVED_BYTES: usize = 4 * 1024;

/// The maximum number of frames of a message: frames of 64 bytes fill a mebibyte. It bounds the
/// headers of a message that never ends.
pub const MAX_FRAMES: u32 = 16_384;

/// Reads the messages of a client from its bytes, in portions of any size.
///
/// Between two messages it owns no memory beside itself.
#[derive(Debug)]
pub struct MessageReader {
    /// The maximum size of a message in bytes.
    max_message_bytes: usize,
    /// Whether messages may be compressed.
    inflates: bool,
    at: At,
    /// The begun message, if there is one.
    data: Option<Data>,
    /// The payload so far of a control frame.
    control: Vec<u8>,
}

/// The place in the stream of frames.
#[derive(Debug)]
enum At {
    Header(PartialHeader),
    Payload(Payload),
    /// After the close frame: the rest is ignored.
    End,
}

/// The payload of a frame, of which a part is missing.
#[derive(Clone, Copy, Debug)]
struct Payload {
    opcode: Opcode,
    is_final: bool,
    mask: Mask,
    /// The number of missing bytes.
    missing: usize,
}

/// The parts so far of a message.
#[derive(Debug)]
struct Data {
    kind: DataKind,
    is_compressed: bool,
    /// The number of frames so far.
    frames: u32,
    bytes: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
enum DataKind {
    Text(Utf8Check),
    Binary,
}

impl MessageReader {
    /// Returns a reader at the beginning of a connection. Larger messages are an error.
    pub const fn new(max_message_bytes: usize) -> Self {
        Self {
            max_message_bytes,
            inflates: false,
            at: At::Header(PartialHeader::EMPTY),
            data: None,
            control: Vec::new(),
        }
    }

    /// Accepts compressed messages. The maximum size holds for their compressed and for their inflated
    /// bytes.
    #[must_use]
    pub const fn inflating(mut self, inflates: bool) -> Self {
        self.inflates = inflates;
        self
    }

    /// Replaces the maximum size. A message that has begun is checked against it at its next frame.
    pub const fn set_max_message_bytes(&mut self, max_message_bytes: usize) {
        self.max_message_bytes = max_message_bytes;
    }

    /// Takes bytes from `input` until a message is complete, or until there are none. Call it
    /// again until it returns `None`: then all input is taken.
    ///
    /// # Errors
    ///
    /// The client violates the protocol, or the message is too large. The reader must not be used
    /// further.
    pub fn read(&mut self, input: &mut &[u8]) -> Result<Option<Message>, ReadError> {
        loop {
            match &mut self.at {
                At::Header(partial) => match partial.take(input, self.inflates)? {
                    Some(header) => self.begin(header)?,
                    None => return Ok(None),
                },
                At::Payload(payload) => {
                    let mut payload = *payload;
                    let into = match (&mut self.data, payload.opcode.is_control()) {
                        (Some(data), false) => &mut data.bytes,
                        _ => &mut self.control,
                    };
                    payload.take(input, into);
                    if payload.missing > 0 {
                        self.at = At::Payload(payload);
                        return Ok(None);
                    }
                    self.at = At::Header(PartialHeader::EMPTY);
                    if let Some(message) = self.end_frame(payload)? {
                        return Ok(Some(message));
                    }
                }
                At::End => {
                    *input = &[];
                    return Ok(None);
                }
            }
        }
    }

    /// Returns the size in bytes of the message so far, if one has begun and is not complete.
    pub fn incomplete_bytes(&self) -> usize {
        self.data.as_ref().map_or(0, |data| data.bytes.len())
    }

    /// Begins the payload of a frame.
    fn begin(&mut self, header: ClientHeader) -> Result<(), ReadError> {
        let ClientHeader { opcode, is_final, is_compressed, length, mask } = header;
        match (opcode, &mut self.data) {
            (Opcode::Continuation, None) => return Err(ReadError::UnexpectedContinuation),
            (Opcode::Text | Opcode::Binary, Some(_)) => {
                return Err(ReadError::ExpectedContinuation);
            }
            (Opcode::Text, None) => self.data = Some(Data::new(DataKind::TEXT, is_compressed)),
            (Opcode::Binary, None) => self.data = Some(Data::new(DataKind::Binary, is_compressed)),
            (Opcode::Continuation, Some(data)) => {
                data.frames += 1;
                if data.frames > MAX_FRAMES {
                    return Err(ReadError::TooManyFrames);
                }
            }
            (Opcode::Close | Opcode::Ping | Opcode::Pong, _) => {}
        }
        let missing = self.checked_length(opcode, length)?;
        self.at = At::Payload(Payload { opcode, is_final, mask, missing });
        Ok(())
    }

    /// Returns the length of a payload, if its message is no larger than the limit. The limit is
    /// one for messages: the length of a control frame has a bound of its own.
    fn checked_length(&self, opcode: Opcode, length: u64) -> Result<usize, ReadError> {
        let limit = if opcode.is_control() { usize::MAX } else { self.max_message_bytes };
        let before = if opcode.is_control() { 0 } else { self.incomplete_bytes() };
        match usize::try_from(length) {
            Ok(length) if before.saturating_add(length) <= limit => Ok(length),
            _ => Err(ReadError::TooLarge { bytes: length.saturating_add(before as u64), limit }),
        }
    }

    /// Ends a frame whose payload is complete. Returns the message that it completes.
    fn end_frame(&mut self, frame: Payload) -> Result<Option<Message>, ReadError> {
        if frame.opcode.is_control() {
            let payload = Bytes::from(std::mem::take(&mut self.control));
            return Ok(Some(match frame.opcode {
                Opcode::Ping => Message::Ping(payload),
                Opcode::Pong => Message::Pong(payload),
                _ => {
                    self.at = At::End;
                    self.data = None;
                    Message::Close(CloseFrame::parse(&payload)?)
                }
            }));
        }
        let Some(data) = &mut self.data else { return Ok(None) };
        if data.is_compressed {
            if !frame.is_final {
                return Ok(None);
            }
            data.bytes = inflated(&data.bytes, self.max_message_bytes)?;
        }
        if let DataKind::Text(check) = &mut data.kind {
            check.check(&data.bytes, frame.is_final)?;
        }
        if !frame.is_final {
            return Ok(None);
        }
        Ok(self.data.take().map(|data| match data.kind {
            DataKind::Text(_) => Message::Text(data.bytes.into()),
            DataKind::Binary => Message::Binary(data.bytes.into()),
        }))
    }
}

impl Payload {
    /// Moves available bytes of the payload from `input` into `bytes`, and removes their mask.
    fn take(&mut self, input: &mut &[u8], bytes: &mut Vec<u8>) {
        let Some(available) = input.split_off(..self.missing.min(input.len())) else { return };
        if bytes.capacity() - bytes.len() < available.len() {
            let expected = self.missing.min(bytes.len().max(MAX_RESERVED_BYTES));
            bytes.reserve_exact(expected.max(available.len()));
        }
        let start = bytes.len();
        bytes.extend_from_slice(available);
        self.mask.remove(bytes.get_mut(start..).unwrap_or_default());
        self.missing -= available.len();
    }
}

impl Data {
    const fn new(kind: DataKind, is_compressed: bool) -> Self {
        Self { kind, is_compressed, frames: 1, bytes: Vec::new() }
    }
}

impl DataKind {
    const TEXT: Self = Self::Text(Utf8Check::NEW);
}
