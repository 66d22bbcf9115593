//! Lists of answers, bounded by their size: topics and names are texts of others, and have up to 4 KiB
//! each, which escaping makes six times as long.

use serde_json::Value;

use super::MAX_SHOWN_BYTES;

/// The maximum size of a list in an answer, in bytes of JSON. One entry is always listed.
const MAX_LIST_BYTES: usize = 1 << 20;

/// The first entries of a list.
pub(super) struct SizedList {
    pub(super) entries: Vec<Value>,
    /// Whether entries are left out.
    pub(super) is_cut: bool,
}

impl SizedList {
    /// Takes entries as long as their list is not too large.
    pub(super) fn of(all: impl Iterator<Item = Value>) -> Self {
        let (mut entries, mut bytes) = (Vec::new(), 0);
        for entry in all {
            // Values with keys that are texts cannot fail to be written.
            bytes += serde_json::to_vec(&entry).map_or(0, |json| json.len());
            if bytes > MAX_LIST_BYTES && !entries.is_empty() {
                return Self { entries, is_cut: true };
            }
            entries.push(entry);
        }
        Self { entries, is_cut: false }
    }
}

/// The name of a user, a role, a route or a handler; one that is too long is cut.
pub(super) fn shown_name(text: &str) -> &str {
    text.get(..text.floor_char_boundary(MAX_SHOWN_BYTES)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn lists_are_bounded_by_their_size() {
        let few = SizedList::of((0..1_000).map(|number| json!(number)));
        assert_eq!((few.entries.len(), few.is_cut), (1_000, false));
        let escaped = "\u{1}".repeat(4_096);
        let many = SizedList::of((0..1_000).map(|_| json!(escaped)));
        assert!(
            many.is_cut
                && serde_json::to_vec(&many.entries).unwrap().len() <= MAX_LIST_BYTES + 1_000
        );
        let huge = SizedList::of(std::iter::repeat_n(json!("x".repeat(2 << 20)), 2));
        assert_eq!((huge.entries.len(), huge.is_cut), (1, true));
    }
}
