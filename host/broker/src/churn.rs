//! Random sessions that come, use a realm and its procedures, and leave at any moment: nothing of them stays.

use std::net::Ipv4Addr;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use bytes::Bytes;
use jackfield_wamp::dialect::{Codec, Dialect};
use jackfield_wamp::id::{PublicationId, RegistrationId, RequestId, SessionId, SubscriptionId};
use jackfield_wamp::message::{
    Call, CallId, CallOptions, Cancel, CancelMode, Error, InvocationPolicy, MessageKind, Register,
    RegisterOptions, Unregister, Yield,
};
use jackfield_wamp::payload::Payload;
use jackfield_wamp::protocol::Reply;
use jackfield_wamp::uri::MatchPolicy;
use jackfield_wamp::value::Dict;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::{
    Bounds, Dealer, Features, Framing, Identity, Outbox, Overflow, PatternAudience, PendingFlushes,
    Publication, Realm, RealmLimits, Session, Transport,
};

/// Small, so that each limit is reached.
const LIMITS: RealmLimits = RealmLimits {
    subscriptions: 4,
    patterns: 2,
    realm_subscriptions: 20,
    topics: 12,
    client_percent: 50,
};

/// The number of sessions that are there at the same time.
const MAX_ALIVE: usize = 8;

const URIS: [&str; 5] = ["a", "a.b", "a.b.c", "a.", "a..c"];
const POLICIES: [MatchPolicy; 3] = [MatchPolicy::Exact, MatchPolicy::Prefix, MatchPolicy::Wildcard];
const INVOKES: [InvocationPolicy; 6] = [
    InvocationPolicy::Single,
    InvocationPolicy::RoundRobin,
    InvocationPolicy::Random,
    InvocationPolicy::First,
    InvocationPolicy::Last,
    InvocationPolicy::LeastLoaded,
];

/// A session: its client, whether it uses WAMP v1, whether it announces features, and what it does until it
/// leaves.
#[derive(Clone, Debug)]
struct Life {
    client: u8,
    is_old: bool,
    is_plain: bool,
    steps: Vec<Step>,
}

/// A request. Numbers choose among what there is.
#[derive(Clone, Debug)]
enum Step {
    Subscribe { uri: usize, policy: usize },
    Unsubscribe { place: usize },
    Publish { uri: usize },
    Register { uri: usize, policy: usize, invoke: usize, forced: bool },
    Unregister { place: usize },
    Call { uri: usize, timeout: bool, parts: bool, keyed: bool },
    GoOn { place: usize, last: bool },
    Answer { place: usize, progress: bool },
    Fail { place: usize, unavailable: bool },
    Cancel { place: usize, kill: bool },
    Wait { milliseconds: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    let (uri, policy, place) = (0..URIS.len(), 0..POLICIES.len(), 0..4_usize);
    prop_oneof![
        3 => (uri.clone(), policy.clone()).prop_map(|(uri, policy)| Step::Subscribe { uri, policy }),
        1 => place.clone().prop_map(|place| Step::Unsubscribe { place }),
        2 => uri.clone().prop_map(|uri| Step::Publish { uri }),
        3 => (uri.clone(), policy, 0..INVOKES.len(), any::<bool>()).prop_map(
            |(uri, policy, invoke, forced)| Step::Register { uri, policy, invoke, forced }
        ),
        1 => place.clone().prop_map(|place| Step::Unregister { place }),
        4 => (uri, any::<[bool; 3]>()).prop_map(|(uri, [timeout, parts, keyed])| Step::Call {
            uri, timeout, parts, keyed,
        }),
        1 => (place.clone(), any::<bool>()).prop_map(|(place, last)| Step::GoOn { place, last }),
        3 => (place.clone(), any::<bool>()).prop_map(|(place, progress)| Step::Answer { place, progress }),
        2 => (place.clone(), any::<bool>())
            .prop_map(|(place, unavailable)| Step::Fail { place, unavailable }),
        1 => (place, any::<bool>()).prop_map(|(place, kill)| Step::Cancel { place, kill }),
        1 => (0..15_u64).prop_map(|milliseconds| Step::Wait { milliseconds }),
    ]
}

fn life() -> impl Strategy<Value = Life> {
    let flags = (0..4_u8, prop::bool::weighted(0.2), prop::bool::weighted(0.2));
    (flags, vec(step(), 0..12)).prop_map(|((client, is_old, is_plain), steps)| Life {
        client,
        is_old,
        is_plain,
        steps,
    })
}

struct NoLink;

impl Transport for NoLink {
    fn flush(&self) {}
    fn interrupt(&self) {}
}

/// A session that is there, with the ids that it has learnt from messages.
struct Alive {
    session: Arc<Session>,
    steps: std::vec::IntoIter<Step>,
    subscriptions: Vec<u64>,
    registrations: Vec<u64>,
    invocations: Vec<u64>,
    calls: Vec<CallId>,
}

struct World {
    realm: Realm,
    dealer: Dealer,
    alive: Vec<Alive>,
    gone: Vec<Weak<Session>>,
    number: u64,
    now: Instant,
}

impl World {
    #[expect(clippy::disallowed_methods, reason = "a moment is needed, and no clock")]
    fn new() -> Self {
        let encode =
            |session: &Session, reply: &Reply<'_>| reply.encode(session.dialect).map(Bytes::from);
        let framing = Framing {
            headroom: 0,
            max_bytes: 1 << 20,
            finish: |_, it| it.into(),
            compress: |_| None,
        };
        Self {
            realm: Realm::new("realm1".to_owned(), framing, LIMITS, &Arc::default()),
            dealer: Dealer::new(encode, 1 << 20, LIMITS),
            alive: Vec::new(),
            gone: Vec::new(),
            number: 0,
            now: Instant::now(),
        }
    }

    fn next_number(&mut self) -> u64 {
        self.number += 1;
        self.number
    }

    fn join(&mut self, life: Life) {
        let id = SessionId::new(self.next_number()).unwrap();
        let address = Ipv4Addr::new(192, 0, 2, life.client);
        let identity = Identity::anonymous(format!("user{id}"), address.into());
        let dialect = if life.is_old { Dialect::V1 } else { Dialect::V2(Codec::Json) };
        let has = !life.is_plain && !life.is_old;
        let features = Features {
            registration_revocation: has,
            call_canceling: has,
            call_timeout: has,
            progressive_call_invocations: has,
            call_reroute: has,
            ..Features::default()
        };
        let bounds = Bounds { bytes: 10_000, frames: 100, overflow: Overflow::DropEvent };
        let outbox = Arc::new(Outbox::new(bounds));
        let session = Session::new(id, identity, dialect, features, outbox, Arc::new(NoLink));
        let session = Arc::new(session);
        self.realm.join(&session);
        self.gone.push(Arc::downgrade(&session));
        self.alive.push(Alive {
            session,
            steps: life.steps.into_iter(),
            subscriptions: Vec::new(),
            registrations: Vec::new(),
            invocations: Vec::new(),
            calls: Vec::new(),
        });
    }

    /// Each session takes a step. One without any left leaves.
    fn turn(&mut self) {
        for place in (0..self.alive.len()).rev() {
            match self.alive[place].steps.next() {
                Some(step) => self.run(place, step),
                None => self.leave(place),
            }
            self.alive.iter_mut().for_each(Alive::read);
        }
    }

    fn leave(&mut self, place: usize) {
        let left = self.alive.swap_remove(place);
        let mut batch = PendingFlushes::default();
        self.dealer.leave(left.session.id, &mut batch);
        self.realm.leave(left.session.id);
    }

    #[expect(clippy::needless_pass_by_value, reason = "a step is done once")]
    fn run(&mut self, place: usize, step: Step) {
        let number = self.next_number();
        let request = RequestId::new(number).unwrap();
        let Self { realm, dealer, alive, now, .. } = self;
        let own = &mut alive[place];
        let session = Arc::clone(&own.session);
        let mut batch = PendingFlushes::default();
        let payload = Payload::from_json("[7]", "").unwrap();
        match step {
            Step::Subscribe { uri, policy } => {
                let acknowledge = |id: SubscriptionId| Some(format!("[33,1,{id}]").into());
                let (uri, policy) = (URIS[uri], POLICIES[policy]);
                let _limited =
                    realm.subscribe(session.id, uri, policy, None, &mut batch, acknowledge);
            }
            Step::Unsubscribe { place } => {
                let Some(id) = take(&mut own.subscriptions, place) else { return };
                let id = SubscriptionId::new(id).unwrap();
                let _gone = realm.unsubscribe(session.id, id, &mut batch, None);
            }
            Step::Publish { uri } => {
                let id = PublicationId::new(number).unwrap();
                let patterns = PatternAudience::Everybody;
                let event = Publication { patterns, ..Publication::new(URIS[uri], id, &payload) };
                realm.publish(&event, &mut batch).unwrap();
            }
            Step::Register { uri, policy, invoke, forced } => {
                let options = RegisterOptions {
                    policy: POLICIES[policy],
                    invoke: INVOKES[invoke],
                    force_reregister: forced,
                    ..RegisterOptions::default()
                };
                let register = Register { request, options, procedure: URIS[uri].to_owned() };
                let _taken = dealer.register(&session, &register, &mut batch);
            }
            Step::Unregister { place } => {
                let Some(id) = take(&mut own.registrations, place) else { return };
                let registration = RegistrationId::new(id).unwrap();
                let unregister = Unregister { request, registration };
                let _gone = dealer.unregister(&session, &unregister, &mut batch);
            }
            Step::Call { uri, timeout, parts, keyed } => {
                let options = CallOptions {
                    timeout: timeout.then_some(10),
                    progress: parts,
                    runmode: keyed.then(|| CallOptions::PARTITION.to_owned()),
                    rkey: keyed.then(|| number.to_string()),
                    ..CallOptions::default()
                };
                let id = match session.dialect {
                    Dialect::V1 => CallId::V1(number.to_string()),
                    Dialect::V2(_) => CallId::V2(request),
                };
                let procedure = URIS[uri].to_owned();
                let call = Call { request: id.clone(), options, procedure, payload };
                let due = timeout.then(|| *now + Duration::from_millis(10));
                let called = dealer.call(&session, &call, |_| true, number, due, &mut batch);
                own.calls.extend(called.is_ok().then_some(id));
            }
            Step::GoOn { place, last } => {
                let Some(id) = own.calls.iter().rev().nth(place).cloned() else { return };
                let options = CallOptions { progress: !last, ..CallOptions::default() };
                let call = Call { request: id, options, procedure: String::new(), payload };
                dealer.go_on(&session, &call, &mut batch);
            }
            Step::Answer { place, progress } => {
                let Some(id) = own.invocations.iter().rev().nth(place) else { return };
                let request = RequestId::new(*id).unwrap();
                let answer = Yield { request, progress, payload };
                dealer.answer(&session, &answer, || *now, &mut batch);
            }
            Step::Fail { place, unavailable } => {
                let Some(id) = own.invocations.iter().rev().nth(place) else { return };
                let uri = if unavailable { "wamp.error.unavailable" } else { "com.sorry" };
                let error = Error {
                    request_type: MessageKind::Invocation,
                    request: RequestId::new(*id).unwrap(),
                    details: Dict::new(),
                    uri: uri.to_owned(),
                    payload,
                };
                dealer.fail(&session, &error, |_, _| true, number, &mut batch);
            }
            Step::Cancel { place, kill } => {
                let Some(CallId::V2(request)) = own.calls.iter().rev().nth(place).cloned() else {
                    return;
                };
                let mode = if kill { CancelMode::Kill } else { CancelMode::Skip };
                dealer.cancel(&session, &Cancel { request, mode }, &mut batch);
            }
            Step::Wait { milliseconds } => {
                *now += Duration::from_millis(milliseconds);
                dealer.expire(*now, &mut batch);
            }
        }
    }
}

impl Alive {
    /// Reads the messages to the session, for their ids.
    fn read(&mut self) {
        let mut told = Vec::new();
        let drained = self.session.outbox().drain(|slices| {
            told.extend(slices.iter().map(|it| String::from_utf8_lossy(it).into_owned()));
            Ok(slices.iter().map(|slice| slice.len()).sum())
        });
        drained.unwrap();
        for message in told {
            let mut parts = message.trim_matches(['[', ']']).split(',');
            let (code, first, second) = (parts.next(), parts.next(), parts.next());
            let id = |text: Option<&str>| text.unwrap().parse().unwrap();
            match code {
                Some("33") => self.subscriptions.push(id(second)),
                Some("65") => self.registrations.push(id(second)),
                Some("68") => self.invocations.push(id(first)),
                _ => {}
            }
        }
    }
}

/// Takes an id, counted from the newest one.
fn take(ids: &mut Vec<u64>, place: usize) -> Option<u64> {
    (place < ids.len()).then(|| ids.remove(ids.len() - 1 - place))
}

proptest! {
    // 10 000 sessions in a case, on average. Blocks of them are removed first to find the smallest failure.
    #![proptest_config(ProptestConfig { cases: 2, max_shrink_iters: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn ten_thousand_random_sessions_leave_nothing_behind(
        blocks in vec(vec(life(), 0..=200), 0..=200),
    ) {
        let mut world = World::new();
        for life in blocks.into_iter().flatten() {
            world.join(life);
            world.turn();
            if world.alive.len() > MAX_ALIVE {
                // It vanishes in the middle of its steps.
                world.leave(0);
            }
        }
        while !world.alive.is_empty() {
            world.turn();
        }
        prop_assert!(world.realm.is_empty());
        prop_assert!(world.dealer.is_empty());
        prop_assert!(world.gone.iter().all(|session| session.strong_count() == 0));
    }
}
