//! Tests of the choice between records.

use super::*;

/// A message of a record: behind a place, with an id, an index and a number of parts.
fn message(behind: u64, id: u64, index: u32, count: u32) -> Bytes {
    let kind = if behind == 0 { Kind::Snapshot } else { Kind::Commit };
    let mut message = BytesMut::new();
    put_head(&mut message, kind, Link { log: 1, behind, term: 1, id }, (index, count));
    message.freeze()
}

/// Reads messages at the places 1, 2, …. Returns the ids of the records that count, and the last one's place.
fn read(messages: &[(u64, u64, u32, u32)]) -> (Vec<u64>, u64) {
    let (mut chain, mut counted) = (Chain::default(), Vec::new());
    for (place, &(behind, id, index, count)) in (1..).zip(messages) {
        let mut message = message(behind, id, index, count);
        let part = chain.take(place, &mut message).unwrap();
        assert!(message.is_empty());
        if part.is_some_and(|it| it.is_last) {
            counted.push(id);
            assert_eq!(chain.accepted(), place);
        }
        assert_eq!(chain.last(), place);
    }
    (counted, chain.accepted())
}

#[test]
fn the_first_complete_record_behind_a_place_counts() {
    for (messages, counted, end) in [
        (&[(0, 1, 0, 1), (1, 2, 0, 1), (2, 3, 0, 1)][..], &[1, 2, 3][..], 3),
        // A fork, what its writer puts behind it, and the next record of the other one.
        (&[(0, 1, 0, 1), (1, 2, 0, 1), (1, 9, 0, 1), (3, 10, 0, 1), (2, 3, 0, 1)], &[1, 2, 3], 5),
        // Parts of two records, mixed: the later one takes the place of the earlier one, as if that were torn.
        (&[(0, 1, 0, 1), (1, 2, 0, 2), (1, 9, 0, 1), (1, 2, 1, 2)], &[1, 9], 3),
        (&[(0, 1, 0, 1), (1, 2, 0, 2), (1, 9, 0, 2), (1, 2, 1, 2), (1, 9, 1, 2)], &[1, 9], 5),
        (&[(0, 1, 0, 1), (1, 2, 0, 2), (1, 2, 1, 2), (1, 9, 0, 1)], &[1, 2], 3),
        // A message that was sent twice.
        (&[(0, 1, 0, 1), (1, 2, 0, 1), (1, 2, 0, 1), (2, 3, 0, 1)], &[1, 2, 3], 4),
        (&[(0, 1, 0, 1), (1, 2, 0, 2), (1, 2, 0, 2), (1, 2, 1, 2)], &[1, 2], 4),
        // Two first snapshots of the same size.
        (&[(0, 1, 0, 2), (0, 9, 0, 2), (0, 1, 1, 2), (0, 9, 1, 2)], &[9], 4),
        // A part is missing.
        (&[(0, 1, 0, 1), (1, 2, 0, 3), (1, 2, 2, 3), (1, 3, 0, 1)], &[1, 3], 4),
    ] {
        assert_eq!(read(messages), (counted.to_vec(), end), "{messages:?}");
    }
}

#[test]
fn messages_behind_removed_ones_are_an_error() {
    let mut chain = Chain::default();
    chain.take(1, &mut message(0, 1, 0, 1)).unwrap();
    // The record at the place 5 was removed.
    let removed = Err(LogFormatError::Removed { sequence: 6 });
    assert_eq!(chain.take(6, &mut message(5, 2, 0, 1)), removed);
    // The second one of two writers that have begun the log is skipped.
    let mut message = BytesMut::new();
    put_head(&mut message, Kind::Snapshot, Link { log: 8, behind: 0, term: 2, id: 8 }, (0, 1));
    assert_eq!(chain.take(6, &mut message.freeze()), Ok(None));
}

#[test]
fn a_takeover_begins_a_later_term() {
    let mut chain = Chain::default();
    let mut place = 0;
    let mut take = |kind, term, counts: bool| {
        place += 1;
        let mut message = BytesMut::new();
        put_head(&mut message, kind, chain.link(term, place), (0, 1));
        let taken = chain.take(place, &mut message.freeze()).unwrap();
        assert_eq!(taken.is_some(), counts, "{kind:?} of the term {term}");
        chain.next_term(7)
    };
    assert_eq!(take(Kind::Snapshot, 4, true), 7);
    take(Kind::Commit, 4, true);
    take(Kind::Takeover, 6, true);
    take(Kind::Takeover, 5, false);
    take(Kind::Takeover, 6, false);
    take(Kind::Commit, 4, false);
    take(Kind::Snapshot, 6, true);
    take(Kind::Takeover, 9, true);
    // The numbers of leases have begun anew.
    assert_eq!(take(Kind::Commit, 9, true), 10);
}
