//! The realm in a cluster: events to and from other nodes, and the changes of its interest.

use std::sync::Arc;
use std::time::Duration;

use jackfield_wamp::id::PublicationId;
use jackfield_wamp::position::{Epoch, Place};

use super::Realm;
use crate::cluster::Cluster;
use crate::history::Mirror;
use crate::node::NodeId;
use crate::peers::{Gone, InterestKey, Peers};
use crate::publication::{DeliveryError, DeliveryReport, Publication};
use crate::session::PendingFlushes;
use crate::subscriptions::Subscription;

/// A history that other nodes are asked for.
#[derive(Clone, Debug)]
pub struct MirrorBegin {
    /// The nodes to ask.
    pub asked: Vec<NodeId>,
    epoch: Epoch,
    /// The number of nodes that had left.
    count: u64,
}

impl Realm {
    /// Makes the realm a part of a cluster, before its first session.
    #[must_use]
    pub fn in_cluster(mut self, cluster: &Arc<Cluster>) -> Self {
        self.write().subscriptions.record_changes();
        self.history.join_cluster(cluster.read(Peers::node));
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
        self.deliver(publication, None, batch)
    }

    /// Queues an event for the other nodes with subscribers.
    pub(super) fn forward(
        &self,
        cluster: &Cluster,
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

    /// Reads the nodes that are gone, in a cluster.
    pub(super) fn with_gone<T>(&self, read: impl FnOnce(Option<&Gone>) -> T) -> T {
        // Without their lock: the caller may encode many events.
        let gone = self.cluster.as_ref().map(|it| it.read(|peers| Arc::clone(peers.gone())));
        read(gone.as_deref())
    }

    /// Returns what this node tells another one of the history of a topic. `there` are the nodes that tell their
    /// events themselves. `None` without a cluster.
    pub fn mirror(&self, topic: &str, there: &[NodeId]) -> Option<Mirror> {
        let last = self.history.last_number()?;
        let Some(history) = self.history.get(topic) else {
            return self.with_gone(|gone| Some(Mirror::empty(last, gone?)));
        };
        let (recent, limits) = (history.lock(), self.history.replay_limits());
        self.with_gone(|gone| recent.mirror(there, gone?, limits))
    }

    /// Returns the topics whose history has all that is known of their events.
    pub fn complete_topics(&self) -> Vec<String> {
        self.history.complete_topics()
    }

    /// Begins to complete the history of a topic, which other nodes are asked for. `None` if it is complete. `id` is
    /// the epoch of a history that begins here.
    pub fn begin_mirror(
        &self,
        topic: &str,
        id: PublicationId,
        now: Duration,
    ) -> Option<MirrorBegin> {
        let state = self.read();
        let is_subscribed = |topic: &str| state.subscriptions.exact(topic).is_some();
        let history = self.history.get_or_create(topic, id, now, is_subscribed);
        let (count, asked) = self.cluster.as_ref()?.read(|peers| {
            (peers.gone().count(), peers.joined().into_iter().map(|(node, _)| node).collect())
        });
        let recent = history.lock();
        let epoch = recent.epoch();
        (!recent.is_complete()).then_some(MirrorBegin { asked, epoch, count })
    }

    /// Completes the history of a topic with the answers of all nodes that were asked. Returns whether it is complete.
    pub fn end_mirror(
        &self,
        topic: &str,
        begin: &MirrorBegin,
        answers: Vec<(NodeId, Mirror)>,
    ) -> bool {
        let Some(history) = self.history.get(topic) else { return false };
        let state = self.read();
        let mut recent = history.lock();
        let since = (begin.epoch, begin.count);
        let is_complete =
            self.with_gone(|gone| gone.is_some_and(|gone| recent.complete(answers, since, gone)));
        // What is here does not fit what the others have: without subscribers, it begins again.
        if !is_complete && recent.epoch() == begin.epoch && !state.is_located(topic) {
            recent.renew();
        }
        drop(recent);
        drop((history, state));
        self.history.relieve();
        is_complete
    }

    /// Returns whether a client has had an event of another node that has not come here yet.
    pub fn is_behind(&self, topic: &str, place: &Place) -> bool {
        let Some(history) = self.history.get(topic) else { return false };
        let recent = history.lock();
        self.with_gone(|gone| {
            recent.origins().is_some_and(|it| gone.is_some_and(|gone| it.is_behind(place, gone)))
        })
    }

    /// Returns the number of subscribers of a topic or pattern on this node, and whether it is a topic
    /// to whose position clients can come back.
    pub fn interest(&self, key: &InterestKey) -> (usize, bool) {
        let count = self.read().subscriptions.get(key.key()).map_or(0, Subscription::len);
        let history = key.topic().and_then(|topic| self.history.get(topic));
        (count, history.is_some_and(|history| history.is_kept()))
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
