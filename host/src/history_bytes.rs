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
