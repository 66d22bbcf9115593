//! Requests in a cluster: subscriptions are announced to the other nodes, and their events delivered.

use std::borrow::Cow;

use jackfield_broker::peers::RemoteEvent;
use jackfield_broker::{DeliveryError, PendingFlushes, Publication, Session, SubscribeError};
use jackfield_wamp::message::Subscribe;
use jackfield_wamp::position::Since;
use jackfield_wamp::uri::MatchPolicy;

use super::authorize::{overflow, pattern_audience};
use super::{Dispatch, Refusal, flush_before_wait, history};
use crate::generation::RouteMatch;
use crate::wall_clock;

impl Dispatch {
    /// Returns the digest of the routes and plugins in service, which all realms have.
    pub(crate) fn site_digest(&self) -> String {
        self.generations.current().hash().to_string()
    }

    /// Waits until the other nodes know of a subscription that begins, for a bounded time: an event that
    /// is published anywhere afterwards reaches it.
    ///
    /// # Errors
    /// [`SubscribeError`] of a subscription beyond the limits, which is not announced.
    pub(super) async fn announce_subscription(
        &self,
        from: &Session,
        policy: MatchPolicy,
        uri: &str,
        batch: &mut PendingFlushes,
    ) -> Result<(), SubscribeError> {
        if self.cluster.is_some() {
            self.realm.check_subscribe(from.id, uri, policy)?;
            self.announce(policy, uri, batch).await;
        }
        Ok(())
    }

    async fn announce(&self, policy: MatchPolicy, uri: &str, batch: &mut PendingFlushes) {
        let Some(cluster) = &self.cluster else { return };
        if let Some(barrier) = cluster.announce(self.realm.name(), policy, uri) {
            flush_before_wait(batch, cluster.acknowledged(barrier)).await;
        }
    }

    /// Announces a topic whose history is read: from then on it has the events of all nodes.
    pub(crate) async fn announce_reader(&self, topic: &str) {
        self.announce(MatchPolicy::Exact, topic, &mut PendingFlushes::default()).await;
    }

    /// Returns the request without the position of the client while events of other nodes may be missing
    /// here: the client is told that it has not recovered.
    pub(super) fn certain<'s>(&self, subscribe: &'s Subscribe) -> Cow<'s, Subscribe> {
        match &subscribe.since {
            Some(since) if self.may_lack_events() => {
                let since = Since { latest: since.latest, ..Since::default() };
                Cow::Owned(Subscribe { since: Some(since), ..subscribe.clone() })
            }
            _ => Cow::Borrowed(subscribe),
        }
    }

    /// Returns whether events of other nodes may be missing here.
    pub(super) fn may_lack_events(&self) -> bool {
        self.cluster.as_ref().is_some_and(|cluster| cluster.may_lack_events())
    }

    /// Refuses publications while this node is alone, if the settings say so.
    pub(super) fn check_cluster(&self) -> Result<(), Refusal> {
        match &self.cluster {
            Some(cluster) if !cluster.may_publish() => Err(Refusal::alone()),
            _ => Ok(()),
        }
    }

    /// Queues an event of another node for the receivers here. Its handler was asked there.
    ///
    /// # Errors
    /// [`DeliveryError`] of any receiver; nothing is queued then.
    pub(crate) fn deliver_remote(
        &self,
        event: &RemoteEvent,
        batch: &mut PendingFlushes,
    ) -> Result<(), DeliveryError> {
        let generation = self.generations.current();
        let routed = generation.find(&event.topic).map(RouteMatch::for_events);
        let recording = history::recording(routed.as_ref());
        let publication = Publication {
            topic: &event.topic,
            id: event.id,
            client: None,
            disclosed: event.disclosed(),
            except: event.except,
            filter: event.filter.as_ref(),
            narrowed: event.narrowed.as_ref(),
            patterns: pattern_audience(&generation, self.at(&event.topic), routed.as_ref()),
            overflow: overflow(routed.as_ref()),
            recording: recording.as_ref(),
            retain: event.retain.then(wall_clock::since_epoch),
            trustlevel: event.trustlevel,
            source: event.source,
            payload: &event.payload,
        };
        self.realm.publish_here(&publication, batch).map(drop)
    }
}
