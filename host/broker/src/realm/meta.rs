//! Meta API: what sessions may learn of a realm's subscriptions.

use jackfield_wamp::id::{SessionId, SubscriptionId};
use jackfield_wamp::uri::{self, MatchPolicy};

use super::Realm;
use crate::changes::{Change, Clock, Facts, IdLists};

impl Realm {
    /// Sets the clock by which subscriptions are dated.
    #[must_use]
    pub fn with_clock(self, clock: Clock) -> Self {
        self.write().subscriptions.set_clock(clock);
        self
    }

    /// Takes the changes of subscriptions since the last look. None are kept while no session is
    /// subscribed to them.
    pub fn take_meta_changes(&self) -> Vec<Change> {
        // Most calls find nothing, and do not stop deliveries.
        if !self.read().subscriptions.has_meta_changes() {
            return Vec::new();
        }
        self.write().subscriptions.take_meta_changes()
    }

    /// Returns the ids of all subscriptions, up to `limit` for each policy.
    pub fn subscription_ids(&self, limit: usize) -> IdLists {
        self.read().subscriptions.ids(limit)
    }

    /// Returns the id of the subscription to a topic or pattern.
    pub fn find_subscription(&self, uri: &str, policy: MatchPolicy) -> Option<SubscriptionId> {
        self.read().subscriptions.id(uri, policy).filter(|_| !uri::is_reserved(uri))
    }

    /// Returns the ids of up to `limit` subscriptions that match a topic.
    pub fn matching_subscriptions(&self, topic: &str, limit: usize) -> Vec<SubscriptionId> {
        if uri::is_reserved(topic) {
            return Vec::new();
        }
        let state = self.read();
        let (patterns, _steps) = state.subscriptions.patterns(topic);
        let exact = state.subscriptions.exact(topic);
        exact.into_iter().chain(patterns).map(|it| it.id).take(limit).collect()
    }

    /// Returns a subscription.
    pub fn subscription_facts(&self, id: SubscriptionId) -> Option<Facts> {
        let state = self.read();
        let (key, subscription) = state.subscriptions.by_id(id)?;
        (!uri::is_reserved(&key.uri)).then(|| Facts {
            id: id.get(),
            created: subscription.created(),
            uri: key.uri.clone(),
            policy: key.policy,
            invoke: None,
        })
    }

    /// Returns up to `limit` subscribers of a subscription, and the number of all.
    pub fn subscribers_of(
        &self,
        id: SubscriptionId,
        limit: usize,
    ) -> Option<(Vec<SessionId>, usize)> {
        let state = self.read();
        let (key, subscription) = state.subscriptions.by_id(id)?;
        if uri::is_reserved(&key.uri) {
            return None;
        }
        let some = subscription.subscribers().take(limit).map(|session| session.id).collect();
        Some((some, subscription.len()))
    }
}
