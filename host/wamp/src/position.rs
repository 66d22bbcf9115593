//! Positions in the history of a topic: the option `_since` of SUBSCRIBE, and the details `_offset`
//! and `_stream` of EVENT. Extensions of version 2; version 1 has no place for them.

use std::fmt;

use crate::codec::CodecWriter;

/// Identifies one history of a topic. Another epoch is another history: offsets of the two cannot be
/// compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Epoch(u64);

/// A place in the history of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The history.
    pub epoch: Epoch,
    /// The offset of the last event before the place; 0 is the begin.
    pub offset: u64,
}

/// The option `_since` of SUBSCRIBE: `{"epoch": "9f3", "offset": 41}`, or `{}` without a position. With
/// `"latest": true`, the newest event alone is of interest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Since {
    /// The epoch, as the client has written it.
    pub epoch: Option<String>,
    /// The offset of the last event that the client has handled.
    pub offset: Option<u64>,
    /// Whether the client wants the newest event alone, if it has missed any.
    pub latest: bool,
}

/// The detail `_stream` of the EVENT behind SUBSCRIBED, the answer to `_since`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stream {
    /// The place from which the session gets every event; `None` if the subscription has no history.
    pub position: Option<Position>,
    /// Whether this is all that the client has missed since its position.
    pub recovered: bool,
    /// The number of older events that follow.
    pub replayed: u64,
}

impl Epoch {
    /// Creates the epoch with this number, which is random.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// Returns the number.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0)
    }
}

impl Since {
    /// Returns the position, if both parts are there and the epoch can be one of ours.
    pub fn position(&self) -> Option<Position> {
        let epoch = self.epoch.as_deref()?;
        let number = u64::from_str_radix(epoch, 16).ok()?;
        Some(Position { epoch: Epoch(number), offset: self.offset? })
    }
}

impl Stream {
    pub(crate) fn write(&self, writer: &mut CodecWriter<'_>) {
        writer.begin_map(if self.position.is_some() { 4 } else { 2 });
        if let Some(Position { epoch, offset }) = self.position {
            writer.key("epoch");
            writer.text(&epoch.to_string());
            writer.key("offset");
            writer.uint(offset);
        }
        writer.key("recovered");
        writer.bool(self.recovered);
        writer.key("replayed");
        writer.uint(self.replayed);
        writer.end_map();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_positions() {
        let since = |epoch: Option<&str>, offset| Since {
            epoch: epoch.map(str::to_owned),
            offset,
            latest: false,
        };
        let position = Position { epoch: Epoch::new(0x9f3), offset: 41 };
        assert_eq!(since(Some(&position.epoch.to_string()), Some(41)).position(), Some(position));
        let bad = [(None, None), (Some("9f3"), None), (None, Some(41)), (Some("k3"), Some(41))];
        for (epoch, offset) in bad {
            assert_eq!(since(epoch, offset).position(), None);
        }
    }
}
