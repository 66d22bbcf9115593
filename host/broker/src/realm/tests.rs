//! Tests of the messages to the sessions of a realm, through transports that record them.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::Mutex;

use jackfield_wamp::dialect::{Codec, Dialect};
use jackfield_wamp::id::PublicationId;
use jackfield_wamp::message::ReceiverFilter;
use jackfield_wamp::payload::Payload;

use super::*;
use crate::Identity;
use crate::close_reason::CloseReason;
use crate::outbox::{Bounds, Outbox, Overflow};
use crate::session::{Features, Transport};

mod cluster;
mod compression;
mod due;
mod history;
mod pages;
mod shares;
mod too_long;

/// A transport that records each frame as text.
struct Recorder {
    outbox: Arc<Outbox>,
    read: Mutex<Vec<String>>,
    blocked: bool,
}

impl Transport for Recorder {
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

    fn join_from(realm: &Realm, id: u64, address: [u8; 4]) -> Self {
        let identity = Identity::anonymous(format!("user{id}"), Ipv4Addr::from(address).into());
        Self::join_as(realm, id, V2, identity, false)
    }

    fn join_on(realm: &Realm, id: u64, dialect: Dialect, roles: &[&str], blocked: bool) -> Self {
        let roles = roles.iter().map(ToString::to_string).collect();
        let identity = Identity {
            roles,
            ..Identity::anonymous(format!("user{id}"), Ipv4Addr::LOCALHOST.into())
        };
        Self::join_as(realm, id, dialect, identity, blocked)
    }

    fn join_as(
        realm: &Realm,
        id: u64,
        dialect: Dialect,
        identity: Identity,
        blocked: bool,
    ) -> Self {
        let bounds = Bounds { bytes: 200, frames: 100, overflow: Overflow::Disconnect };
        Self::join_bounded(realm, id, dialect, identity, blocked, bounds)
    }

    fn join_bounded(
        realm: &Realm,
        id: u64,
        dialect: Dialect,
        identity: Identity,
        blocked: bool,
        bounds: Bounds,
    ) -> Self {
        let outbox = Arc::new(Outbox::new(bounds));
        let link = Recorder { outbox: Arc::clone(&outbox), read: Mutex::default(), blocked };
        let link = Arc::new(link);
        let id = SessionId::new(id).unwrap();
        let on = Arc::clone(&link) as Arc<dyn Transport>;
        let session =
            Arc::new(Session::new(id, identity, dialect, Features::default(), outbox, on));
        realm.join(&session);
        Self { session, link }
    }

    fn subscribe(&self, realm: &Realm, uri: &str, policy: MatchPolicy) -> SubscriptionId {
        let mut batch = PendingFlushes::default();
        let acknowledge = |id| Some(format!("subscribed {id}").into());
        realm.subscribe(self.session.id, uri, policy, None, &mut batch, acknowledge).unwrap().id
    }

    fn read(&self) -> Vec<String> {
        std::mem::take(&mut self.link.read.lock().unwrap())
    }
}

fn realm() -> Realm {
    limited(LIMITS)
}

fn limited(limits: RealmLimits) -> Realm {
    let finish = |_, message: Vec<u8>| Bytes::from(message);
    Realm::new(
        "realm1".into(),
        Framing { headroom: 0, max_bytes: 1 << 20, finish, compress: |_| None },
        limits,
        &Arc::default(),
    )
}

fn publication<'a>(topic: &'a str, payload: &'a Payload) -> Publication<'a> {
    let id = PublicationId::new(9).unwrap();
    Publication { patterns: PatternAudience::Everybody, ..Publication::new(topic, id, payload) }
}

const LIMITS: RealmLimits = RealmLimits {
    subscriptions: 3,
    patterns: 2,
    realm_subscriptions: 100,
    topics: 1_000,
    client_percent: 100,
};
const V2: Dialect = Dialect::V2(Codec::Json);

#[test]
fn reports_publications_that_take_long_to_match() {
    const ALLOWANCE: usize = 32;
    let limits =
        RealmLimits { subscriptions: 1_000, patterns: 1_000, realm_subscriptions: 1_000, ..LIMITS };
    let realm = limited(limits);
    let peer = Peer::join(&realm, 1, V2, &["a"]);
    let publish = |topic: &str, batch: &mut PendingFlushes| {
        let payload = Payload::empty(Codec::Json);
        realm.publish(&publication(topic, &payload), batch).unwrap();
        batch.is_matching_slow(ALLOWANCE)
    };
    let mut batch = PendingFlushes::default();
    assert!(!publish("a.a.a.a.a.a", &mut batch), "a realm without patterns");
    // All wildcards whose first five components are a text or empty. The last component never
    // matches.
    for mask in 0..32 {
        let open = |bit: u32| if mask & (1 << bit) == 0 { "" } else { "a" };
        let uri: Vec<_> = (0..5).map(open).chain(["b"]).collect();
        peer.subscribe(&realm, &uri.join("."), MatchPolicy::Wildcard);
    }
    assert!(!publish("b.b.b.b.b.b", &mut batch), "most wildcards are left at their beginning");
    assert!(publish("a.a.a.a.a.a", &mut batch), "each of 32 wildcards is followed to its end");
    // Fast publications in between do not hide slow ones.
    for _ in 0..100 {
        publish("a.a.a.a.a.a", &mut batch);
        assert!(publish("t", &mut batch));
    }
    for _ in 0..100 {
        publish("t", &mut batch);
    }
    assert!(!publish("t", &mut batch), "fast ones make it fast again");
}

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
    let report =
        realm.publish(&publication("t.x", &payload), &mut PendingFlushes::default()).unwrap();
    assert_eq!(report, DeliveryReport { delivered: 3, has_ended_durable: false });
    assert_eq!(old.read(), [r#"[8,"t.x",5]"#]);
    assert_eq!(new.read(), ["[36,1,9,{},[5]]", r#"[36,2,9,{"topic":"t.x"},[5]]"#]);
    let guarded = Publication { patterns: PatternAudience::Nobody, ..publication("t.x", &payload) };
    assert_eq!(realm.publish(&guarded, &mut PendingFlushes::default()).unwrap().delivered, 2);
}

#[test]
fn patterns_receive_by_the_roles_of_their_holders() {
    let realm = realm();
    let staff = Peer::join(&realm, 1, V2, &["guest", "staff"]);
    let guest = Peer::join(&realm, 2, V2, &["guest"]);
    let nobody = Peer::join(&realm, 3, V2, &[]);
    for peer in [&staff, &guest, &nobody] {
        peer.subscribe(&realm, "t.", MatchPolicy::Prefix);
        peer.subscribe(&realm, "t.", MatchPolicy::Wildcard);
        peer.read();
    }
    let payload = Payload::from_json("[5]", "{}").unwrap();
    let roles = ["admin".to_owned(), "staff".to_owned()];
    // The audience belongs to the publication, so that the next one may have another.
    for (patterns, receive) in [
        (PatternAudience::Roles(&roles), [2, 0, 0]),
        (PatternAudience::Everybody, [2, 2, 2]),
        (PatternAudience::Nobody, [0, 0, 0]),
        (PatternAudience::Roles(&[]), [0, 0, 0]),
    ] {
        let event = Publication { patterns, ..publication("t.x", &payload) };
        let report = realm.publish(&event, &mut PendingFlushes::default()).unwrap();
        assert_eq!(report.delivered, receive.iter().sum::<usize>(), "{patterns:?}");
        let read = [&staff, &guest, &nobody].map(|peer| peer.read().len());
        assert_eq!(read, receive, "{patterns:?}");
    }
}

#[test]
fn bounds_the_patterns_of_a_session() {
    let realm = realm();
    let peer = Peer::join(&realm, 1, V2, &[]);
    let subscribe = |uri: &str, policy| {
        realm
            .subscribe(peer.session.id, uri, policy, None, &mut PendingFlushes::default(), |_| None)
    };
    let first = subscribe("a", MatchPolicy::Prefix).unwrap();
    subscribe("a", MatchPolicy::Wildcard).unwrap();
    let full = Err(SubscribeError::TooManyPatterns(2));
    assert_eq!(subscribe("b", MatchPolicy::Prefix), full);
    assert_eq!(subscribe("b", MatchPolicy::Wildcard), full);
    assert!(!subscribe("a", MatchPolicy::Prefix).unwrap().new, "it holds that one already");
    subscribe("a", MatchPolicy::Exact).unwrap();
    realm.unsubscribe(peer.session.id, first.id, &mut PendingFlushes::default(), None).unwrap();
    subscribe("b", MatchPolicy::Wildcard).unwrap();
}

#[test]
fn bounds_the_subscriptions_of_all_sessions() {
    let realm = limited(RealmLimits { realm_subscriptions: 8, ..LIMITS });
    let peers = [1, 2, 3].map(|id| Peer::join(&realm, id, V2, &[]));
    let subscribe = |peer: &Peer, uri: &str| {
        let exact = MatchPolicy::Exact;
        realm.subscribe(peer.session.id, uri, exact, None, &mut PendingFlushes::default(), |_| None)
    };
    let [first, second, third] = &peers;
    for uri in ["a", "b", "c"] {
        subscribe(first, uri).unwrap();
        subscribe(second, uri).unwrap();
    }
    let held = subscribe(third, "a").unwrap();
    subscribe(third, "b").unwrap();
    let full = "maximum subscriptions of the realm reached (limits.realm_subscriptions = 8)";
    assert_eq!(subscribe(third, "c").unwrap_err().to_string(), full);
    assert_eq!(subscribe(third, "a").unwrap().id, held.id, "it holds that one already");
    realm.unsubscribe(third.session.id, held.id, &mut PendingFlushes::default(), None).unwrap();
    subscribe(third, "c").unwrap();
    assert_eq!(subscribe(third, "a").unwrap_err().to_string(), full);
    // Places of a session that left, and of revoked subscriptions, are free again.
    realm.leave(first.session.id);
    subscribe(third, "a").unwrap();
    realm.revoke(
        |topic, _| if topic == "b" { PatternAudience::Nobody } else { PatternAudience::Everybody },
        &mut PendingFlushes::default(),
        |_, _| None,
    );
    for peer in [second, third] {
        realm.leave(peer.session.id);
    }
    assert!(realm.read().subscribed.is_empty());
}

#[test]
fn invariant_4_a_publication_is_encoded_once_for_all_receivers_of_a_dialect() {
    use std::sync::atomic::{AtomicUsize, Ordering};
    static ENCODED: AtomicUsize = AtomicUsize::new(0);
    let finish = |_, message: Vec<u8>| {
        ENCODED.fetch_add(1, Ordering::Relaxed);
        Bytes::from(message)
    };
    let framing = Framing { headroom: 0, max_bytes: 1 << 20, finish, compress: |_| None };
    let realm = Realm::new("realm1".into(), framing, LIMITS, &Arc::default());
    for id in 1..=40 {
        let dialect = if id % 2 == 0 { Dialect::V1 } else { V2 };
        Peer::join(&realm, id, dialect, &[]).subscribe(&realm, "t", MatchPolicy::Exact);
    }
    let payload = Payload::from_json("[1]", "{}").unwrap();
    let report =
        realm.publish(&publication("t", &payload), &mut PendingFlushes::default()).unwrap();
    assert_eq!((report.delivered, ENCODED.load(Ordering::Relaxed)), (40, 2));
}

#[test]
fn subscribed_comes_before_events_and_nothing_after_unsubscribed() {
    let realm = realm();
    let peer = Peer::join(&realm, 1, V2, &[]);
    let payload = Payload::from_json("[]", "{}").unwrap();
    let id = peer.subscribe(&realm, "t", MatchPolicy::Exact);
    let mut batch = PendingFlushes::default();
    realm.publish(&publication("t", &payload), &mut batch).unwrap();
    let topic = realm.unsubscribe(peer.session.id, id, &mut batch, Some("left".into()));
    assert_eq!(topic.unwrap().as_deref(), Some("t"));
    realm.publish(&publication("t", &payload), &mut batch).unwrap();
    let again = realm.unsubscribe(peer.session.id, id, &mut batch, Some("left".into()));
    assert_eq!(again, Err(UnsubscribeError));
    batch.flush();
    assert_eq!(peer.read(), ["subscribed 1", "[36,1,9,{}]", "left"]);
}

/// Checks which of three sessions (roles a, b, and a with b) receive an event with this filter.
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
    realm.publish(&publication, &mut PendingFlushes::default()).unwrap();
    let received: Vec<_> = peers.iter().filter(|peer| !peer.read().is_empty()).collect();
    let received: Vec<_> = received.iter().map(|peer| peer.session.id.get()).collect();
    assert_eq!(received, expect, "{filter:?} except {except:?}");
}

#[test]
fn filters_receivers_by_exclude_and_eligible_lists() {
    let ids =
        |list: &[u64]| list.iter().filter_map(|&id| SessionId::new(id)).collect::<BTreeSet<_>>();
    let texts = |list: &[&str]| list.iter().map(ToString::to_string).collect::<BTreeSet<_>>();
    let none = ReceiverFilter::default;
    check(&none(), None, &[1, 2, 3]);
    check(&none(), Some(2), &[1, 3]);
    check(&ReceiverFilter { exclude: ids(&[1, 99]), ..none() }, None, &[2, 3]);
    check(&ReceiverFilter { eligible: Some(ids(&[1, 3])), ..none() }, None, &[1, 3]);
    check(&ReceiverFilter { eligible: Some(ids(&[])), ..none() }, None, &[]);
    // Exclusion takes precedence over eligibility.
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
fn leaving_removes_every_subscription() {
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
        None,
        &mut PendingFlushes::default(),
        |_| None,
    );
    assert!(again.is_ok_and(|again| !again.new));
    let more = realm.subscribe(
        peer.session.id,
        "d",
        MatchPolicy::Exact,
        None,
        &mut PendingFlushes::default(),
        |_| None,
    );
    assert_eq!(more, Err(SubscribeError::TooMany(3)));
}

#[test]
fn closes_a_subscriber_that_does_not_read_and_no_other() {
    let realm = realm();
    let slow = Peer::join_on(&realm, 1, V2, &[], true);
    let quick = Peer::join(&realm, 2, V2, &[]);
    for peer in [&slow, &quick] {
        peer.subscribe(&realm, "t", MatchPolicy::Exact);
    }
    let payload = Payload::from_json("[1]", "{}").unwrap();
    let publish = || {
        let mut batch = PendingFlushes::default();
        realm.publish(&publication("t", &payload), &mut batch).unwrap().delivered
    };
    let delivered: usize = (0..20).map(|_| publish()).sum();
    assert!((20..40).contains(&delivered), "{delivered}");
    assert_eq!(slow.session.outbox().closing().unwrap().reason, CloseReason::SLOW_SUBSCRIBER);
    assert!(slow.session.outbox().bytes() <= 200);
    assert_eq!(quick.read().len(), 21);
}

#[test]
fn revoking_notifies_each_subscriber_after_its_last_event() {
    let realm = realm();
    let peer = Peer::join(&realm, 1, V2, &[]);
    peer.subscribe(&realm, "gone", MatchPolicy::Exact);
    peer.subscribe(&realm, "kept", MatchPolicy::Exact);
    peer.read();
    let mut batch = PendingFlushes::default();
    let notice = |_: &Session, id| Some(format!("revoked {id}").into());
    let revoked = realm.revoke(
        |topic, _| {
            if topic == "kept" { PatternAudience::Everybody } else { PatternAudience::Nobody }
        },
        &mut batch,
        notice,
    );
    assert_eq!(revoked.len(), 1);
    batch.flush();
    assert_eq!(peer.read(), ["revoked 1"]);
    assert_eq!((realm.count("gone"), realm.count("kept")), (0, 1));
}
