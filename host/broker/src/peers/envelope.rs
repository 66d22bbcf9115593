//! Envelope: the messages between two nodes, and the records in them.
//!
//! ```text
//! envelope: version u8 · flags u8 · from u64 · link u64 · first u64
//!           · peer's link u64 · received u64 · complete u64 · count u16 · records
//! record:   kind u8 · length u32 · content
//! ```
//!
//! `first` is the number of records of the link before this envelope, so a gap is known at once, and
//! exactly. A record of an unknown kind is skipped by its length. A record that does not fit an envelope is cut into
//! parts, which are records as well.
//!
//! # Changes
//!
//! Nodes of different releases are in one cluster during a rolling upgrade. HELLO tells the [versions](Versions)
//! that a node speaks, and two nodes use the highest common one.
//!
//! - **No new version** is needed for a further kind of record or of key (`interest`) that older nodes may ignore:
//!   they skip it. Nor for more bytes behind the content of a record, except `Event` and `Message`, and more fields
//!   in the questions of hosts, which are JSON: older nodes do not read them, and newer ones do without them.
//! - **A new version** is needed for anything else: another header, a record that must not be ignored, another
//!   content of a known kind, another kind of frame of `relay` or of message of the host's exchange. [`encode`] and
//!   [`decode`] get the version, and write and read each of [`Versions::SPOKEN`]. Peers of an older version get its
//!   form: their links have the version.
//! - **The lowest version** rises one release after the highest at the earliest. Then nodes of the release before
//!   can still be upgraded one by one, and older ones are incompatible: the log and the status say so.
//! - Kind 255 is never given to a record: tests send it, as a later version would.

use bytes::{BufMut, Bytes};

use super::NodeId;
use super::bytes::Input;
use super::versions::Versions;

/// The size of an envelope's records. One record more may exceed it by a part's size.
pub(super) const MAX_RECORDS_BYTES: usize = 64 << 10;
/// The maximum content of a record that is not cut.
const MAX_PART_BYTES: usize = 48 << 10;
/// The maximum size of a record that is put together from parts.
pub(super) const MAX_WHOLE_BYTES: usize = 64 << 20;
/// The size of an envelope without its records.
const HEADER_BYTES: usize = 52;
/// The size of a record without its content.
const RECORD_HEAD_BYTES: usize = 5;

/// The greatest size of a message between nodes.
pub const MAX_ENVELOPE_BYTES: usize =
    HEADER_BYTES + MAX_RECORDS_BYTES + MAX_PART_BYTES + RECORD_HEAD_BYTES;

/// The sender has no complete interest of the receiver.
const WANTS_SNAPSHOT: u8 = 1;
/// The sender has served no clients before it had the receiver's interest.
const FRESH: u8 = 2;

/// The head of an envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// The version of the envelope.
    pub(super) version: u8,
    pub(super) from: NodeId,
    /// The number of the sender's link to the receiver: it grows with each one.
    pub(super) link: u64,
    /// The number of records before this envelope.
    pub(super) first: u64,
    /// The receiver's link that the next two numbers are about; 0 without any.
    pub(super) peer_link: u64,
    /// The number of records of that link that were received or lost.
    pub(super) received: u64,
    /// The number of those up to which the sender's table of interest is complete.
    pub(super) complete: u64,
    pub(super) wants_snapshot: bool,
    pub(super) is_fresh: bool,
}

/// The kind of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    SnapshotBegin = 1,
    Interest = 2,
    SnapshotEnd = 3,
    Event = 4,
    /// A part, with further ones behind it. Its first byte is the kind of the whole in each.
    Part = 5,
    LastPart = 6,
    Bye = 7,
    FirstPart = 8,
    /// Bytes for the host.
    Message = 9,
    /// The number of the event behind it.
    Number = 10,
    /// Nodes that are gone.
    Gone = 11,
}

impl Kind {
    const ALL: [Self; 11] = [
        Self::SnapshotBegin,
        Self::Interest,
        Self::SnapshotEnd,
        Self::Event,
        Self::Part,
        Self::LastPart,
        Self::Bye,
        Self::FirstPart,
        Self::Message,
        Self::Number,
        Self::Gone,
    ];

    /// Returns the kind with this number; `None` if it is unknown.
    pub(super) fn of(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == number)
    }
}

/// Writes a record, in parts if it is long.
pub(super) fn records(kind: Kind, content: &[u8]) -> Vec<Bytes> {
    if content.len() <= MAX_PART_BYTES {
        return vec![record(kind, &[], content)];
    }
    let parts = content.chunks(MAX_PART_BYTES);
    let last = parts.len() - 1;
    let part = |(index, part)| {
        let outer = match index {
            0 => Kind::FirstPart,
            _ if index == last => Kind::LastPart,
            _ => Kind::Part,
        };
        record(outer, &[kind as u8], part)
    };
    parts.enumerate().map(part).collect()
}

fn record(kind: Kind, before: &[u8], content: &[u8]) -> Bytes {
    let length = before.len() + content.len();
    let mut bytes = Vec::with_capacity(RECORD_HEAD_BYTES + length);
    bytes.put_u8(kind as u8);
    bytes.put_u32_le(u32::try_from(length).unwrap_or_default());
    bytes.extend_from_slice(before);
    bytes.extend_from_slice(content);
    bytes.into()
}

/// The kind of records and keys that no version knows.
pub(super) const UNKNOWN_KIND: u8 = u8::MAX;

/// Writes a record that no version knows, as a later one would send it.
pub(super) fn unknown_record() -> Bytes {
    Bytes::from_static(&[UNKNOWN_KIND, 3, 0, 0, 0, 1, 2, 3])
}

/// Writes a record as it is, for tests of parts.
#[cfg(test)]
pub(super) fn raw_record(kind: Kind, content: &[u8]) -> Bytes {
    record(kind, &[], content)
}

/// Writes an envelope.
pub(super) fn encode(header: &Header, records: &[Bytes]) -> Vec<u8> {
    let Header { version, from, link, first, peer_link, received, complete, .. } = *header;
    let flags =
        u8::from(header.wants_snapshot) * WANTS_SNAPSHOT + u8::from(header.is_fresh) * FRESH;
    let length: usize = records.iter().map(Bytes::len).sum();
    let mut out = Vec::with_capacity(HEADER_BYTES + length);
    out.put_u8(version);
    out.put_u8(flags);
    for number in [from.0, link, first, peer_link, received, complete] {
        out.put_u64_le(number);
    }
    out.put_u16_le(u16::try_from(records.len()).unwrap_or_default());
    for record in records {
        out.extend_from_slice(record);
    }
    out
}

/// Reads an envelope. `None` if it is not one, or not of one of these versions.
pub(super) fn decode(bytes: &Bytes, versions: Versions) -> Option<(Header, Vec<(u8, Bytes)>)> {
    let mut input = Input::new(bytes.clone());
    let version = input.u8().filter(|it| versions.contains(*it))?;
    let flags = input.u8()?;
    let header = Header {
        version,
        from: NodeId(input.u64()?),
        link: input.u64()?,
        first: input.u64()?,
        peer_link: input.u64()?,
        received: input.u64()?,
        complete: input.u64()?,
        wants_snapshot: flags & WANTS_SNAPSHOT != 0,
        is_fresh: flags & FRESH != 0,
    };
    let count = input.u16()?;
    let records = (0..count).map(|_| Some((input.u8()?, input.bytes()?))).collect::<Option<_>>()?;
    input.is_empty().then_some((header, records))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::versions::Hello;
    use super::*;

    fn header() -> Header {
        Header {
            version: 1,
            from: NodeId(1),
            link: 2,
            first: 3,
            peer_link: 4,
            received: 6,
            complete: 5,
            wants_snapshot: true,
            is_fresh: false,
        }
    }

    #[test]
    fn reads_what_it_writes() {
        let long = vec![7; MAX_PART_BYTES * 2 + 1];
        let mut all = records(Kind::Bye, b"");
        all.extend(records(Kind::Event, &long));
        assert_eq!(all.len(), 4);
        let bytes = encode(&header(), &all).into();
        let (read, found) = decode(&bytes, Versions::SPOKEN).unwrap();
        assert_eq!(read, header());
        let kinds: Vec<_> = found.iter().map(|(kind, _)| Kind::of(*kind).unwrap()).collect();
        assert_eq!(kinds, [Kind::Bye, Kind::FirstPart, Kind::Part, Kind::LastPart]);
        let whole: Vec<u8> = found[1..].iter().flat_map(|(_, part)| part[1..].to_vec()).collect();
        assert_eq!(whole, long);
        assert_eq!((Kind::of(0), Kind::of(UNKNOWN_KIND)), (None, None));
    }

    #[test]
    fn refuses_other_versions_and_what_is_cut_off() {
        let bytes = Bytes::from(encode(&header(), &records(Kind::Event, b"abc")));
        for length in 0..bytes.len() {
            assert_eq!(decode(&bytes.slice(..length), Versions::SPOKEN), None);
        }
        let mut other = bytes.to_vec();
        other[0] = 2;
        let other = other.into();
        assert_eq!(decode(&other, Versions::SPOKEN), None);
        let (header, _) = decode(&other, Versions { lowest: 2, highest: 3 }).unwrap();
        assert_eq!(header.version, 2);
    }

    proptest! {
        #[test]
        fn survives_any_bytes(mut bytes in prop::collection::vec(any::<u8>(), 0..200), is_ours: bool) {
            if let (true, Some(version)) = (is_ours, bytes.first_mut()) {
                *version = Versions::SPOKEN.highest;
            }
            let bytes = bytes.into();
            let _any = (decode(&bytes, Versions::SPOKEN), Hello::decode(&bytes));
        }
    }
}
