//! Histories and their events as files have them: that of a clean stop, and that of durable histories. Nodes of a
//! cluster tell them in the same form.

use jackfield_broker::{SavedContent, SavedTopic};

mod decode;
mod encode;

pub(crate) use decode::{event as decode_event, mirror as decode_mirror, realms as decode_realms};
pub(crate) use encode::{
    encoded as encode_event, encoded_mirror as encode_mirror, realms as encode_realms,
};

/// The histories of realms, by their names.
pub(crate) type SavedRealms = Vec<(String, Vec<SavedTopic>)>;

/// Returns whether the lists of receivers have a form that files have: lists of names alone.
fn is_plain(content: &SavedContent) -> bool {
    content.filters.iter().all(|it| it.exclude.is_empty() && it.eligible.is_none())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jackfield_broker::peers::NodeId;
    use jackfield_broker::{Mirror, MirroredEvent, SavedEvent};
    use jackfield_wamp::id::PublicationId;

    use super::*;

    #[test]
    fn a_mirror_is_read_as_it_was_written() {
        let at = Duration::from_millis(1_795_000_000_123);
        let event = SavedEvent { at, id: PublicationId::new(9).unwrap(), content: None };
        let mirror = Mirror {
            gone: u64::MAX,
            complete_since: Some(7),
            nodes: vec![(NodeId(1), 2, 3), (NodeId(u64::MAX), 0, 0)],
            events: vec![MirroredEvent { node: NodeId(1), number: 3, event }],
        };
        let bytes = encode_mirror(&mirror);
        assert_eq!(decode_mirror(&bytes), Some(mirror.clone()));
        for length in 0..bytes.len() {
            assert_eq!(decode_mirror(&bytes[..length]), None);
        }
        let longer = [&bytes[..], b"of a later version"].concat();
        assert_eq!(decode_mirror(&longer), Some(mirror));
    }
}
