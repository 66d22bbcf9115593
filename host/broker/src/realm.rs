//! A realm: its sessions and subscriptions under one lock, and what can be done with them.
//!
//! A delivery happens under the lock's read side, a change under its write side; therefore
//! SUBSCRIBED is queued before the first event of a subscription and no event is queued after
//! UNSUBSCRIBED, without any bookkeeping a delivery.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use bytes::Bytes;
use indexmap::IndexSet;
use jackfield_wamp::id::{SessionId, SubscriptionId};
use jackfield_wamp::uri::MatchPolicy;

use crate::publication::{Frames, Framing, Publication, Report};
use crate::session::{Batch, Session};
use crate::subscriptions::{Key, Subscribed, Subscription, Subscriptions};

/// A realm: sessions that can reach each other.
pub struct Realm {
    name: String,
    framing: Framing,
    /// How many subscriptions a session may hold.
    max_subscriptions: usize,
    /// Reads are deliveries and look-ups, writes are joins, leaves and changes of subscriptions.
    /// Under it only outbox locks are taken.
    state: RwLock<State>,
}

#[derive(Default)]
struct State {
    members: HashMap<SessionId, Member>,
    subscriptions: Subscriptions,
}

struct Member {
    session: Arc<Session>,
    subscribed: IndexSet<SubscriptionId>,
}

/// Why a session cannot subscribe.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubscribeError {
    /// It is gone.
    #[error("the session has left the realm")]
    Gone,
    /// It has as many subscriptions as one may hold.
    #[error("the session already holds {0} subscriptions, as many as one may")]
    TooMany(usize),
}

/// Why a session cannot unsubscribe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the session has no such subscription")]
pub struct UnsubscribeError;

/// A subscription that the router took away.
#[derive(Debug)]
pub struct Revoked {
    /// Whose it was.
    pub session: Arc<Session>,
    /// Which.
    pub subscription: SubscriptionId,
    /// Of what.
    pub topic: Arc<str>,
}

impl Realm {
    /// An empty realm.
    pub fn new(name: String, framing: Framing, max_subscriptions: usize) -> Self {
        Self { name, framing, max_subscriptions, state: RwLock::default() }
    }

    /// Its name, a URI.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Makes the session a member.
    pub fn join(&self, session: &Arc<Session>) {
        let member = Member { session: Arc::clone(session), subscribed: IndexSet::new() };
        self.write().members.insert(session.id, member);
    }

    /// Ends the membership. Returns the topics that the session was subscribed to by name.
    pub fn leave(&self, session: SessionId) -> Vec<Arc<str>> {
        let mut state = self.write();
        let Some(member) = state.members.remove(&session) else { return Vec::new() };
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

    /// Makes a member a subscriber, queueing what `acknowledge` makes of the subscription's id
    /// before any event of it.
    ///
    /// # Errors
    /// [`SubscribeError`]; nothing is queued then.
    pub fn subscribe(
        &self,
        session: SessionId,
        uri: &str,
        policy: MatchPolicy,
        batch: &mut Batch,
        acknowledge: impl FnOnce(SubscriptionId) -> Option<Bytes>,
    ) -> Result<Subscribed, SubscribeError> {
        let mut state = self.write();
        let State { members, subscriptions } = &mut *state;
        let member = members.get_mut(&session).ok_or(SubscribeError::Gone)?;
        let known = subscriptions.id(uri, policy).is_some_and(|id| member.subscribed.contains(&id));
        if !known && member.subscribed.len() >= self.max_subscriptions {
            return Err(SubscribeError::TooMany(self.max_subscriptions));
        }
        let subscribed = subscriptions.add(&member.session, uri, policy);
        member.subscribed.insert(subscribed.id);
        if let Some(frame) = acknowledge(subscribed.id) {
            member.session.reply(frame, batch);
        }
        Ok(subscribed)
    }

    /// Acknowledges once more the subscription by name that a session has, and says whether it has
    /// one: who may subscribe was asked when it began, and to subscribe again changes nothing.
    pub fn acknowledge(
        &self,
        session: SessionId,
        topic: &str,
        batch: &mut Batch,
        acknowledge: impl FnOnce(SubscriptionId) -> Option<Bytes>,
    ) -> bool {
        let state = self.read();
        let subscription = state.subscriptions.exact(topic);
        let known = subscription.and_then(|it| Some((it.id, it.get(session)?)));
        if let Some((id, session)) = known
            && let Some(frame) = acknowledge(id)
        {
            session.reply(frame, batch);
        }
        known.is_some()
    }

    /// Ends a subscription by its id, queueing the acknowledgement behind its last event.
    /// Returns the topic if the subscription was one by name.
    ///
    /// # Errors
    /// [`UnsubscribeError`]; nothing is queued then.
    pub fn unsubscribe(
        &self,
        session: SessionId,
        subscription: SubscriptionId,
        batch: &mut Batch,
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

    /// The id of the session's subscription to a topic by name.
    pub fn subscription(&self, session: SessionId, topic: &str) -> Option<SubscriptionId> {
        let state = self.read();
        let subscription = state.subscriptions.exact(topic)?;
        subscription.get(session).map(|_| subscription.id)
    }

    /// Queues the event to everybody who may have it, encoding it at most once a dialect for
    /// each subscription. Receivers that do not keep up are noted in the batch.
    pub fn publish(&self, publication: &Publication<'_>, batch: &mut Batch) -> Report {
        let state = self.read();
        let mut report = Report::default();
        if let Some(exact) = state.subscriptions.exact(publication.topic) {
            self.fan_out(publication, exact, batch, &mut report);
        }
        if publication.patterns {
            for subscription in state.subscriptions.patterns(publication.topic) {
                self.fan_out(publication, subscription, batch, &mut report);
            }
        }
        report
    }

    /// Queues the event to one session, if it is subscribed to the topic by name.
    pub fn send(&self, to: SessionId, publication: &Publication<'_>, batch: &mut Batch) -> bool {
        let state = self.read();
        let Some(subscription) = state.subscriptions.exact(publication.topic) else { return false };
        let Some(session) = subscription.get(to) else { return false };
        let frame = Frames::new(publication, subscription, self.framing).get(session.dialect);
        session.deliver(frame, batch)
    }

    /// Who is subscribed to the topic by name.
    pub fn subscribers(&self, topic: &str) -> Vec<SessionId> {
        let state = self.read();
        let subscription = state.subscriptions.exact(topic);
        subscription.map(|it| it.subscribers().map(|one| one.id).collect()).unwrap_or_default()
    }

    /// How many are subscribed to the topic by name.
    pub fn count(&self, topic: &str) -> usize {
        self.read().subscriptions.exact(topic).map_or(0, Subscription::len)
    }

    /// A member.
    pub fn session(&self, id: SessionId) -> Option<Arc<Session>> {
        self.read().members.get(&id).map(|member| Arc::clone(&member.session))
    }

    /// All members.
    pub fn sessions(&self) -> Vec<Arc<Session>> {
        self.read().members.values().map(|member| Arc::clone(&member.session)).collect()
    }

    /// Takes away the subscriptions by name whose topic is not to be kept, queueing what `notice`
    /// makes of each behind its last event.
    ///
    /// `keep` is asked without the lock, once a topic; a session that subscribes meanwhile was
    /// judged by the routes that are in force by then.
    pub fn revoke(
        &self,
        keep: impl Fn(&str) -> bool,
        batch: &mut Batch,
        notice: impl Fn(&Session, SubscriptionId) -> Option<Bytes>,
    ) -> Vec<Revoked> {
        let topics: Vec<Arc<str>> = self.read().subscriptions.topics().map(Arc::clone).collect();
        let mut revoked = Vec::new();
        for topic in topics.into_iter().filter(|topic| !keep(topic)) {
            let mut state = self.write();
            let Some(subscription) = state.subscriptions.exact(&topic) else { continue };
            let id = subscription.id;
            let sessions: Vec<_> = subscription.subscribers().map(Arc::clone).collect();
            for session in sessions {
                state.remove(session.id, id);
                if let Some(frame) = notice(&session, id) {
                    session.reply(frame, batch);
                }
                revoked.push(Revoked { session, subscription: id, topic: Arc::clone(&topic) });
            }
        }
        revoked
    }

    fn fan_out(
        &self,
        publication: &Publication<'_>,
        subscription: &Subscription,
        batch: &mut Batch,
        report: &mut Report,
    ) {
        let mut frames = Frames::new(publication, subscription, self.framing);
        for session in subscription.subscribers() {
            if !publication.admits(session) {
                continue;
            }
            if session.deliver(frames.get(session.dialect), batch) {
                report.delivered += 1;
            } else {
                report.refused += 1;
            }
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        // A panic under the lock would be a bug that tests have to find; serving on with
        // consistent tables is better than refusing everybody.
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Ends one subscription of one member, and says of what it was.
    fn remove(&mut self, session: SessionId, subscription: SubscriptionId) -> Option<Key> {
        let member = self.members.get_mut(&session)?;
        if !member.subscribed.swap_remove(&subscription) {
            return None;
        }
        let key = self.subscriptions.key(subscription)?.clone();
        self.subscriptions.remove(session, &key);
        Some(key)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use jackfield_wamp::dialect::{Codec, Dialect};
    use jackfield_wamp::id::PublicationId;
    use jackfield_wamp::message::ReceiverFilter;
    use jackfield_wamp::payload::Payload;

    use super::*;
    use crate::Identity;
    use crate::outbox::{Bounds, Closing, Outbox, Overflow};
    use crate::session::{Features, Link};

    /// A transport that remembers what it was given, one text a frame.
    struct Recorder {
        outbox: Arc<Outbox>,
        read: Mutex<Vec<String>>,
        blocked: bool,
    }

    impl Link for Recorder {
        fn flush(&self) {
            if self.blocked {
                return;
            }
            let taken = self.outbox.drain(|slices| {
                let texts = slices.iter().map(|it| String::from_utf8_lossy(it).into_owned());
                self.read.lock().unwrap().extend(texts);
                Ok(slices.iter().map(|slice| slice.len()).sum())
            });
            taken.unwrap();
        }

        fn interrupt(&self) {}
    }

    struct Peer {
        session: Arc<Session>,
        link: Arc<Recorder>,
    }

    impl Peer {
        fn join(realm: &Realm, id: u64, dialect: Dialect, roles: &[&str]) -> Self {
            Self::join_on(realm, id, dialect, roles, false)
        }

        fn join_on(
            realm: &Realm,
            id: u64,
            dialect: Dialect,
            roles: &[&str],
            blocked: bool,
        ) -> Self {
            let bounds = Bounds { bytes: 200, frames: 100, overflow: Overflow::Disconnect };
            let outbox = Arc::new(Outbox::new(bounds));
            let link = Recorder { outbox: Arc::clone(&outbox), read: Mutex::default(), blocked };
            let link = Arc::new(link);
            let roles = roles.iter().map(ToString::to_string).collect();
            let identity = Identity { roles, ..Identity::anonymous(format!("user{id}")) };
            let id = SessionId::new(id).unwrap();
            let on = Arc::clone(&link) as Arc<dyn Link>;
            let session =
                Arc::new(Session::new(id, identity, dialect, Features::default(), outbox, on));
            realm.join(&session);
            Self { session, link }
        }

        fn subscribe(&self, realm: &Realm, uri: &str, policy: MatchPolicy) -> SubscriptionId {
            let mut batch = Batch::default();
            let acknowledge = |id| Some(format!("subscribed {id}").into());
            realm.subscribe(self.session.id, uri, policy, &mut batch, acknowledge).unwrap().id
        }

        fn read(&self) -> Vec<String> {
            std::mem::take(&mut self.link.read.lock().unwrap())
        }
    }

    fn realm() -> Realm {
        let finish = |_, message: Vec<u8>| Bytes::from(message);
        Realm::new("realm1".into(), Framing { headroom: 0, finish }, 3)
    }

    fn publication<'a>(topic: &'a str, payload: &'a Payload) -> Publication<'a> {
        let id = PublicationId::new(9).unwrap();
        Publication {
            topic,
            id,
            except: None,
            filter: None,
            narrowed: None,
            disclosed: None,
            patterns: true,
            payload,
        }
    }

    const V2: Dialect = Dialect::V2(Codec::Json);

    #[test]
    fn an_event_reaches_each_subscription_in_its_dialect() {
        let realm = realm();
        let old = Peer::join(&realm, 1, Dialect::V1, &["a"]);
        let new = Peer::join(&realm, 2, V2, &["a"]);
        old.subscribe(&realm, "t.x", MatchPolicy::Exact);
        new.subscribe(&realm, "t.x", MatchPolicy::Exact);
        new.subscribe(&realm, "t", MatchPolicy::Prefix);
        old.read();
        new.read();
        let payload = Payload::from_json("[5]", "{}").unwrap();
        let report = realm.publish(&publication("t.x", &payload), &mut Batch::default());
        assert_eq!(report, Report { delivered: 3, refused: 0 });
        assert_eq!(old.read(), [r#"[8,"t.x",5]"#]);
        assert_eq!(new.read(), ["[36,1,9,{},[5]]", r#"[36,2,9,{"topic":"t.x"},[5]]"#]);
        let guarded = Publication { patterns: false, ..publication("t.x", &payload) };
        assert_eq!(realm.publish(&guarded, &mut Batch::default()).delivered, 2);
    }

    #[test]
    fn invariant_4_a_publication_is_encoded_once_for_all_receivers_of_a_dialect() {
        use std::sync::atomic::{AtomicUsize, Ordering};
        static ENCODED: AtomicUsize = AtomicUsize::new(0);
        let finish = |_, message: Vec<u8>| {
            ENCODED.fetch_add(1, Ordering::Relaxed);
            Bytes::from(message)
        };
        let realm = Realm::new("realm1".into(), Framing { headroom: 0, finish }, 3);
        for id in 1..=40 {
            let dialect = if id % 2 == 0 { Dialect::V1 } else { V2 };
            Peer::join(&realm, id, dialect, &[]).subscribe(&realm, "t", MatchPolicy::Exact);
        }
        let payload = Payload::from_json("[1]", "{}").unwrap();
        let report = realm.publish(&publication("t", &payload), &mut Batch::default());
        assert_eq!((report.delivered, ENCODED.load(Ordering::Relaxed)), (40, 2));
    }

    #[test]
    fn subscribed_comes_before_events_and_nothing_after_unsubscribed() {
        let realm = realm();
        let peer = Peer::join(&realm, 1, V2, &[]);
        let payload = Payload::from_json("[]", "{}").unwrap();
        let id = peer.subscribe(&realm, "t", MatchPolicy::Exact);
        let mut batch = Batch::default();
        realm.publish(&publication("t", &payload), &mut batch);
        let topic = realm.unsubscribe(peer.session.id, id, &mut batch, Some("left".into()));
        assert_eq!(topic.unwrap().as_deref(), Some("t"));
        realm.publish(&publication("t", &payload), &mut batch);
        let again = realm.unsubscribe(peer.session.id, id, &mut batch, Some("left".into()));
        assert_eq!(again, Err(UnsubscribeError));
        batch.flush();
        assert_eq!(peer.read(), ["subscribed 1", "[36,1,9,{}]", "left"]);
    }

    /// Who of three sessions (roles a, b, and a with b) receives what these lists allow.
    fn check(filter: &ReceiverFilter, except: Option<u64>, expect: &[u64]) {
        let realm = realm();
        let roles: [&[&str]; 3] = [&["a"], &["b"], &["a", "b"]];
        let peers: Vec<_> =
            (1..).zip(roles).map(|(id, roles)| Peer::join(&realm, id, V2, roles)).collect();
        for peer in &peers {
            peer.subscribe(&realm, "t", MatchPolicy::Exact);
            peer.read();
        }
        let payload = Payload::from_json("[]", "{}").unwrap();
        let publication = Publication {
            filter: Some(filter),
            except: except.and_then(SessionId::new),
            ..publication("t", &payload)
        };
        realm.publish(&publication, &mut Batch::default());
        let received: Vec<_> = peers.iter().filter(|peer| !peer.read().is_empty()).collect();
        let received: Vec<_> = received.iter().map(|peer| peer.session.id.get()).collect();
        assert_eq!(received, expect, "{filter:?} except {except:?}");
    }

    #[test]
    fn who_receives_by_black_and_white_lists() {
        let ids =
            |list: &[u64]| list.iter().filter_map(|&id| SessionId::new(id)).collect::<Vec<_>>();
        let texts = |list: &[&str]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
        let none = ReceiverFilter::default;
        check(&none(), None, &[1, 2, 3]);
        check(&none(), Some(2), &[1, 3]);
        check(&ReceiverFilter { exclude: ids(&[1, 99]), ..none() }, None, &[2, 3]);
        check(&ReceiverFilter { eligible: Some(ids(&[1, 3])), ..none() }, None, &[1, 3]);
        check(&ReceiverFilter { eligible: Some(ids(&[])), ..none() }, None, &[]);
        // To be eligible does not outweigh being excluded.
        check(&ReceiverFilter { eligible: Some(ids(&[1])), ..none() }, Some(1), &[]);
        check(&ReceiverFilter { exclude_authid: texts(&["user1"]), ..none() }, None, &[2, 3]);
        check(&ReceiverFilter { eligible_authid: Some(texts(&["user3"])), ..none() }, None, &[3]);
        check(&ReceiverFilter { exclude_authrole: texts(&["b"]), ..none() }, None, &[1]);
        check(&ReceiverFilter { eligible_authrole: Some(texts(&["b"])), ..none() }, None, &[2, 3]);
        let both = ReceiverFilter {
            eligible_authrole: Some(texts(&["a"])),
            eligible: Some(ids(&[2, 3])),
            ..none()
        };
        check(&both, None, &[3]);
    }

    #[test]
    fn leaving_takes_every_subscription_along() {
        let realm = realm();
        let peer = Peer::join(&realm, 1, V2, &[]);
        peer.subscribe(&realm, "one", MatchPolicy::Exact);
        peer.subscribe(&realm, "tw", MatchPolicy::Prefix);
        peer.subscribe(&realm, "three", MatchPolicy::Exact);
        let left = realm.leave(peer.session.id);
        assert_eq!(left.iter().map(|topic| &**topic).collect::<Vec<_>>(), ["one", "three"]);
        assert_eq!((realm.count("one"), realm.sessions().len()), (0, 0));
        assert!(realm.leave(peer.session.id).is_empty());
    }

    #[test]
    fn subscriptions_are_bounded() {
        let realm = realm();
        let peer = Peer::join(&realm, 1, V2, &[]);
        for uri in ["a", "b", "c"] {
            peer.subscribe(&realm, uri, MatchPolicy::Exact);
        }
        let again = realm.subscribe(
            peer.session.id,
            "a",
            MatchPolicy::Exact,
            &mut Batch::default(),
            |_| None,
        );
        assert!(again.is_ok_and(|again| !again.new));
        let more = realm.subscribe(
            peer.session.id,
            "d",
            MatchPolicy::Exact,
            &mut Batch::default(),
            |_| None,
        );
        assert_eq!(more, Err(SubscribeError::TooMany(3)));
    }

    #[test]
    fn a_subscriber_that_does_not_read_is_closed_at_its_bound_and_harms_nobody() {
        let realm = realm();
        let slow = Peer::join_on(&realm, 1, V2, &[], true);
        let quick = Peer::join(&realm, 2, V2, &[]);
        for peer in [&slow, &quick] {
            peer.subscribe(&realm, "t", MatchPolicy::Exact);
        }
        let payload = Payload::from_json("[1]", "{}").unwrap();
        let refused: usize = (0..20)
            .map(|_| realm.publish(&publication("t", &payload), &mut Batch::default()).refused)
            .sum();
        assert!(refused > 0);
        assert_eq!(slow.session.outbox().closing().unwrap().reason, Closing::SLOW_SUBSCRIBER);
        assert!(slow.session.outbox().bytes() <= 200);
        assert_eq!(quick.read().len(), 21);
    }

    #[test]
    fn revoking_tells_each_subscriber_behind_its_last_event() {
        let realm = realm();
        let peer = Peer::join(&realm, 1, V2, &[]);
        peer.subscribe(&realm, "gone", MatchPolicy::Exact);
        peer.subscribe(&realm, "kept", MatchPolicy::Exact);
        peer.read();
        let mut batch = Batch::default();
        let notice = |_: &Session, id| Some(format!("revoked {id}").into());
        let revoked = realm.revoke(|topic| topic == "kept", &mut batch, notice);
        assert_eq!(revoked.len(), 1);
        batch.flush();
        assert_eq!(peer.read(), ["revoked 1"]);
        assert_eq!((realm.count("gone"), realm.count("kept")), (0, 1));
    }
}
