//! The subscriptions of one realm: one for each URI and match policy, shared by its subscribers.
//!
//! A topic finds its exact subscription by one look-up, its prefix subscriptions by one look-up
//! for each prefix length in use, and its wildcard subscriptions by one for each set of components
//! that is left open by some pattern with as many components. WAMP v2 specification, section "Pattern-based Subscriptions".

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use indexmap::IndexMap;
use jackfield_wamp::id::{SessionId, SubscriptionId};
use jackfield_wamp::uri::MatchPolicy;

use crate::session::Session;

/// What a subscribe came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subscribed {
    /// The subscription, shared with everybody who subscribed to the same URI and policy.
    pub id: SubscriptionId,
    /// Whether the session was not subscribed before.
    pub new: bool,
}

/// The subscriptions of one realm.
#[derive(Default)]
pub(crate) struct Subscriptions {
    exact: HashMap<Arc<str>, Subscription>,
    prefix: HashMap<Arc<str>, Subscription>,
    /// How many prefix subscriptions there are of each length in bytes.
    prefix_lengths: BTreeMap<usize, usize>,
    /// By the number of components, then by which of them are open.
    wildcard: HashMap<usize, HashMap<Mask, HashMap<Arc<str>, Subscription>>>,
    by_id: HashMap<SubscriptionId, Key>,
    last_id: u64,
}

/// Which components of a wildcard pattern are empty, and so meet any.
type Mask = Box<[bool]>;

/// One subscription and those who share it.
pub(crate) struct Subscription {
    pub(crate) id: SubscriptionId,
    /// Whether the event must say which topic it is of.
    pub(crate) pattern: bool,
    subscribers: IndexMap<SessionId, Arc<Session>>,
}

/// Names a subscription in its table.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) policy: MatchPolicy,
    pub(crate) uri: Arc<str>,
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
    /// Makes the session a subscriber. Idempotent.
    pub(crate) fn add(
        &mut self,
        session: &Arc<Session>,
        uri: &str,
        policy: MatchPolicy,
    ) -> Subscribed {
        if let Some(subscription) = self.get_mut(uri, policy) {
            let new = subscription.subscribers.insert(session.id, Arc::clone(session)).is_none();
            return Subscribed { id: subscription.id, new };
        }
        let id = self.next_id();
        let uri: Arc<str> = uri.into();
        let mut subscription = Subscription::new(id, policy);
        subscription.subscribers.insert(session.id, Arc::clone(session));
        self.by_id.insert(id, Key { policy, uri: Arc::clone(&uri) });
        match policy {
            MatchPolicy::Exact => {
                self.exact.insert(uri, subscription);
            }
            MatchPolicy::Prefix => {
                *self.prefix_lengths.entry(uri.len()).or_default() += 1;
                self.prefix.insert(uri, subscription);
            }
            MatchPolicy::Wildcard => {
                let tables = self.wildcard.entry(components(&uri)).or_default();
                tables.entry(mask(&uri)).or_default().insert(uri, subscription);
            }
        }
        Subscribed { id, new: true }
    }

    /// Takes the session out; the last one takes the subscription along. Whether it was in.
    pub(crate) fn remove(&mut self, session: SessionId, key: &Key) -> bool {
        let Some(subscription) = self.get_mut(&key.uri, key.policy) else { return false };
        let was_in = subscription.subscribers.swap_remove(&session).is_some();
        if subscription.subscribers.is_empty() {
            self.forget(key);
        }
        was_in
    }

    /// The exact subscription of a topic.
    pub(crate) fn exact(&self, topic: &str) -> Option<&Subscription> {
        self.exact.get(topic)
    }

    /// All exact topics.
    pub(crate) fn topics(&self) -> impl Iterator<Item = &Arc<str>> {
        self.exact.keys()
    }

    /// The prefix and wildcard subscriptions that a topic matches.
    pub(crate) fn patterns<'a>(&'a self, topic: &'a str) -> impl Iterator<Item = &'a Subscription> {
        let prefixes = self
            .prefix_lengths
            .keys()
            .filter_map(move |&length| topic.get(..length))
            .filter_map(|head| self.prefix.get(head));
        // Splitting the topic is left out where there is nothing to compare it with.
        let tables =
            if self.wildcard.is_empty() { None } else { self.wildcard.get(&components(topic)) };
        let wildcards = tables
            .into_iter()
            .flatten()
            .filter_map(move |(mask, table)| table.get(opened(topic, mask).as_str()));
        prefixes.chain(wildcards)
    }

    /// What the id stands for.
    pub(crate) fn key(&self, id: SubscriptionId) -> Option<&Key> {
        self.by_id.get(&id)
    }

    /// The id of a URI's subscription.
    pub(crate) fn id(&self, uri: &str, policy: MatchPolicy) -> Option<SubscriptionId> {
        match policy {
            MatchPolicy::Exact => self.exact.get(uri),
            MatchPolicy::Prefix => self.prefix.get(uri),
            MatchPolicy::Wildcard => self.wildcard.get(&components(uri))?.get(&mask(uri))?.get(uri),
        }
        .map(|subscription| subscription.id)
    }

    fn get_mut(&mut self, uri: &str, policy: MatchPolicy) -> Option<&mut Subscription> {
        match policy {
            MatchPolicy::Exact => self.exact.get_mut(uri),
            MatchPolicy::Prefix => self.prefix.get_mut(uri),
            MatchPolicy::Wildcard => {
                self.wildcard.get_mut(&components(uri))?.get_mut(&mask(uri))?.get_mut(uri)
            }
        }
    }

    fn forget(&mut self, key: &Key) {
        let gone = match key.policy {
            MatchPolicy::Exact => self.exact.remove(&key.uri),
            MatchPolicy::Prefix => {
                if let Some(count) = self.prefix_lengths.get_mut(&key.uri.len()) {
                    *count -= 1;
                    if *count == 0 {
                        self.prefix_lengths.remove(&key.uri.len());
                    }
                }
                self.prefix.remove(&key.uri)
            }
            MatchPolicy::Wildcard => {
                let (length, mask) = (components(&key.uri), mask(&key.uri));
                let tables = self.wildcard.get_mut(&length);
                let gone = tables.and_then(|tables| {
                    let table = tables.get_mut(&mask)?;
                    let gone = table.remove(&key.uri);
                    if table.is_empty() {
                        tables.remove(&mask);
                    }
                    gone
                });
                if self.wildcard.get(&length).is_some_and(HashMap::is_empty) {
                    self.wildcard.remove(&length);
                }
                gone
            }
        };
        if let Some(subscription) = gone {
            self.by_id.remove(&subscription.id);
        }
    }

    /// Ids count up; they are of router scope, where any choice is allowed.
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

fn components(uri: &str) -> usize {
    uri.bytes().filter(|&byte| byte == b'.').count() + 1
}

fn mask(pattern: &str) -> Mask {
    pattern.split('.').map(str::is_empty).collect()
}

/// The pattern of that mask which the topic matches: the topic with those components left empty.
fn opened(topic: &str, mask: &[bool]) -> String {
    let mut pattern = String::with_capacity(topic.len());
    for (number, (component, &open)) in topic.split('.').zip(mask).enumerate() {
        if number > 0 {
            pattern.push('.');
        }
        if !open {
            pattern.push_str(component);
        }
    }
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Identity;
    use crate::outbox::{Bounds, Outbox, Overflow};
    use crate::session::{Features, Link};
    use jackfield_wamp::dialect::Dialect;

    struct NoLink;
    impl Link for NoLink {
        fn flush(&self) {}
        fn interrupt(&self) {}
    }

    fn session(id: u64) -> Arc<Session> {
        let bounds = Bounds { bytes: 1000, frames: 10, overflow: Overflow::Disconnect };
        let identity = Identity::anonymous("x".into());
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

    /// Which of the subscribed patterns a topic matches, exact ones included.
    fn check(patterns: &[(&str, MatchPolicy)], topic: &str, expect: &[&str]) {
        let mut table = Subscriptions::default();
        let one = session(1);
        for (uri, policy) in patterns {
            table.add(&one, uri, *policy);
        }
        let mut found: Vec<&str> = table
            .exact(topic)
            .into_iter()
            .chain(table.patterns(topic))
            .map(|subscription| &*table.key(subscription.id).unwrap().uri)
            .collect();
        found.sort_unstable();
        assert_eq!(found, expect, "{topic} among {patterns:?}");
        for (uri, policy) in patterns {
            let key = Key { policy: *policy, uri: (*uri).into() };
            assert!(table.remove(one.id, &key));
            assert!(!table.remove(one.id, &key));
        }
        assert!(table.by_id.is_empty() && table.exact.is_empty() && table.prefix.is_empty());
        assert!(table.prefix_lengths.is_empty() && table.wildcard.is_empty());
    }

    #[test]
    fn which_subscriptions_a_topic_matches() {
        use MatchPolicy::{Exact, Prefix, Wildcard};
        check(&[("a.b", Exact), ("a.c", Exact)], "a.b", &["a.b"]);
        check(&[("a", Exact)], "a.b", &[]);
        // A prefix is one of text, not of components.
        check(&[("a", Prefix), ("a.b", Prefix), ("b", Prefix)], "a.bc", &["a", "a.b"]);
        check(&[("", Prefix)], "any/thing", &[""]);
        check(&[("oro/", Prefix)], "oro/ping", &["oro/"]);
        check(&[("ü", Prefix), ("xx", Prefix)], "xü", &[]);
        check(&[("a..c", Wildcard), ("..", Wildcard)], "a.b.c", &["..", "a..c"]);
        check(&[("a..c", Wildcard)], "a.b.d", &[]);
        check(&[("a..c", Wildcard)], "a.b.c.d", &[]);
        check(&[("", Wildcard)], "oro/ping", &[""]);
        check(&[(".b", Wildcard), ("a.", Wildcard), (".c", Wildcard)], "a.b", &[".b", "a."]);
        check(&[("a.b", Exact), ("a.", Prefix), ("a.", Wildcard)], "a.b", &["a.", "a.", "a.b"]);
    }

    #[test]
    fn subscribers_share_a_subscription_and_the_last_takes_it_along() {
        let mut table = Subscriptions::default();
        let (one, two) = (session(1), session(2));
        let first = table.add(&one, "a", MatchPolicy::Exact);
        assert!(first.new);
        assert_eq!(table.add(&one, "a", MatchPolicy::Exact), Subscribed { new: false, ..first });
        assert_eq!(table.add(&two, "a", MatchPolicy::Exact), Subscribed { new: true, ..first });
        assert_ne!(table.add(&two, "a", MatchPolicy::Prefix).id, first.id);
        let key = Key { policy: MatchPolicy::Exact, uri: "a".into() };
        assert!(table.remove(one.id, &key));
        assert_eq!(table.exact("a").unwrap().len(), 1);
        assert!(table.remove(two.id, &key));
        assert!(table.exact("a").is_none() && table.key(first.id).is_none());
    }

    /// WAMP v2 specification, section "Pattern-based Subscriptions", word for word.
    fn matches(pattern: &str, policy: MatchPolicy, topic: &str) -> bool {
        let (want, have): (Vec<_>, Vec<_>) =
            (pattern.split('.').collect(), topic.split('.').collect());
        match policy {
            MatchPolicy::Exact => pattern == topic,
            MatchPolicy::Prefix => topic.starts_with(pattern),
            MatchPolicy::Wildcard => {
                let meets = |(want, have): (&&str, &&str)| want.is_empty() || want == have;
                want.len() == have.len() && want.iter().zip(&have).all(meets)
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn the_tables_find_what_one_by_one_comparison_finds(
            patterns in proptest::collection::btree_set(("[ab.]{0,5}", 0..3_usize), 0..20),
            topic in "[ab](\\.[ab]){0,3}",
        ) {
            let policies = [MatchPolicy::Exact, MatchPolicy::Prefix, MatchPolicy::Wildcard];
            let mut table = Subscriptions::default();
            let one = session(1);
            for (uri, policy) in &patterns {
                table.add(&one, uri, policies[*policy]);
            }
            let found = table.exact(&topic).into_iter().chain(table.patterns(&topic));
            let mut found: Vec<_> =
                found.map(|it| table.key(it.id).unwrap().uri.to_string()).collect();
            let expected = patterns.iter().filter(|(uri, it)| matches(uri, policies[*it], &topic));
            let mut expected: Vec<_> = expected.map(|(uri, _)| uri.clone()).collect();
            found.sort_unstable();
            expected.sort_unstable();
            proptest::prop_assert_eq!(found, expected);
        }
    }
}
