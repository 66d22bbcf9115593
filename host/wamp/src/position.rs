//! Positions in the history of a topic: the option `_since` of SUBSCRIBE, and the details `_offset`, `_at`
//! and `_stream` of EVENT. Extensions of version 2; version 1 has no place for them.
//!
//! Each node of a cluster has offsets of its own. So a position there has a [`Place`] as well, which every node
//! understands: it is written into the text of the epoch, and each event behind it tells its number.

use std::collections::BTreeMap;
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

/// The number of an event among those that its node has published to its topic, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventNumber {
    /// The node.
    pub node: u64,
    /// The number.
    pub number: u64,
}

/// The part of a topic's events that a client has had, for all nodes of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The digest of the nodes that were gone.
    pub gone: u64,
    /// The number of the last event of each node. Without one, the client has had no event of a node, or all
    /// events of one that was gone.
    pub had: BTreeMap<u64, u64>,
}

/// The maximum number of nodes in a place. Others are not read.
const MAX_NODES: usize = 128;

/// The option `_since` of SUBSCRIBE: `{"epoch": "9f3", "offset": 41}`, or `{}` without a position. With
/// `"latest": true`, the newest event alone is of interest. In a cluster, `"at": {"1f": 7}` has the numbers of the
/// last events since the epoch was told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Since {
    /// The epoch, as the client has written it.
    pub epoch: Option<String>,
    /// The offset of the last event that the client has handled.
    pub offset: Option<u64>,
    /// Whether the client wants the newest event alone, if it has missed any.
    pub latest: bool,
    /// The number of the last event of each node, since the epoch was told; `None` if the client does not follow
    /// them.
    pub at: Option<BTreeMap<u64, u64>>,
}

/// The detail `_stream` of the EVENT behind SUBSCRIBED, the answer to `_since`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stream<'a> {
    /// The place from which the session gets every event; `None` if the subscription has no history.
    pub position: Option<Position>,
    /// The same for other nodes of a cluster.
    pub place: Option<&'a Place>,
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
        let epoch = self.epoch.as_deref()?.split('.').next()?;
        let number = u64::from_str_radix(epoch, 16).ok()?;
        Some(Position { epoch: Epoch(number), offset: self.offset? })
    }

    /// Returns the part of the events that the client has had, if the epoch tells it and the client follows it.
    pub fn place(&self) -> Option<Place> {
        let at = self.at.as_ref()?;
        let mut place = Place::of_epoch(self.epoch.as_deref()?)?;
        for (node, number) in at {
            let had = place.had.entry(*node).or_default();
            *had = (*had).max(*number);
        }
        (place.had.len() <= MAX_NODES).then_some(place)
    }
}

impl Place {
    /// Reads the place that is written in the text of an epoch.
    fn of_epoch(text: &str) -> Option<Self> {
        let hex = |text: &str| u64::from_str_radix(text, 16).ok();
        let mut parts = text.split('.').skip(1);
        let gone = hex(parts.next()?)?;
        let mut had = BTreeMap::new();
        for part in parts {
            let (node, number) = part.split_once('-')?;
            had.insert(hex(node)?, hex(number)?);
            if had.len() > MAX_NODES {
                return None;
            }
        }
        Some(Self { gone, had })
    }
}

/// The text behind the number of the epoch.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, ".{:x}", self.gone)?;
        self.had.iter().try_for_each(|(node, number)| write!(f, ".{node:x}-{number:x}"))
    }
}

impl Position {
    /// Returns the text of the epoch, with the place of the position.
    pub fn epoch_text(&self, place: Option<&Place>) -> String {
        let Self { epoch, .. } = self;
        place.map_or_else(|| epoch.to_string(), |place| format!("{epoch}{place}"))
    }
}

impl Stream<'_> {
    pub(crate) fn write(&self, writer: &mut CodecWriter<'_>) {
        writer.begin_map(if self.position.is_some() { 4 } else { 2 });
        if let Some(position) = self.position {
            writer.key("epoch");
            writer.text(&position.epoch_text(self.place));
            writer.key("offset");
            writer.uint(position.offset);
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
            ..Since::default()
        };
        let position = Position { epoch: Epoch::new(0x9f3), offset: 41 };
        assert_eq!(since(Some(&position.epoch.to_string()), Some(41)).position(), Some(position));
        let bad = [(None, None), (Some("9f3"), None), (None, Some(41)), (Some("k3"), Some(41))];
        for (epoch, offset) in bad {
            assert_eq!(since(epoch, offset).position(), None);
        }
    }

    #[test]
    fn reads_places() {
        let place = Place { gone: 0xab, had: BTreeMap::from([(1, 0x10), (u64::MAX, 2)]) };
        let position = Position { epoch: Epoch::new(0x9f3), offset: 41 };
        let epoch = position.epoch_text(Some(&place));
        assert_eq!(epoch, "9f3.ab.1-10.ffffffffffffffff-2");
        let since = |epoch: &str, at: Option<&[(u64, u64)]>| Since {
            epoch: Some(epoch.to_owned()),
            offset: Some(41),
            at: at.map(|at| at.iter().copied().collect()),
            ..Since::default()
        };
        assert_eq!(since(&epoch, None).position(), Some(position));
        assert_eq!(since(&epoch, None).place(), None, "the client does not follow it");
        assert_eq!(since(&epoch, Some(&[])).place(), Some(place.clone()));
        let had = BTreeMap::from([(1, 0x10), (7, 9), (u64::MAX, 3)]);
        let later = since(&epoch, Some(&[(1, 3), (7, 9), (u64::MAX, 3)])).place();
        assert_eq!(later, Some(Place { had, ..place }));
        let many: Vec<_> = (0..200).map(|node| (node, 1)).collect();
        assert_eq!(since("9f3.0", Some(&many)).place(), None);
        for bad in ["9f3", "9f3.", "9f3.k", "9f3.0.1", "9f3.0.1-", "9f3.0.-1", "9f3.0.1-1."] {
            assert_eq!(since(bad, Some(&[])).place(), None, "{bad}");
        }
    }
}
