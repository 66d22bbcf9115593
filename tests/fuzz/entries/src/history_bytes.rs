//! The form of files with histories: the code of the host, which would bring all its dependencies.

#[path = "../../../../host/src/history_bytes/decode.rs"]
mod decode;
#[path = "../../../../host/src/history_bytes/encode.rs"]
mod encode;

use jackfield_broker::{SavedContent, SavedTopic};

pub(crate) use decode::{event as decode_event, mirror as decode_mirror, realms as decode_realms};
pub(crate) use encode::{
    encoded as encode_event, encoded_mirror as encode_mirror, realms as encode_realms,
};

/// The histories of realms, by their names.
pub(crate) type SavedRealms = Vec<(String, Vec<SavedTopic>)>;

/// As in the host.
fn is_plain(content: &SavedContent) -> bool {
    content.filters.iter().all(|it| it.exclude.is_empty() && it.eligible.is_none())
}
