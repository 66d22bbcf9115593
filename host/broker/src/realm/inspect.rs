//! Views of a realm for operators: its sessions and its subscriptions, in pages of bounded size.
//!
//! A page looks at all entries once under the read lock, and copies those that it returns.

use std::collections::HashSet;
use std::sync::Arc;

use jackfield_wamp::dialect::Dialect;
use jackfield_wamp::id::{SessionId, SubscriptionId};
use jackfield_wamp::uri::MatchPolicy;

use super::{Member, Realm, RealmLimits};
use crate::publication::{PatternAudience, Publication};
use crate::session::Session;
use crate::subscriptions::Subscription;
use crate::uri_table::Key;

/// A part of a sorted list.
#[derive(Debug)]
pub struct ListPage<T> {
    /// The entries, in order.
    pub entries: Vec<T>,
    /// The number of all entries that are wanted, on any page.
    pub total: usize,
    /// Whether entries follow.
    pub has_more: bool,
}

/// A session and the number of its subscriptions.
#[derive(Clone, Debug)]
pub struct SessionView {
    /// The session.
    pub session: Arc<Session>,
    /// Its subscriptions, patterns included.
    pub subscriptions: usize,
}

/// A subscription and the number of its subscribers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscriptionView {
    /// The topic or the pattern.
    pub uri: Arc<str>,
    /// The policy; all but `Exact` are patterns.
    pub policy: MatchPolicy,
    /// The number of its subscribers.
    pub subscribers: usize,
}

impl Realm {
    /// Returns the size of the longest event in bytes, in a receiver's encoding.
    pub fn max_event_bytes(&self) -> usize {
        self.read().framing.max_bytes
    }

    /// Returns the realm's limits.
    pub fn limits(&self) -> RealmLimits {
        self.read().limits
    }

    /// Returns the number of members.
    pub fn session_count(&self) -> usize {
        self.read().members.len()
    }

    /// Returns the number of members of each dialect, by its index.
    pub fn session_counts(&self) -> [usize; Dialect::COUNT] {
        self.read().dialects
    }

    /// Returns the number of topics and patterns with subscribers.
    pub fn topic_count(&self) -> usize {
        self.read().subscriptions.count()
    }

    /// The number of subscriptions of all members.
    pub fn subscription_count(&self) -> usize {
        self.read().subscribed.used()
    }

    /// Returns the sessions with an exact subscription to the topic.
    pub fn subscribers(&self, topic: &str) -> Vec<SessionId> {
        let state = self.read();
        let subscription = state.subscriptions.exact(topic);
        subscription.map(|it| it.subscribers().map(|one| one.id).collect()).unwrap_or_default()
    }

    /// Returns all members.
    pub fn sessions(&self) -> Vec<Arc<Session>> {
        self.read().members.values().map(|member| Arc::clone(&member.session)).collect()
    }

    /// Returns the sessions that are wanted, by id, behind the id `after`.
    pub fn session_page(
        &self,
        after: Option<SessionId>,
        limit: usize,
        wants: impl Fn(&Session) -> bool,
    ) -> ListPage<SessionView> {
        let state = self.read();
        let wanted = state.members.values().filter(|member| wants(&member.session));
        let is_behind = |id: SessionId| after.is_none_or(|after| id > after);
        page(wanted, limit, session_id, is_behind).map(|member| SessionView {
            session: Arc::clone(&member.session),
            subscriptions: member.subscribed.len(),
        })
    }

    /// Returns the subscriptions whose topic or pattern begins with `prefix`, in the order of their
    /// texts, behind `after`.
    pub fn subscription_page(
        &self,
        prefix: &str,
        after: Option<(&str, MatchPolicy)>,
        limit: usize,
    ) -> ListPage<SubscriptionView> {
        let state = self.read();
        let subscriptions = &state.subscriptions;
        let wanted = subscriptions.keys().filter(|key| key.uri.starts_with(prefix));
        let after = after.map(|(uri, policy)| (uri, policy.name()));
        let is_behind = |at: (&str, &str)| after.is_none_or(|after| at > after);
        let found = page(wanted, limit, order, is_behind);
        found.map(|key| SubscriptionView {
            uri: Arc::clone(&key.uri),
            policy: key.policy,
            subscribers: subscriptions.get(key).map_or(0, Subscription::len),
        })
    }

    /// Returns up to `limit` subscriptions of a session in the order of their texts, and the number
    /// of all.
    pub fn subscriptions_of(
        &self,
        session: SessionId,
        limit: usize,
    ) -> (Vec<(MatchPolicy, Arc<str>)>, usize) {
        let state = self.read();
        let Some(member) = state.members.get(&session) else { return (Vec::new(), 0) };
        let keys = member.subscribed.iter().filter_map(|id| state.subscriptions.key(*id));
        let found = page(keys, limit, order, |_| true);
        let entries = found.entries.iter().map(|key| (key.policy, Arc::clone(&key.uri)));
        (entries.collect(), found.total)
    }

    /// Returns the topic or pattern of a session's subscription.
    pub fn subscribed_to(
        &self,
        session: SessionId,
        subscription: SubscriptionId,
    ) -> Option<(Arc<str>, MatchPolicy)> {
        let state = self.read();
        let member = state.members.get(&session)?;
        let key = state.subscriptions.key(*member.subscribed.get(&subscription)?)?;
        Some((Arc::clone(&key.uri), key.policy))
    }

    /// Returns the sessions that have subscribed to the topic, by name or by a pattern. Roles and
    /// handlers decide which of those with a pattern receive its events.
    pub fn sessions_subscribed(&self, topic: &str) -> HashSet<SessionId> {
        let state = self.read();
        let (patterns, _steps) = state.subscriptions.patterns(topic);
        let all = state.subscriptions.exact(topic).into_iter().chain(patterns);
        all.flat_map(Subscription::subscribers).map(|session| session.id).collect()
    }

    /// Returns up to `limit` of the wanted receivers that a publication has now, and the number of
    /// all receivers. A session that receives it by several subscriptions counts for each.
    pub fn receivers(
        &self,
        publication: &Publication<'_>,
        limit: usize,
        wants: impl Fn(&Session) -> bool,
    ) -> (Vec<Arc<Session>>, usize) {
        let state = self.read();
        let exact = state.subscriptions.exact(publication.topic);
        let (patterns, _steps) = state.subscriptions.patterns(publication.topic);
        let is_open = publication.patterns != PatternAudience::Nobody;
        let patterns = patterns.filter(|_| is_open);
        let (mut receivers, mut total) = (Vec::new(), 0);
        for subscription in exact.into_iter().chain(patterns) {
            for session in subscription.subscribers() {
                if !publication.reaches(subscription, session) {
                    continue;
                }
                total += 1;
                if receivers.len() < limit && wants(session) {
                    receivers.push(Arc::clone(session));
                }
            }
        }
        (receivers, total)
    }
}

/// The place of a subscription in a list.
fn order(key: &Key) -> (&str, &'static str) {
    (&key.uri, key.policy.name())
}

fn session_id(member: &Member) -> SessionId {
    member.session.id
}

/// Returns the first entries behind a place, in the order of their keys.
fn page<T: Copy, K: Ord>(
    wanted: impl Iterator<Item = T>,
    limit: usize,
    key: impl Fn(T) -> K,
    is_behind: impl Fn(K) -> bool,
) -> ListPage<T> {
    let mut total = 0;
    let counted = wanted.inspect(|_| total += 1);
    let mut entries: Vec<T> = counted.filter(|entry| is_behind(key(*entry))).collect();
    let has_more = entries.len() > limit;
    if has_more {
        // Only the entries of the page are sorted.
        entries.select_nth_unstable_by_key(limit, |entry| key(*entry));
        entries.truncate(limit);
    }
    entries.sort_unstable_by_key(|entry| key(*entry));
    ListPage { entries, total, has_more }
}

impl<T> ListPage<T> {
    fn map<U>(self, of: impl FnMut(T) -> U) -> ListPage<U> {
        let Self { entries, total, has_more } = self;
        ListPage { entries: entries.into_iter().map(of).collect(), total, has_more }
    }
}
