//! Tests of the messages to callers and callees, compared as WAMP v2 in JSON.

use jackfield_wamp::dialect::{Codec, Dialect};
use jackfield_wamp::id::{RegistrationId, RequestId};
use jackfield_wamp::message::{Call, CallOptions, Error, InvocationPolicy, RegisterOptions, Yield};
use jackfield_wamp::payload::Payload;
use jackfield_wamp::uri::MatchPolicy;
use jackfield_wamp::value::Dict;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use super::*;
use crate::Identity;
use crate::outbox::{Bounds, Outbox, Overflow};
use crate::session::{Features, Transport};

mod churn;
mod ended;
mod forced;
mod limits;
mod parts;
mod passthru;
mod remote;
mod reroute;
mod shards;
mod shares;
mod timeouts;

const LIMITS: RealmLimits = RealmLimits {
    subscriptions: 3,
    patterns: 2,
    realm_subscriptions: 8,
    topics: 8,
    client_percent: 100,
};
const V2: Dialect = Dialect::V2(Codec::Json);

/// A moment; tests add to it.
#[expect(clippy::disallowed_methods, reason = "a moment is needed, and no clock")]
fn epoch() -> Instant {
    Instant::now()
}

struct NoLink;

impl Transport for NoLink {
    fn flush(&self) {}
    fn interrupt(&self) {}
}

fn encode(session: &Session, reply: &Reply<'_>) -> Option<Bytes> {
    reply.encode(session.dialect).map(Bytes::from)
}

/// A dealer and sessions 1 to 4: the first two have all features, the third has no optional
/// feature, and the fourth uses WAMP v1.
struct Fixture {
    dealer: Dealer,
    sessions: Vec<Arc<Session>>,
    requests: u64,
    now: Instant,
}

impl Fixture {
    fn new() -> Self {
        Self::numbered(0)
    }

    /// The ids of its sessions begin behind this one.
    fn numbered(first: u64) -> Self {
        let everything = Features {
            subscription_revocation: true,
            registration_revocation: true,
            call_canceling: true,
            call_timeout: true,
            call_reroute: true,
            progressive_call_invocations: true,
            unpacks_calls: true,
            unpacks_results: true,
            publication_trustlevels: true,
            call_trustlevels: true,
        };
        let session = |(id, features, dialect)| {
            let bounds = Bounds { bytes: 10_000, frames: 1_000, overflow: Overflow::DropEvent };
            let identity = Identity::anonymous(format!("user{id}"), Ipv4Addr::LOCALHOST.into());
            let id = SessionId::new(first + id).unwrap();
            let outbox = Arc::new(Outbox::new(bounds));
            Arc::new(Session::new(id, identity, dialect, features, outbox, Arc::new(NoLink)))
        };
        let nothing = Features::default();
        let sessions =
            [(1, everything, V2), (2, everything, V2), (3, nothing, V2), (4, nothing, Dialect::V1)];
        let sessions = sessions.into_iter().map(session).collect();
        Self { dealer: Dealer::new(encode, 1 << 20, LIMITS), sessions, requests: 0, now: epoch() }
    }

    fn session(&self, number: usize) -> &Arc<Session> {
        &self.sessions[number - 1]
    }

    fn request(&mut self) -> RequestId {
        self.requests += 1;
        RequestId::new(self.requests).unwrap()
    }

    /// Registers, and returns the registration's id.
    fn register(
        &mut self,
        session: usize,
        procedure: &str,
        options: RegisterOptions,
    ) -> Result<u64, RegisterError> {
        let request = self.request();
        let register = Register { request, options, procedure: procedure.to_owned() };
        self.dealer.register(self.session(session), &register, &mut PendingFlushes::default())?;
        let told = self.told(session);
        let prefix = format!("[65,{request},");
        let id = told[0].strip_prefix(&prefix).unwrap().trim_end_matches(']').parse().unwrap();
        Ok(id)
    }

    /// Registers a procedure by its exact name, not shared.
    fn offer(&mut self, session: usize, procedure: &str) -> u64 {
        self.register(session, procedure, RegisterOptions::default()).unwrap()
    }

    /// Calls with the argument 7, and returns the call's request id.
    fn call_with(
        &mut self,
        session: usize,
        procedure: &str,
        options: CallOptions,
    ) -> Result<u64, CallError> {
        let request = self.request();
        let id = match self.session(session).dialect {
            Dialect::V1 => CallId::V1(request.to_string()),
            Dialect::V2(_) => CallId::V2(request),
        };
        let payload = Payload::from_json("[7]", "").unwrap();
        let call = Call { request: id, options, procedure: procedure.to_owned(), payload };
        let timeout = call.options.timeout.map(Duration::from_millis);
        let due = timeout.map(|timeout| self.now + timeout);
        let (caller, batch) = (self.session(session), &mut PendingFlushes::default());
        self.dealer.call(caller, &call, |_| true, 5, due, batch)?;
        Ok(request.get())
    }

    fn call(&mut self, session: usize, procedure: &str) -> Result<u64, CallError> {
        self.call_with(session, procedure, CallOptions::default())
    }

    fn answer(&self, session: usize, invocation: u64, progress: bool) {
        let payload = Payload::from_json("[\"done\"]", "").unwrap();
        let request = RequestId::new(invocation).unwrap();
        let answer = Yield { request, progress, payload };
        let now = || self.now;
        self.dealer.answer(self.session(session), &answer, now, &mut PendingFlushes::default());
    }

    fn fail(&self, session: usize, invocation: u64) {
        self.fail_with(session, invocation, "com.sorry");
    }

    fn fail_with(&self, session: usize, invocation: u64, uri: &str) {
        let error = Error {
            request_type: jackfield_wamp::message::MessageKind::Invocation,
            request: RequestId::new(invocation).unwrap(),
            details: Dict::from_iter([("trace", "x")]),
            uri: uri.to_owned(),
            payload: Payload::from_json("[\"no\"]", "").unwrap(),
        };
        let (callee, batch) = (self.session(session), &mut PendingFlushes::default());
        self.dealer.fail(callee, &error, |_, _| true, 5, batch);
    }

    fn cancel(&self, session: usize, call: u64, mode: CancelMode) {
        let cancel = Cancel { request: RequestId::new(call).unwrap(), mode };
        self.dealer.cancel(self.session(session), &cancel, &mut PendingFlushes::default());
    }

    fn unregister(&mut self, session: usize, registration: u64) -> Result<(), UnregisterError> {
        let registration = RegistrationId::new(registration).unwrap();
        let unregister = Unregister { request: self.request(), registration };
        self.dealer.unregister(self.session(session), &unregister, &mut PendingFlushes::default())
    }

    fn leave(&self, session: usize) {
        self.dealer.leave(self.session(session).id, &mut PendingFlushes::default());
    }

    /// Returns the messages to a session since the last call.
    fn told(&self, session: usize) -> Vec<String> {
        let mut told = Vec::new();
        let drained = self.session(session).outbox().drain(|slices| {
            told.extend(slices.iter().map(|it| String::from_utf8_lossy(it).into_owned()));
            Ok(slices.iter().map(|slice| slice.len()).sum())
        });
        drained.unwrap();
        told
    }

    #[track_caller]
    fn check(&self, session: usize, expect: &[&str]) {
        assert_eq!(self.told(session), expect, "session {session}");
    }

    /// Checks that nothing remains after all sessions have left.
    #[track_caller]
    fn check_empty(self) {
        for session in 1..=4 {
            self.leave(session);
        }
        assert!(self.dealer.is_empty());
    }
}

fn shared(invoke: InvocationPolicy) -> RegisterOptions {
    RegisterOptions { invoke, ..RegisterOptions::default() }
}

#[test]
fn routes_a_call_to_its_callee_and_the_result_back() {
    let mut fixture = Fixture::new();
    assert_eq!(fixture.offer(1, "sum"), 1);
    assert_eq!(fixture.call(2, "sum"), Ok(2));
    fixture.check(1, &["[68,1,1,{},[7]]"]);
    assert_eq!(fixture.call(3, "sum"), Ok(3));
    assert_eq!(fixture.call(4, "sum"), Ok(4));
    fixture.check(1, &["[68,2,1,{},[7]]", "[68,3,1,{},[7]]"]);
    // The order of the answers is free.
    fixture.answer(1, 2, false);
    fixture.check(3, &["[50,3,{},[\"done\"]]"]);
    fixture.answer(1, 3, false);
    fixture.check(4, &["[3,\"4\",[\"done\"]]"]);
    fixture.fail(1, 1);
    fixture.check(2, &["[8,48,2,{\"trace\":\"x\"},\"com.sorry\",[\"no\"]]"]);
    // A call is answered once, and only by its own callee.
    fixture.answer(1, 1, false);
    fixture.fail(1, 1);
    assert_eq!(fixture.call(2, "sum"), Ok(5));
    fixture.check(1, &["[68,4,1,{},[7]]"]);
    fixture.answer(2, 4, false);
    fixture.check(2, &[]);
    fixture.fail(1, 4);
    fixture.check(2, &["[8,48,5,{\"trace\":\"x\"},\"com.sorry\",[\"no\"]]"]);
    assert_eq!(fixture.call(2, "nothing"), Err(CallError::NoSuchProcedure));
    fixture.check_empty();
}

#[test]
fn a_procedure_belongs_to_one_session_unless_shared() {
    use InvocationPolicy::{First, Last, Random, RoundRobin, Single};
    let mut fixture = Fixture::new();
    fixture.offer(1, "mine");
    assert_eq!(fixture.register(2, "mine", shared(Single)), Err(RegisterError::Taken));
    assert_eq!(fixture.register(1, "mine", shared(Single)), Err(RegisterError::Again));
    let otherwise = Err(RegisterError::SharedOtherwise(Single));
    assert_eq!(fixture.register(2, "mine", shared(RoundRobin)), otherwise);
    fixture.check_empty();

    // The callees of three calls; the random number is always 5.
    for (invoke, expect) in
        [(First, [1, 1, 1]), (Last, [3, 3, 3]), (Random, [3, 3, 3]), (RoundRobin, [1, 2, 3])]
    {
        let mut fixture = Fixture::new();
        for session in 1..=3 {
            assert_eq!(fixture.register(session, "ours", shared(invoke)), Ok(1));
        }
        for callee in expect {
            fixture.call(4, "ours").unwrap();
            let told = [1, 2, 3].map(|session| fixture.told(session).len());
            let mut only = [0, 0, 0];
            only[callee - 1] = 1;
            assert_eq!(told, only, "{invoke:?}");
        }
        // Callees that have left get no calls.
        fixture.leave(3);
        fixture.leave(1);
        fixture.told(4);
        fixture.call(4, "ours").unwrap();
        assert_eq!(fixture.told(2).len(), 1, "{invoke:?}");
        fixture.check_empty();
    }
}

#[test]
fn calls_the_most_specific_registration() {
    let mut fixture = Fixture::new();
    let policy = |policy| RegisterOptions { policy, ..RegisterOptions::default() };
    let disclosed = RegisterOptions { disclose_caller: true, ..policy(MatchPolicy::Wildcard) };
    fixture.register(1, "a.b", policy(MatchPolicy::Exact)).unwrap();
    fixture.register(1, "a.", policy(MatchPolicy::Prefix)).unwrap();
    fixture.register(1, "..", disclosed).unwrap();
    fixture.call(2, "a.b").unwrap();
    fixture.call(2, "a.b.c").unwrap();
    fixture.call(2, "b.b.c").unwrap();
    let caller = r#""caller":2,"caller_authid":"user2","caller_authrole":"anonymous""#;
    fixture.check(
        1,
        &[
            "[68,1,1,{},[7]]",
            "[68,2,2,{\"procedure\":\"a.b.c\"},[7]]",
            &format!("[68,3,3,{{\"procedure\":\"b.b.c\",{caller}}},[7]]"),
        ],
    );
    let disclose = CallOptions { disclose_me: true, ..CallOptions::default() };
    fixture.call_with(2, "a.b", disclose).unwrap();
    fixture.check(1, &[&format!("[68,4,1,{{{caller}}},[7]]")]);
    // The host may exclude pattern registrations.
    let payload = Payload::empty(Codec::Json);
    let (request, options) = (CallId::V2(fixture.request()), CallOptions::default());
    let mut call = Call { request, options, procedure: "a.b.c".to_owned(), payload };
    let (dealer, caller, mut batch) =
        (&fixture.dealer, fixture.session(2), PendingFlushes::default());
    let refused = dealer.call(caller, &call, |_| false, 0, None, &mut batch);
    assert_eq!(refused, Err(CallError::NoSuchProcedure));
    "a.b".clone_into(&mut call.procedure);
    assert_eq!(dealer.call(caller, &call, |_| false, 0, None, &mut batch), Ok(false));
    assert_eq!(
        dealer.call(caller, &call, |_| false, 0, None, &mut batch),
        Err(CallError::Repeated)
    );
    fixture.check_empty();
}

#[test]
fn calls_patterns_only_where_their_sessions_may_register() {
    let mut fixture = Fixture::new();
    let pattern = |policy| RegisterOptions { policy, ..RegisterOptions::default() };
    fixture.register(1, "a.b", pattern(MatchPolicy::Prefix)).unwrap();
    fixture.register(2, "a", pattern(MatchPolicy::Prefix)).unwrap();
    let payload = Payload::empty(Codec::Json);
    let (request, options) = (CallId::V2(fixture.request()), CallOptions::default());
    let call = Call { request, options, procedure: "a.b".to_owned(), payload };
    let first = fixture.session(1).id;
    let mut batch = PendingFlushes::default();
    // The callee of the longer prefix may not register this procedure: the shorter prefix is used.
    let may_offer = |callee: &Session| callee.id != first;
    fixture.dealer.call(fixture.session(3), &call, may_offer, 0, None, &mut batch).unwrap();
    fixture.check(2, &["[68,1,2,{\"procedure\":\"a.b\"}]"]);
    fixture.check_empty();
}

#[test]
fn bounds_the_pattern_registrations_of_a_session() {
    let mut fixture = Fixture::new();
    let pattern = |policy| RegisterOptions { policy, ..RegisterOptions::default() };
    let first = fixture.register(1, "a", pattern(MatchPolicy::Prefix)).unwrap();
    fixture.register(1, "a", pattern(MatchPolicy::Wildcard)).unwrap();
    let full = Err(RegisterError::TooManyPatterns(2));
    assert_eq!(fixture.register(1, "b", pattern(MatchPolicy::Prefix)), full);
    fixture.unregister(1, first).unwrap();
    fixture.told(1);
    fixture.register(1, "b", pattern(MatchPolicy::Prefix)).unwrap();
    fixture.offer(1, "b");
}

#[test]
fn progressive_results_reach_callers_that_asked_for_them() {
    let mut fixture = Fixture::new();
    fixture.offer(1, "slow");
    fixture.offer(3, "plain");
    let progress = || CallOptions { receive_progress: true, ..CallOptions::default() };
    fixture.call_with(2, "slow", progress()).unwrap();
    fixture.check(1, &["[68,1,1,{\"receive_progress\":true},[7]]"]);
    fixture.answer(1, 1, true);
    fixture.answer(1, 1, true);
    fixture.answer(1, 1, false);
    fixture.answer(1, 1, true);
    let part = "[50,3,{\"progress\":true},[\"done\"]]";
    fixture.check(2, &[part, part, "[50,3,{},[\"done\"]]"]);
    // A caller that did not ask for progressive results gets none.
    fixture.call(2, "slow").unwrap();
    fixture.answer(1, 2, true);
    fixture.check(2, &[]);
    fixture.call_with(2, "plain", progress()).unwrap();
    // A callee may send progressive results without announcing the feature.
    fixture.check(3, &["[68,1,2,{\"receive_progress\":true},[7]]"]);
    fixture.answer(3, 1, true);
    fixture.check(2, &["[50,5,{\"progress\":true},[\"done\"]]"]);
    fixture.check_empty();
}

#[test]
fn a_call_can_be_cancelled() {
    let canceled = |call: u64| {
        let message = "the call was cancelled";
        format!(
            "[8,48,{call},{{\"message\":\"{message}\"}},\"wamp.error.canceled\",[\"{message}\"]]"
        )
    };
    let interrupt = |request: u64, mode: &str| {
        format!("[69,{request},{{\"mode\":\"{mode}\",\"reason\":\"wamp.error.canceled\"}}]")
    };
    for (callee, mode, interrupted, answered_at_once) in [
        (1, CancelMode::Skip, None, true),
        (1, CancelMode::Kill, Some("kill"), false),
        (1, CancelMode::KillNoWait, Some("killnowait"), true),
        // A callee that cannot be interrupted continues, and its answer is ignored.
        (3, CancelMode::Skip, None, true),
        (3, CancelMode::Kill, None, true),
        (3, CancelMode::KillNoWait, None, true),
    ] {
        let mut fixture = Fixture::new();
        fixture.offer(callee, "slow");
        let call = fixture.call(2, "slow").unwrap();
        fixture.told(callee);
        fixture.cancel(2, call, mode);
        fixture.cancel(2, call, mode);
        let told: Vec<String> = interrupted.map(|mode| interrupt(1, mode)).into_iter().collect();
        assert_eq!(fixture.told(callee), told, "{mode:?}");
        let told: Vec<String> = answered_at_once.then(|| canceled(call)).into_iter().collect();
        assert_eq!(fixture.told(2), told, "{mode:?}");
        fixture.fail(callee, 1);
        let late = usize::from(!answered_at_once);
        assert_eq!(fixture.told(2).len(), late, "{mode:?}");
        // A session cannot cancel the calls of others, nor a call that has ended.
        fixture.cancel(1, call, mode);
        fixture.cancel(2, call, mode);
        assert!(fixture.told(2).is_empty() && fixture.told(callee).is_empty());
        fixture.check_empty();
    }
}

#[test]
fn calls_of_a_session_that_leaves_end_with_an_error() {
    let mut fixture = Fixture::new();
    fixture.offer(1, "one");
    fixture.offer(2, "two");
    fixture.call(3, "one").unwrap();
    fixture.call(4, "one").unwrap();
    fixture.call(1, "one").unwrap();
    fixture.call(1, "two").unwrap();
    fixture.told(1);
    fixture.told(2);
    fixture.leave(1);
    let message = "the callee has left";
    let uri = "wamp.error.canceled";
    fixture
        .check(3, &[&format!("[8,48,3,{{\"message\":\"{message}\"}},\"{uri}\",[\"{message}\"]]")]);
    fixture.check(4, &[&format!("[4,\"4\",\"{uri}\",\"{message}\",{{\"code\":500}}]")]);
    fixture.check(2, &["[69,1,{\"mode\":\"killnowait\",\"reason\":\"wamp.error.canceled\"}]"]);
    // The answer is too late.
    fixture.answer(2, 1, false);
    assert_eq!(fixture.call(3, "one"), Err(CallError::NoSuchProcedure));
    fixture.check_empty();
}
