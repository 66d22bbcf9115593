//! A realm: its sessions and subscriptions under one read-write lock.
//!
//! Deliveries take the read side, changes the write side. Therefore SUBSCRIBED is queued before the
//! first event of a subscription and no event is queued after UNSUBSCRIBED, without bookkeeping per
//! delivery.

mod cluster;
mod error;
mod history;
mod inspect;
mod limits;
mod meta;
mod revoke;

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use bytes::Bytes;
use indexmap::IndexSet;
use jackfield_wamp::dialect::Dialect;
use jackfield_wamp::id::{SessionId, SubscriptionId};
use jackfield_wamp::uri::MatchPolicy;

use crate::cluster::Cluster;
use crate::history::{EventHistory, RealmHistory, Recipient, ReplayRequest};
use crate::publication::{
    DeliveryError, DeliveryReport, EventPlace, Frames, Framing, PatternAudience, Publication,
};
use crate::quota::Usage;
use crate::recording::SentFrames;
use crate::session::{PendingFlushes, Session};
use crate::subscriptions::{Subscribed, Subscription, Subscriptions};
use crate::uri_table::Key;

pub use error::{SubscribeError, UnsubscribeError};
pub use inspect::{ListPage, SessionView, SubscriptionView};
pub use limits::RealmLimits;

/// The maximum number of subscriptions for which an event is compressed. Each has frames of its own, and a session may
/// have many patterns.
const MAX_COMPRESSED: usize = 4;

/// A realm: sessions that can communicate.
pub struct Realm {
    name: String,
    /// Reads are deliveries and lookups; writes are joins, leaves and changes of subscriptions.
    /// Only locks of histories and outboxes are taken under it.
    state: RwLock<State>,
    history: RealmHistory,
    /// The other nodes, if there may be some.
    cluster: Option<Arc<Cluster>>,
}

struct State {
    framing: Framing,
    limits: RealmLimits,
    members: HashMap<SessionId, Member>,
    subscriptions: Subscriptions,
    /// Subscriptions of all members together, by client.
    subscribed: Usage,
    /// The number of members by dialect.
    dialects: [usize; Dialect::COUNT],
}

struct Member {
    session: Arc<Session>,
    subscribed: IndexSet<SubscriptionId>,
    /// Number of pattern subscriptions among them.
    patterns: usize,
    /// Those of topics with a history whose position it knows.
    located: Vec<SubscriptionId>,
}

/// A subscription that the router revoked.
#[derive(Debug)]
pub struct Revoked {
    /// The subscriber.
    pub session: Arc<Session>,
    /// The subscription's id.
    pub subscription: SubscriptionId,
    /// The subscription's topic.
    pub topic: Arc<str>,
}

impl Realm {
    /// Creates an empty realm. Its topics may have a place in `history`, which all realms share.
    pub fn new(
        name: String,
        framing: Framing,
        limits: RealmLimits,
        history: &Arc<EventHistory>,
    ) -> Self {
        let state = State {
            framing,
            limits,
            members: HashMap::new(),
            subscriptions: Subscriptions::default(),
            subscribed: Usage::default(),
            dialects: [0; Dialect::COUNT],
        };
        Self { name, state: RwLock::new(state), history: history.realm(), cluster: None }
    }

    /// Returns the realm's name, a URI.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Replaces the limits, and the size of the longest event. Subscriptions beyond them stay.
    pub fn set_limits(&self, limits: RealmLimits, max_event_bytes: usize) {
        let mut state = self.write();
        state.limits = limits;
        state.framing.max_bytes = max_event_bytes;
    }

    /// Makes the session a member.
    pub fn join(&self, session: &Arc<Session>) {
        let member = Member {
            session: Arc::clone(session),
            subscribed: IndexSet::new(),
            patterns: 0,
            located: Vec::new(),
        };
        let mut state = self.write();
        if let Some(count) = state.dialects.get_mut(session.dialect.index()) {
            *count += 1;
        }
        state.members.insert(session.id, member);
    }

    /// Ends the membership. Returns the topics of the session's exact subscriptions.
    pub fn leave(&self, session: SessionId) -> Vec<Arc<str>> {
        let mut state = self.write();
        let Some(member) = state.members.remove(&session) else { return Vec::new() };
        if let Some(count) = state.dialects.get_mut(member.session.dialect.index()) {
            *count = count.saturating_sub(1);
        }
        state.subscribed.remove(member.session.client, member.subscribed.len());
        let mut topics = Vec::new();
        for id in member.subscribed {
            let Some(key) = state.subscriptions.key(id).cloned() else { continue };
            state.subscriptions.remove(session, &key);
            if key.policy == MatchPolicy::Exact {
                topics.push(key.uri);
            }
        }
        topics
    }

    /// Checks whether [`subscribe`](Self::subscribe) would succeed now.
    ///
    /// # Errors
    /// [`SubscribeError`]
    pub fn check_subscribe(
        &self,
        session: SessionId,
        uri: &str,
        policy: MatchPolicy,
    ) -> Result<(), SubscribeError> {
        self.read().check_subscribe(session, uri, policy).map(drop)
    }

    /// Subscribes a member. The frame of `acknowledge` is queued before any event of the
    /// subscription, and what the member gets from the history before every later event.
    pub fn subscribe(
        &self,
        session: SessionId,
        uri: &str,
        policy: MatchPolicy,
        request: Option<&ReplayRequest<'_>>,
        batch: &mut PendingFlushes,
        acknowledge: impl FnOnce(SubscriptionId) -> Option<Bytes>,
    ) -> Result<Subscribed, SubscribeError> {
        let mut state = self.write();
        let known = state.check_subscribe(session, uri, policy)?;
        let kept_id = self.kept_id(uri, request);
        let (quotas, framing) = (state.limits.topics(), state.framing);
        let State { members, subscriptions, subscribed: all, .. } = &mut *state;
        let member = members.get_mut(&session).ok_or(SubscribeError::Gone)?;
        let subscribed = subscriptions.add(&member.session, uri, policy, quotas, kept_id)?;
        if !known {
            all.add(member.session.client);
        }
        member.patterns += usize::from(!known && policy != MatchPolicy::Exact);
        member.subscribed.insert(subscribed.id);
        member.note_located(subscribed.id, request);
        let session = Arc::clone(&member.session);
        if let Some(frame) = acknowledge(subscribed.id) {
            session.reply(frame, batch);
        }
        if let Some(request) = request {
            let Subscribed { id: subscription, new: is_new } = subscribed;
            let recipient = Recipient { session: &session, subscription, is_new, framing };
            self.replay(&state, uri, &recipient, request, batch);
            drop(state);
            self.history.relieve();
        }
        Ok(subscribed)
    }

    /// Ends a subscription by its id. The acknowledgement is queued after its last event. Returns
    /// the topic of an exact subscription.
    pub fn unsubscribe(
        &self,
        session: SessionId,
        subscription: SubscriptionId,
        batch: &mut PendingFlushes,
        acknowledgement: Option<Bytes>,
    ) -> Result<Option<Arc<str>>, UnsubscribeError> {
        let mut state = self.write();
        let key = state.remove(session, subscription).ok_or(UnsubscribeError)?;
        let member = state.members.get(&session).ok_or(UnsubscribeError)?;
        if let Some(frame) = acknowledgement {
            member.session.reply(frame, batch);
        }
        Ok((key.policy == MatchPolicy::Exact).then_some(key.uri))
    }

    /// Returns the id of the session's exact subscription to a topic.
    pub fn subscription(&self, session: SessionId, topic: &str) -> Option<SubscriptionId> {
        let state = self.read();
        let subscription = state.subscriptions.exact(topic)?;
        subscription.get(session).map(|_| subscription.id)
    }

    /// Fan-out: queues the event to every receiver, encoding it at most once per dialect and
    /// subscription (twice with a trust level). Receivers to flush are noted in the batch. The lock of the topic's history, if it
    /// has one, is held meanwhile: offsets and outboxes have one order. In a cluster, the event is then
    /// queued for the other nodes with subscribers.
    ///
    /// # Errors
    /// [`DeliveryError`] of any receiver; nothing is queued then.
    pub fn publish(
        &self,
        publication: &Publication<'_>,
        batch: &mut PendingFlushes,
    ) -> Result<DeliveryReport, DeliveryError> {
        self.deliver(publication, self.cluster.as_deref(), batch)
    }

    /// Queues the event to one session, if it has an exact subscription to the topic.
    ///
    /// # Errors
    /// [`DeliveryError`]; nothing is queued then.
    pub fn send(
        &self,
        to: SessionId,
        publication: &Publication<'_>,
        batch: &mut PendingFlushes,
    ) -> Result<bool, DeliveryError> {
        let state = self.read();
        let Some(subscription) = state.subscriptions.exact(publication.topic) else {
            return Ok(false);
        };
        let Some(session) = subscription.get(to) else { return Ok(false) };
        let mut frames =
            Frames::new(publication, EventPlace::default(), subscription, state.framing);
        frames.check(session)?;
        Ok(frames.deliver(session, batch))
    }

    /// Returns whether a session has any subscription.
    pub fn is_subscribed(&self, session: SessionId) -> bool {
        self.read().members.get(&session).is_some_and(|member| !member.subscribed.is_empty())
    }

    /// Returns the topics of all exact subscriptions.
    pub fn topics(&self) -> Vec<Arc<str>> {
        self.read().subscriptions.topics().map(Arc::clone).collect()
    }

    /// Returns the member with this id.
    pub fn session(&self, id: SessionId) -> Option<Arc<Session>> {
        self.read().members.get(&id).map(|member| Arc::clone(&member.session))
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        // A panic under the lock is a bug for tests to find. The tables stay consistent, and it is
        // better to continue than to refuse every request.
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Queues the event to the receivers of one subscription.
fn fan_out(
    publication: &Publication<'_>,
    subscription: &Subscription,
    frames: &mut Frames<'_>,
    batch: &mut PendingFlushes,
    report: &mut DeliveryReport,
) {
    batch.add_work(subscription.len());
    // Version 1 has no place for how a payload is packed.
    let is_packed = publication.payload.passthru().is_some();
    for session in subscription.subscribers() {
        if (is_packed && session.dialect == Dialect::V1)
            || !publication.reaches(subscription, session)
        {
            continue;
        }
        report.delivered += usize::from(frames.deliver(session, batch));
    }
}

/// Checks that all receivers of one subscription can get the event. `frames` keeps the encoded
/// frames.
fn check(
    publication: &Publication<'_>,
    subscription: &Subscription,
    frames: &mut Frames<'_>,
) -> Result<(), DeliveryError> {
    let reached = |session: &&Arc<Session>| publication.reaches(subscription, session);
    subscription.subscribers().filter(reached).try_for_each(|session| frames.check(session))
}

impl State {
    /// Queues an event to its receivers, with its offset in the history of the topic. `sent` gets the
    /// frames of the exact subscription, if they are to be kept.
    fn deliver(
        &self,
        publication: &Publication<'_>,
        place: EventPlace,
        sent: &mut Option<SentFrames>,
        batch: &mut PendingFlushes,
    ) -> Result<DeliveryReport, DeliveryError> {
        let subscriptions = &self.subscriptions;
        let exact = subscriptions.exact(publication.topic);
        let patterns: Vec<_> = if publication.patterns == PatternAudience::Nobody {
            Vec::new()
        } else {
            let (patterns, steps) = subscriptions.patterns(publication.topic);
            batch.add_matching(steps);
            patterns.collect()
        };
        let audiences = || exact.into_iter().chain(patterns.iter().copied());
        let mut report = DeliveryReport::default();
        let Some(first) = audiences().next() else { return Ok(report) };
        let mut frames = Frames::new(publication, place, first, self.framing);
        if frames.may_be_refused() {
            check(publication, first, &mut frames)?;
            // The EVENT of a pattern has its topic, too, and may be too long where another is not.
            audiences().skip(1).try_for_each(|further| {
                check(
                    publication,
                    further,
                    &mut Frames::new(publication, place, further, self.framing),
                )
            })?;
        }
        fan_out(publication, first, &mut frames, batch, &mut report);
        if publication.recording.is_some() && !first.pattern {
            *sent = Some(frames.into_sent());
        }
        for (number, further) in audiences().enumerate().skip(1) {
            let framing =
                if number < MAX_COMPRESSED { self.framing } else { self.framing.uncompressed() };
            let mut frames = Frames::new(publication, place, further, framing);
            fan_out(publication, further, &mut frames, batch, &mut report);
        }
        Ok(report)
    }

    /// Checks that all receivers can get an event.
    fn check_receivers(&self, publication: &Publication<'_>) -> Result<(), DeliveryError> {
        let subscriptions = &self.subscriptions;
        let exact = subscriptions.exact(publication.topic).into_iter();
        let patterns = (publication.patterns != PatternAudience::Nobody)
            .then(|| subscriptions.patterns(publication.topic).0);
        for subscription in exact.chain(patterns.into_iter().flatten()) {
            let mut frames = Frames::new(
                publication,
                EventPlace { offset: 1, number: None },
                subscription,
                self.framing,
            );
            if !frames.may_be_refused() {
                break;
            }
            check(publication, subscription, &mut frames)?;
        }
        Ok(())
    }

    /// Checks whether a member may subscribe. Returns whether it is a subscriber already.
    fn check_subscribe(
        &self,
        session: SessionId,
        uri: &str,
        policy: MatchPolicy,
    ) -> Result<bool, SubscribeError> {
        let limits = &self.limits;
        let member = self.members.get(&session).ok_or(SubscribeError::Gone)?;
        let id = self.subscriptions.id(uri, policy);
        if id.is_some_and(|id| member.subscribed.contains(&id)) {
            return Ok(true);
        }
        if member.subscribed.len() >= limits.subscriptions {
            return Err(SubscribeError::TooMany(limits.subscriptions));
        }
        if policy != MatchPolicy::Exact && member.patterns >= limits.patterns {
            return Err(SubscribeError::TooManyPatterns(limits.patterns));
        }
        let client = member.session.client;
        self.subscribed.check(client, limits.quota("subscriptions of the realm"))?;
        if id.is_none() {
            self.subscriptions.check_new(client, policy, limits.topics())?;
        }
        Ok(false)
    }

    /// Ends one subscription of one member. Returns its key.
    fn remove(&mut self, session: SessionId, subscription: SubscriptionId) -> Option<Key> {
        let member = self.members.get_mut(&session)?;
        if !member.subscribed.swap_remove(&subscription) {
            return None;
        }
        self.subscribed.remove(member.session.client, 1);
        member.located.retain(|it| *it != subscription);
        let key = self.subscriptions.key(subscription)?.clone();
        member.patterns -= usize::from(key.policy != MatchPolicy::Exact);
        self.subscriptions.remove(session, &key);
        Some(key)
    }
}

#[cfg(test)]
impl Realm {
    /// Returns whether nothing of any session is left.
    pub(crate) fn is_empty(&self) -> bool {
        let State { members, subscriptions, subscribed, dialects, .. } = &*self.read();
        members.is_empty()
            && subscriptions.is_empty()
            && subscribed.is_empty()
            && *dialects == [0; Dialect::COUNT]
    }
}

#[cfg(test)]
mod tests;
