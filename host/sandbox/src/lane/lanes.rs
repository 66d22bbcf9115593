//! The lanes of a plugin.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Lane;

/// All lanes of one started plugin. Cheap to clone; the instances end with the last clone.
#[derive(Debug, Clone)]
pub struct Lanes {
    lanes: Arc<[Lane]>,
}

impl Lanes {
    pub(crate) fn new(lanes: Vec<Lane>) -> Self {
        Self { lanes: lanes.into() }
    }

    /// The number of lanes.
    pub fn count(&self) -> usize {
        self.lanes.len()
    }

    /// The number of calls that wait for each lane.
    pub fn queues(&self) -> impl Iterator<Item = usize> {
        self.lanes.iter().map(|lane| lane.queue.len())
    }

    /// Replaces each instance before its next call: what it knows is not valid any more.
    pub fn restart(&self) {
        for lane in self.lanes.iter() {
            lane.is_stale.store(true, Ordering::Relaxed);
        }
    }

    /// The lane of a topic.
    ///
    /// # Panics
    /// Never: a started plugin has at least one lane.
    #[expect(clippy::indexing_slicing, reason = "the number is taken modulo the length")]
    pub fn of(&self, topic: &str) -> &Lane {
        &self.lanes[self.number_of(topic)]
    }

    /// The index of a topic's lane.
    pub fn number_of(&self, topic: &str) -> usize {
        if self.lanes.len() == 1 {
            return 0;
        }
        let mut hasher = DefaultHasher::new();
        topic.hash(&mut hasher);
        let count = self.lanes.len() as u64;
        // The remainder is less than a length.
        usize::try_from(hasher.finish() % count).unwrap_or_default()
    }
}
