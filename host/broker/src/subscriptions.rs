//! Subscriptions of one realm: one for each URI and match policy, shared by its subscribers.

use std::collections::HashMap;
use std::sync::Arc;

use indexmap::IndexMap;
use jackfield_wamp::id::{SessionId, SubscriptionId};
use jackfield_wamp::uri::MatchPolicy;

use crate::session::Session;
use crate::uri_table::{Key, RealmFull, UriTable};

/// Result of a subscribe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subscribed {
    /// The subscription, shared by all subscribers to the same URI and policy.
    pub id: SubscriptionId,
    /// Whether the session was not a subscriber before.
    pub new: bool,
}

/// The subscriptions of one realm.
#[derive(Default)]
pub(crate) struct Subscriptions {
    table: UriTable<Subscription>,
    by_id: HashMap<SubscriptionId, Key>,
    last_id: u64,
}

/// One subscription and its subscribers.
pub(crate) struct Subscription {
    pub(crate) id: SubscriptionId,
    /// Whether the event must name its topic.
    pub(crate) pattern: bool,
    subscribers: IndexMap<SessionId, Arc<Session>>,
}

impl Subscription {
    fn new(id: SubscriptionId, policy: MatchPolicy) -> Self {
        Self { id, pattern: policy != MatchPolicy::Exact, subscribers: IndexMap::new() }
    }

    pub(crate) fn subscribers(&self) -> impl Iterator<Item = &Arc<Session>> {
        self.subscribers.values()
    }

    pub(crate) fn len(&self) -> usize {
        self.subscribers.len()
    }

    pub(crate) fn get(&self, session: SessionId) -> Option<&Arc<Session>> {
        self.subscribers.get(&session)
    }
}

impl Subscriptions {
    /// Adds a subscriber. Idempotent.
    ///
    /// # Errors
    /// [`RealmFull`]; nothing is changed then.
    pub(crate) fn add(
        &mut self,
        session: &Arc<Session>,
        uri: &str,
        policy: MatchPolicy,
    ) -> Result<Subscribed, RealmFull> {
        if let Some(subscription) = self.table.get_mut(uri, policy) {
            let new = subscription.subscribers.insert(session.id, Arc::clone(session)).is_none();
            return Ok(Subscribed { id: subscription.id, new });
        }
        self.table.check_room(policy)?;
        let id = self.next_id();
        let key = Key { policy, uri: uri.into() };
        let mut subscription = Subscription::new(id, policy);
        subscription.subscribers.insert(session.id, Arc::clone(session));
        self.by_id.insert(id, key.clone());
        self.table.insert(key, subscription);
        Ok(Subscribed { id, new: true })
    }

    /// Removes a subscriber, and the subscription with its last subscriber. Returns whether it was
    /// a subscriber.
    pub(crate) fn remove(&mut self, session: SessionId, key: &Key) -> bool {
        let Some(subscription) = self.table.get_mut(&key.uri, key.policy) else { return false };
        let was_in = subscription.subscribers.swap_remove(&session).is_some();
        if subscription.subscribers.is_empty() {
            self.by_id.remove(&subscription.id);
            self.table.remove(key);
        }
        was_in
    }

    /// The exact subscription of a topic.
    pub(crate) fn exact(&self, topic: &str) -> Option<&Subscription> {
        self.table.exact(topic)
    }

    /// All exact topics.
    pub(crate) fn topics(&self) -> impl Iterator<Item = &Arc<str>> {
        self.table.exact_uris()
    }

    /// The prefix and wildcard subscriptions that match a topic, and the number of matching steps.
    pub(crate) fn patterns<'a>(
        &'a self,
        topic: &'a str,
    ) -> (impl Iterator<Item = &'a Subscription>, usize) {
        self.table.patterns(topic)
    }

    /// The key of a subscription id.
    pub(crate) fn key(&self, id: SubscriptionId) -> Option<&Key> {
        self.by_id.get(&id)
    }

    /// The id of a URI's subscription.
    pub(crate) fn id(&self, uri: &str, policy: MatchPolicy) -> Option<SubscriptionId> {
        self.table.get(uri, policy).map(|subscription| subscription.id)
    }

    /// Ids count up; they have router scope, where any choice is allowed.
    fn next_id(&mut self) -> SubscriptionId {
        loop {
            self.last_id += 1;
            match SubscriptionId::new(self.last_id) {
                Some(id) if !self.by_id.contains_key(&id) => return id,
                Some(_) => {}
                None => self.last_id = 0,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Identity;
    use crate::outbox::{Bounds, Outbox, Overflow};
    use crate::session::{Features, Transport};
    use jackfield_wamp::dialect::Dialect;

    struct NoLink;
    impl Transport for NoLink {
        fn flush(&self) {}
        fn interrupt(&self) {}
    }

    fn session(id: u64) -> Arc<Session> {
        let bounds = Bounds { bytes: 1000, frames: 10, overflow: Overflow::Disconnect };
        let identity = Identity::anonymous("x".into(), std::net::Ipv4Addr::LOCALHOST.into());
        let id = SessionId::new(id).unwrap();
        let outbox = Arc::new(Outbox::new(bounds));
        Arc::new(Session::new(
            id,
            identity,
            Dialect::V1,
            Features::default(),
            outbox,
            Arc::new(NoLink),
        ))
    }

    #[test]
    fn the_last_subscriber_removes_a_shared_subscription() {
        let mut table = Subscriptions::default();
        let (one, two) = (session(1), session(2));
        let first = table.add(&one, "a", MatchPolicy::Exact).unwrap();
        assert!(first.new);
        assert_eq!(
            table.add(&one, "a", MatchPolicy::Exact),
            Ok(Subscribed { new: false, ..first })
        );
        assert_eq!(table.add(&two, "a", MatchPolicy::Exact), Ok(Subscribed { new: true, ..first }));
        assert_ne!(table.add(&two, "a", MatchPolicy::Prefix).unwrap().id, first.id);
        let key = Key { policy: MatchPolicy::Exact, uri: "a".into() };
        assert!(table.remove(one.id, &key));
        assert_eq!(table.exact("a").unwrap().len(), 1);
        assert!(table.remove(two.id, &key));
        assert!(table.exact("a").is_none() && table.key(first.id).is_none());
    }
}
