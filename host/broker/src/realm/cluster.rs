//! The realm in a cluster: events to and from other nodes, and the changes of its interest.

use std::sync::Arc;

use super::Realm;
use crate::cluster::Cluster;
use crate::peers::InterestKey;
use crate::publication::{DeliveryError, DeliveryReport, Publication};
use crate::session::PendingFlushes;
use crate::subscriptions::Subscription;

impl Realm {
    /// Makes the realm a part of a cluster, before its first session.
    #[must_use]
    pub fn in_cluster(mut self, cluster: &Arc<Cluster>) -> Self {
        self.write().subscriptions.record_changes();
        self.cluster = Some(Arc::clone(cluster));
        self
    }

    /// Queues an event to the receivers of this node alone: one of another node, which sends it to all
    /// others itself, or one about this node.
    ///
    /// # Errors
    /// [`DeliveryError`] of any receiver; nothing is queued then.
    pub fn publish_here(
        &self,
        publication: &Publication<'_>,
        batch: &mut PendingFlushes,
    ) -> Result<DeliveryReport, DeliveryError> {
        self.deliver(publication, batch)
    }

    /// Queues an event for the other nodes with subscribers.
    pub(super) fn forward(
        &self,
        cluster: &Arc<Cluster>,
        publication: &Publication<'_>,
        batch: &mut PendingFlushes,
    ) {
        let (is_queued, steps) = cluster.publish(&self.name, publication);
        batch.add_matching(steps);
        if is_queued {
            batch.wake_at_flush(cluster.waking());
        }
    }

    /// Returns the topics and patterns whose number of subscribers has changed since the last call.
    pub fn take_changes(&self) -> Vec<InterestKey> {
        // Most calls find nothing, and do not stop deliveries.
        if !self.read().subscriptions.has_changes() {
            return Vec::new();
        }
        let changed = self.write().subscriptions.take_changes();
        changed.into_iter().map(|key| InterestKey::of(&self.name, key)).collect()
    }

    /// Returns the number of subscribers of a topic or pattern on this node, and whether it is a topic
    /// whose history has had events.
    pub fn interest(&self, key: &InterestKey) -> (usize, bool) {
        let count = self.read().subscriptions.get(key.key()).map_or(0, Subscription::len);
        let history = key.topic().and_then(|topic| self.history.get(topic));
        (count, history.is_some_and(|history| history.has_had_events()))
    }

    /// Returns the number of sessions with an exact subscription to the topic on this node.
    pub fn local_count(&self, topic: &str) -> usize {
        self.read().subscriptions.exact(topic).map_or(0, Subscription::len)
    }

    /// Returns the number of sessions with an exact subscription to the topic. Those of other nodes are
    /// counted as last heard.
    pub fn count(&self, topic: &str) -> usize {
        let cluster = self.cluster.as_ref();
        self.local_count(topic) + cluster.map_or(0, |it| it.count(&self.name, topic))
    }
}
