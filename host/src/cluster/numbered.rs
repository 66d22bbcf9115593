//! Things that end with a message of another node: deferred results, and effects that it performs.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jackfield_broker::peers::NodeId;
use tokio::sync::oneshot;

/// Things that end with a message of another node, by its number, or with the node.
#[derive(Debug)]
pub(crate) struct Numbered<T>(Mutex<HashMap<(NodeId, u64), oneshot::Sender<T>>>);

impl<T> Numbered<T> {
    /// Adds one. The receiver ends without a value if it is removed, or if the node goes.
    pub(crate) fn add(&self, node: NodeId, number: u64) -> oneshot::Receiver<T> {
        let (sender, receiver) = oneshot::channel();
        self.lock().insert((node, number), sender);
        receiver
    }

    /// Removes one.
    pub(crate) fn remove(&self, node: NodeId, number: u64) -> Option<oneshot::Sender<T>> {
        self.lock().remove(&(node, number))
    }

    /// Removes those of a node.
    pub(super) fn remove_all(&self, node: NodeId) {
        self.lock().retain(|(holder, _), _| *holder != node);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(NodeId, u64), oneshot::Sender<T>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Default for Numbered<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}
