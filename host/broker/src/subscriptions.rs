//! Subscriptions of one realm: one for each URI and match policy, shared by its subscribers.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use indexmap::IndexMap;
use jackfield_wamp::id::{SessionId, SubscriptionId};
use jackfield_wamp::uri::{self, MatchPolicy};

use crate::changes::{Change, Clock, Facts, IdLists};
use crate::client_key::ClientKey;
use crate::quota::{Quota, QuotaError, Usage};
use crate::session::Session;
use crate::uri_table::{Key, UriTable};

/// Result of a subscribe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subscribed {
    /// The subscription, shared by all subscribers to the same URI and policy.
    pub id: SubscriptionId,
    /// Whether the session was not a subscriber before.
    pub new: bool,
}

/// The quotas of a realm's different topics.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TopicQuotas {
    /// Topics and patterns.
    pub(crate) topics: Quota,
    /// Wildcards among them.
    pub(crate) wildcards: Quota,
}

/// The subscriptions of one realm.
#[derive(Default)]
pub(crate) struct Subscriptions {
    table: UriTable<Subscription>,
    by_id: HashMap<SubscriptionId, Key>,
    last_id: u64,
    /// Different topics and patterns, each charged to the client of its first subscriber until its
    /// end: looking for another one would cost a look at all subscribers.
    topics: Usage,
    /// Different wildcards, each charged to the client of one of its subscribers.
    wildcards: Usage,
    /// The subscriptions whose number of subscribers has changed, if another place counts them.
    changed: Option<HashSet<Key>>,
    clock: Clock,
    /// Changes since the last look, while a session is subscribed to them.
    meta_changes: Vec<Change>,
    /// The number of exact subscriptions to them.
    observed: usize,
}

/// Topics of the changes begin with it.
const CHANGES: &str = "wamp.subscription.";

/// One subscription and its subscribers.
pub(crate) struct Subscription {
    pub(crate) id: SubscriptionId,
    /// Whether it is a prefix or wildcard, so that the EVENT must name its topic.
    pub(crate) pattern: bool,
    /// The client of the first subscriber, whose quota of topics it counts towards.
    first: ClientKey,
    /// The client whose quota of wildcards it counts towards: always that of a subscriber.
    charged: ClientKey,
    /// The time of the first subscriber, since the Unix epoch.
    created: Duration,
    subscribers: IndexMap<SessionId, Arc<Session>>,
}

impl Subscription {
    fn new(
        id: SubscriptionId,
        policy: MatchPolicy,
        first: &Arc<Session>,
        created: Duration,
    ) -> Self {
        let subscribers = IndexMap::from([(first.id, Arc::clone(first))]);
        let (first, pattern) = (first.client, policy != MatchPolicy::Exact);
        Self { id, pattern, first, charged: first, created, subscribers }
    }

    pub(crate) fn subscribers(&self) -> impl Iterator<Item = &Arc<Session>> {
        self.subscribers.values()
    }

    pub(crate) fn len(&self) -> usize {
        self.subscribers.len()
    }

    pub(crate) const fn created(&self) -> Duration {
        self.created
    }

    pub(crate) fn get(&self, session: SessionId) -> Option<&Arc<Session>> {
        self.subscribers.get(&session)
    }
}

/// Returns whether a subscription is one to changes. Meta events are delivered by name alone.
fn is_observer(key: &Key) -> bool {
    key.policy == MatchPolicy::Exact && key.uri.starts_with(CHANGES)
}

impl Subscriptions {
    /// Adds a subscriber. Idempotent. A new subscription has the id that it had before, if that is given.
    ///
    /// # Errors
    /// [`QuotaError`], of different topics and wildcards alone; nothing is changed then.
    pub(crate) fn add(
        &mut self,
        session: &Arc<Session>,
        uri: &str,
        policy: MatchPolicy,
        quotas: TopicQuotas,
        kept_id: Option<SubscriptionId>,
    ) -> Result<Subscribed, QuotaError> {
        if let Some(subscription) = self.table.get_mut(uri, policy) {
            let new = subscription.subscribers.insert(session.id, Arc::clone(session)).is_none();
            let id = subscription.id;
            if new {
                self.note_change(|| Key { policy, uri: uri.into() });
                if self.observes(uri) {
                    self.meta_changes.push(Change::Joined(session.id, id.get()));
                }
            }
            return Ok(Subscribed { id, new });
        }
        self.check_new(session.client, policy, quotas)?;
        self.topics.add(session.client);
        if policy == MatchPolicy::Wildcard {
            self.wildcards.add(session.client);
        }
        let id = kept_id.filter(|id| !self.by_id.contains_key(id));
        let id = id.unwrap_or_else(|| self.next_id());
        let key = Key { policy, uri: uri.into() };
        let created = self.clock.0();
        if self.observes(uri) {
            let uri = Arc::clone(&key.uri);
            let facts = Facts { id: id.get(), created, uri, policy, invoke: None };
            self.meta_changes.push(Change::Created(session.id, facts));
            self.meta_changes.push(Change::Joined(session.id, id.get()));
        }
        self.observed += usize::from(is_observer(&key));
        self.by_id.insert(id, key.clone());
        self.note_change(|| key.clone());
        self.table.insert(key, Subscription::new(id, policy, session, created));
        Ok(Subscribed { id, new: true })
    }

    /// Checks that the client may subscribe to one more topic that is not in the table.
    ///
    /// # Errors
    /// [`QuotaError`]
    pub(crate) fn check_new(
        &self,
        client: ClientKey,
        policy: MatchPolicy,
        quotas: TopicQuotas,
    ) -> Result<(), QuotaError> {
        if policy == MatchPolicy::Wildcard {
            self.wildcards.check(client, quotas.wildcards)?;
        }
        self.topics.check(client, quotas.topics)
    }

    /// Removes a subscriber, and the subscription with its last subscriber. Returns whether it was
    /// a subscriber.
    pub(crate) fn remove(&mut self, session: SessionId, key: &Key) -> bool {
        let Some(subscription) = self.table.get_mut(&key.uri, key.policy) else { return false };
        let was_in = subscription.subscribers.swap_remove(&session).is_some();
        if was_in && key.policy == MatchPolicy::Wildcard {
            let clients = subscription.subscribers.values().map(|session| session.client);
            self.wildcards.pass_on(&mut subscription.charged, clients);
        }
        let id = subscription.id;
        let is_last = subscription.subscribers.is_empty();
        if is_last {
            self.topics.remove(subscription.first, 1);
            self.by_id.remove(&id);
            self.table.remove(key);
            self.observed -= usize::from(is_observer(key));
        }
        if was_in && self.observes(&key.uri) {
            self.meta_changes.push(Change::Left(session, id.get()));
            if is_last {
                self.meta_changes.push(Change::Deleted(session, id.get()));
            }
        }
        if was_in {
            self.note_change(|| key.clone());
        }
        was_in
    }

    /// Records changes from now on.
    pub(crate) fn record_changes(&mut self) {
        self.changed = Some(HashSet::new());
    }

    /// Returns whether there are recorded changes.
    pub(crate) fn has_changes(&self) -> bool {
        self.changed.as_ref().is_some_and(|changed| !changed.is_empty())
    }

    /// Takes the recorded changes.
    pub(crate) fn take_changes(&mut self) -> HashSet<Key> {
        self.changed.as_mut().map(std::mem::take).unwrap_or_default()
    }

    fn note_change(&mut self, key: impl FnOnce() -> Key) {
        if let Some(changed) = &mut self.changed {
            changed.insert(key());
        }
    }

    /// Sets the clock by which subscriptions are dated.
    pub(crate) fn set_clock(&mut self, clock: Clock) {
        self.clock = clock;
    }

    /// Returns whether there are changes for meta events.
    pub(crate) fn has_meta_changes(&self) -> bool {
        !self.meta_changes.is_empty()
    }

    /// Takes the changes since the last look.
    pub(crate) fn take_meta_changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.meta_changes)
    }

    /// Returns whether changes of a subscription are kept: not those of the meta API itself.
    fn observes(&self, uri: &str) -> bool {
        self.observed > 0 && !uri::is_reserved(uri)
    }

    /// Returns a subscription by its id.
    pub(crate) fn by_id(&self, id: SubscriptionId) -> Option<(&Key, &Subscription)> {
        let key = self.by_id.get(&id)?;
        Some((key, self.get(key)?))
    }

    /// Returns the ids of all subscriptions.
    pub(crate) fn ids(&self, limit: usize) -> IdLists {
        let all = self.by_id.iter().map(|(id, key)| (&*key.uri, key.policy, id.get()));
        IdLists::new(all, limit)
    }

    /// Returns the number of subscriptions.
    pub(crate) fn count(&self) -> usize {
        self.by_id.len()
    }

    /// Returns the exact subscription of a topic.
    pub(crate) fn exact(&self, topic: &str) -> Option<&Subscription> {
        self.table.exact(topic)
    }

    /// Returns the topics of all exact subscriptions.
    pub(crate) fn topics(&self) -> impl Iterator<Item = &Arc<str>> {
        self.table.exact_uris()
    }

    /// Returns the prefix and wildcard subscriptions that match a topic, and the number of matching
    /// steps.
    pub(crate) fn patterns<'a>(
        &'a self,
        topic: &'a str,
    ) -> (impl Iterator<Item = &'a Subscription>, usize) {
        self.table.patterns(topic)
    }

    /// Returns the keys of all subscriptions.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &Key> {
        self.by_id.values()
    }

    /// Returns the subscription with this key.
    pub(crate) fn get(&self, key: &Key) -> Option<&Subscription> {
        self.table.get(&key.uri, key.policy)
    }

    /// Returns the key of a subscription id.
    pub(crate) fn key(&self, id: SubscriptionId) -> Option<&Key> {
        self.by_id.get(&id)
    }

    /// Returns the id of the subscription to a URI.
    pub(crate) fn id(&self, uri: &str, policy: MatchPolicy) -> Option<SubscriptionId> {
        self.table.get(uri, policy).map(|subscription| subscription.id)
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.table.is_empty()
            && self.by_id.is_empty()
            && self.wildcards.is_empty()
            && self.topics.is_empty()
    }

    /// Returns the next free id. Ids count up; they have router scope, where any choice is allowed.
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
    use std::net::Ipv4Addr;

    use super::*;
    use crate::Identity;
    use crate::outbox::{Bounds, Outbox, Overflow};
    use crate::session::{Features, Transport};
    use jackfield_wamp::dialect::Dialect;

    const WILDCARDS: TopicQuotas = TopicQuotas {
        topics: Quota { what: "topics", setting: None, total: 100, client_percent: 100 },
        wildcards: Quota { what: "wildcards", setting: None, total: 8, client_percent: 50 },
    };

    struct NoLink;
    impl Transport for NoLink {
        fn flush(&self) {}
        fn interrupt(&self) {}
    }

    fn session(id: u64) -> Arc<Session> {
        session_from(id, Ipv4Addr::LOCALHOST)
    }

    fn session_from(id: u64, address: Ipv4Addr) -> Arc<Session> {
        let bounds = Bounds { bytes: 1000, frames: 10, overflow: Overflow::Disconnect };
        let identity = Identity::anonymous("x".into(), address.into());
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
    fn bounds_different_wildcards() {
        let mut table = Subscriptions::default();
        let (one, two) = (session(1), session(2));
        let wildcard = MatchPolicy::Wildcard;
        let mut add = |session, uri: &str, policy| table.add(session, uri, policy, WILDCARDS, None);
        for uri in [".a", ".b", ".c", ".d"] {
            add(&one, uri, wildcard).unwrap();
        }
        assert!(add(&two, ".e", wildcard).unwrap_err().is_of_client(), "the address is the same");
        add(&two, ".e", MatchPolicy::Prefix).unwrap();
        assert!(add(&two, ".a", wildcard).unwrap().new, "it shares the place");
        // The place is free when no session holds the wildcard any more.
        let key = Key { policy: wildcard, uri: ".a".into() };
        assert!(table.remove(one.id, &key));
        assert!(table.add(&one, ".e", wildcard, WILDCARDS, None).is_err());
        assert!(table.remove(two.id, &key));
        table.add(&one, ".e", wildcard, WILDCARDS, None).unwrap();
        for uri in [".b", ".c", ".d", ".e"] {
            assert!(table.remove(one.id, &Key { policy: wildcard, uri: uri.into() }));
        }
        assert!(table.wildcards.is_empty());
    }

    #[test]
    fn a_topic_is_charged_to_its_first_subscriber_until_its_end() {
        let mut table = Subscriptions::default();
        let first = session(1);
        let other = session_from(2, Ipv4Addr::new(192, 0, 2, 1));
        let topics = Quota { what: "topics", setting: None, total: 4, client_percent: 50 };
        let quotas = TopicQuotas { topics, ..WILDCARDS };
        let exact = MatchPolicy::Exact;
        table.add(&first, "a", exact, quotas, None).unwrap();
        table.add(&first, "b", MatchPolicy::Prefix, quotas, None).unwrap();
        assert!(table.add(&first, "c", exact, quotas, None).unwrap_err().is_of_client());
        // A topic that exists takes no further place.
        table.add(&other, "a", exact, quotas, None).unwrap();
        table.add(&other, "c", exact, quotas, None).unwrap();
        table.add(&first, "c", exact, quotas, None).unwrap();
        let key = |policy, uri: &str| Key { policy, uri: uri.into() };
        table.remove(first.id, &key(exact, "a"));
        assert!(table.add(&first, "d", exact, quotas, None).is_err());
        table.remove(other.id, &key(exact, "a"));
        table.add(&first, "d", exact, quotas, None).unwrap();
        for (session, policy, uri) in [
            (&first, MatchPolicy::Prefix, "b"),
            (&first, exact, "c"),
            (&other, exact, "c"),
            (&first, exact, "d"),
        ] {
            assert!(table.remove(session.id, &key(policy, uri)));
        }
        assert!(table.is_empty());
    }

    #[test]
    fn a_shared_wildcard_is_charged_to_one_of_its_subscribers() {
        let mut table = Subscriptions::default();
        let wildcard = MatchPolicy::Wildcard;
        let first = session(1);
        let other = session_from(2, Ipv4Addr::new(192, 0, 2, 1));
        let uris = [".a", ".b", ".c", ".d"];
        for uri in uris {
            table.add(&first, uri, wildcard, WILDCARDS, None).unwrap();
            table.add(&other, uri, wildcard, WILDCARDS, None).unwrap();
        }
        assert!(table.add(&first, ".e", wildcard, WILDCARDS, None).is_err());
        for uri in uris {
            table.remove(first.id, &Key { policy: wildcard, uri: uri.into() });
        }
        assert!(table.add(&other, ".e", wildcard, WILDCARDS, None).unwrap_err().is_of_client());
        table.add(&first, ".e", wildcard, WILDCARDS, None).unwrap();
        for (session, uri) in uris.map(|uri| (&other, uri)).into_iter().chain([(&first, ".e")]) {
            assert!(table.remove(session.id, &Key { policy: wildcard, uri: uri.into() }));
        }
        assert!(table.is_empty());
    }

    #[test]
    fn the_last_subscriber_removes_a_shared_subscription() {
        let mut table = Subscriptions::default();
        let (one, two) = (session(1), session(2));
        let first = table.add(&one, "a", MatchPolicy::Exact, WILDCARDS, None).unwrap();
        assert!(first.new);
        assert_eq!(
            table.add(&one, "a", MatchPolicy::Exact, WILDCARDS, None),
            Ok(Subscribed { new: false, ..first })
        );
        assert_eq!(
            table.add(&two, "a", MatchPolicy::Exact, WILDCARDS, None),
            Ok(Subscribed { new: true, ..first })
        );
        assert_ne!(
            table.add(&two, "a", MatchPolicy::Prefix, WILDCARDS, None).unwrap().id,
            first.id
        );
        let key = Key { policy: MatchPolicy::Exact, uri: "a".into() };
        assert!(table.remove(one.id, &key));
        assert_eq!(table.exact("a").unwrap().len(), 1);
        assert!(table.remove(two.id, &key));
        assert!(table.exact("a").is_none() && table.key(first.id).is_none());
    }
}
