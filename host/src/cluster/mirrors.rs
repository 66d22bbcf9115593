//! Mirrors: other nodes are asked for the history of a topic once, however many clients wait for it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jackfield_broker::peers::NodeId;
use serde::{Deserialize, Serialize};

/// The time after a failure in which the others are not asked again for the same topic.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The maximum number of topics whose failure is remembered.
const MAX_TOPICS: usize = 4_096;

/// The topics that other nodes are asked for, by realm.
#[derive(Debug, Default)]
pub(crate) struct Mirrors(Mutex<HashMap<(String, String), Arc<MirrorTurn>>>);

/// The turn to ask for a topic.
#[derive(Debug, Default)]
pub(crate) struct MirrorTurn {
    /// A tokio mutex: held while the others answer.
    pub(crate) turn: tokio::sync::Mutex<()>,
    /// The milliseconds from the start to the last failure; 0 before the first.
    failed_at: AtomicU64,
}

/// A question about histories. A later version may have more fields.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct HistoryQuestion {
    /// The realm.
    pub(crate) realm: String,
    /// The topic whose history is asked for.
    #[serde(default)]
    pub(crate) topic: String,
    /// The ids of nodes that tell their events themselves.
    #[serde(default)]
    pub(crate) there: Vec<u64>,
    /// Topics that the asker leaves: the answer comes when the node follows them.
    #[serde(default)]
    pub(crate) keep: Vec<String>,
}

impl Mirrors {
    /// Returns the turn to ask for a topic.
    pub(crate) fn of(&self, realm: &str, topic: &str) -> Arc<MirrorTurn> {
        let mut turns = self.lock();
        if turns.len() >= MAX_TOPICS {
            turns.retain(|_, turn| Arc::strong_count(turn) > 1);
        }
        Arc::clone(turns.entry((realm.to_owned(), topic.to_owned())).or_default())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(String, String), Arc<MirrorTurn>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl MirrorTurn {
    /// Returns whether the others have failed to answer just now.
    pub(crate) fn has_failed(&self, now: Duration) -> bool {
        let failed = self.failed_at.load(Ordering::Relaxed);
        failed > 0 && now.saturating_sub(Duration::from_millis(failed)) < RETRY_AFTER
    }

    /// Notes that the others have answered.
    pub(crate) fn succeed(&self) {
        self.failed_at.store(0, Ordering::Relaxed);
    }

    /// Notes that the others have not answered.
    pub(crate) fn fail(&self, now: Duration) {
        let now = u64::try_from(now.as_millis()).unwrap_or(u64::MAX).max(1);
        self.failed_at.store(now, Ordering::Relaxed);
    }
}

impl HistoryQuestion {
    /// Creates the question for a topic.
    pub(crate) fn of(realm: &str, topic: &str, there: &[NodeId]) -> Self {
        let there = there.iter().map(|node| node.0).collect();
        Self { realm: realm.to_owned(), topic: topic.to_owned(), there, keep: Vec::new() }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }
}
