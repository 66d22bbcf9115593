//! The longest frame that a client takes, if its transport has such a limit.

use super::Outbox;

impl Outbox {
    /// Sets the maximum length of a frame in bytes. A longer event is dropped, and counted.
    #[must_use]
    pub fn with_max_frame(mut self, bytes: usize) -> Self {
        self.bounds.max_frame_bytes = Some(bytes);
        self
    }

    /// Returns whether the client takes a frame of this length in bytes.
    pub fn takes(&self, bytes: usize) -> bool {
        self.bounds.max_frame_bytes.is_none_or(|limit| bytes <= limit)
    }

    /// Returns the maximum length of a frame in bytes, no more than `limit`.
    pub(crate) fn max_frame_bytes(&self, limit: usize) -> usize {
        self.bounds.max_frame_bytes.map_or(limit, |own| own.min(limit))
    }
}
