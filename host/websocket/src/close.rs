//! Close frames; RFC 6455, sections 5.5.1 and 7.4.

use bytes::Bytes;

use crate::error::ReadError;

/// The reason of a close, as a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CloseCode(u16);

impl CloseCode {
    /// The purpose of the connection is fulfilled.
    pub const NORMAL: Self = Self(1000);
    /// The server ends, or the page was left.
    pub const AWAY: Self = Self(1001);
    /// A violation of the protocol.
    pub const PROTOCOL: Self = Self(1002);
    /// A message whose content does not fit its type, such as text that is not UTF-8.
    pub const INVALID: Self = Self(1007);
    /// A violation of a rule that has no code of its own.
    pub const POLICY: Self = Self(1008);
    /// A message that is too large.
    pub const SIZE: Self = Self(1009);

    /// Returns the number.
    pub const fn number(self) -> u16 {
        self.0
    }

    /// Returns the code with this number; `None` if it may not be sent in a frame. RFC 6455,
    /// section 7.4.2, and the registry of IANA (1012 to 1014).
    pub const fn of_number(number: u16) -> Option<Self> {
        match number {
            1000..=1003 | 1007..=1014 | 3000..=4999 => Some(Self(number)),
            _ => None,
        }
    }
}

/// The content of a close frame that has one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloseFrame {
    /// The reason as a number.
    pub code: CloseCode,
    /// The reason as a text in UTF-8, of at most 123 bytes.
    pub reason: Bytes,
}

impl CloseFrame {
    /// Parses the payload of a close frame; `None` if it is empty.
    pub(crate) fn parse(payload: &Bytes) -> Result<Option<Self>, ReadError> {
        let Some((code, reason)) = payload.split_first_chunk() else {
            return if payload.is_empty() { Ok(None) } else { Err(ReadError::ShortClose) };
        };
        let number = u16::from_be_bytes(*code);
        let code = CloseCode::of_number(number).ok_or(ReadError::CloseCode(number))?;
        if std::str::from_utf8(reason).is_err() {
            return Err(ReadError::Utf8);
        }
        Ok(Some(Self { code, reason: payload.slice_ref(reason) }))
    }
}
