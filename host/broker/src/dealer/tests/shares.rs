//! Tests of the shares of clients: a client at its share leaves room for others, and ended calls
//! and registrations are not counted.

use proptest::prelude::*;

use super::*;

/// Sessions 1 and 2 of one client, 3 and 4 of another, in a realm with few registrations.
fn fixture(client_percent: u32) -> Fixture {
    let mut fixture = Fixture::new();
    let limits = RealmLimits { subscriptions: 5, realm_subscriptions: 8, client_percent, ..LIMITS };
    fixture.dealer = Dealer::new(encode, 1 << 20, limits);
    for (number, session) in fixture.sessions.iter_mut().enumerate() {
        let Session { id, dialect, features, .. } = **session;
        let address = if number < 2 { Ipv4Addr::new(192, 0, 2, 1) } else { Ipv4Addr::LOCALHOST };
        let identity = Identity::anonymous(format!("user{id}"), address.into());
        let bounds = Bounds { bytes: 10_000, frames: 1_000, overflow: Overflow::DropEvent };
        let outbox = Arc::new(Outbox::new(bounds));
        *session =
            Arc::new(Session::new(id, identity, dialect, features, outbox, Arc::new(NoLink)));
    }
    fixture
}

#[test]
fn leaves_registrations_to_other_clients() {
    let mut fixture = fixture(50);
    for (session, procedure) in [(1, "a"), (1, "b"), (2, "c"), (2, "d")] {
        fixture.offer(session, procedure);
    }
    for session in [1, 2] {
        match fixture.register(session, "e", RegisterOptions::default()).unwrap_err() {
            RegisterError::Quota(error) => assert!(error.is_of_client(), "{error}"),
            other => panic!("{other}"),
        }
    }
    fixture.offer(3, "e");
    fixture.leave(2);
    fixture.offer(1, "c");
    fixture.check_empty();
}

#[test]
fn leaves_calls_of_a_callee_to_other_clients() {
    // A share of 200 calls to a callee, less than the limit of one session.
    let mut fixture = fixture(2);
    fixture.register(3, "slow", RegisterOptions::default()).unwrap();
    for _ in 0..200 {
        fixture.call(1, "slow").unwrap();
        fixture.told(3);
    }
    match fixture.call(2, "slow").unwrap_err() {
        CallError::Quota(error) => {
            let expected = "maximum pending calls of the callee for one client reached (200, this \
                            client's share; limits.client_percent = 2)";
            assert_eq!(error.to_string(), expected);
        }
        other => panic!("{other}"),
    }
    // Other clients are served, in both protocol versions, and so is this one after an answer.
    for session in [3, 4] {
        fixture.call(session, "slow").unwrap();
        fixture.told(3);
    }
    fixture.answer(3, 1, false);
    fixture.call(2, "slow").unwrap();
    fixture.check_empty();
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Register { session: usize, procedure: usize, policy: MatchPolicy, shared: bool },
    Unregister { session: usize, registration: u64 },
    Call { session: usize, procedure: usize },
    Answer { session: usize, invocation: u64 },
    Fail { session: usize, invocation: u64 },
    Cancel { session: usize, call: u64, mode: CancelMode },
    Leave { session: usize },
    Revoke { procedure: usize },
}

const PROCEDURES: [&str; 3] = ["a.b", "a.", "c"];

fn step() -> impl Strategy<Value = Step> {
    let policy =
        prop::sample::select(vec![MatchPolicy::Exact, MatchPolicy::Prefix, MatchPolicy::Wildcard]);
    let mode =
        prop::sample::select(vec![CancelMode::Skip, CancelMode::Kill, CancelMode::KillNoWait]);
    let procedure = || 0..PROCEDURES.len();
    prop_oneof![
        // Session 4 uses WAMP v1, which cannot register.
        3 => (1..4_usize, procedure(), policy, any::<bool>()).prop_map(
            |(session, procedure, policy, shared)| Step::Register {
                session,
                procedure,
                policy,
                shared
            }
        ),
        1 => (1..5_usize, 1..9_u64)
            .prop_map(|(session, registration)| Step::Unregister { session, registration }),
        6 => (1..5_usize, procedure())
            .prop_map(|(session, procedure)| Step::Call { session, procedure }),
        2 => (1..5_usize, 1..9_u64)
            .prop_map(|(session, invocation)| Step::Answer { session, invocation }),
        1 => (1..5_usize, 1..9_u64)
            .prop_map(|(session, invocation)| Step::Fail { session, invocation }),
        1 => (1..5_usize, 1..40_u64, mode)
            .prop_map(|(session, call, mode)| Step::Cancel { session, call, mode }),
        1 => (1..5_usize).prop_map(|session| Step::Leave { session }),
        1 => procedure().prop_map(|procedure| Step::Revoke { procedure }),
    ]
}

proptest! {
    /// No call or registration is counted after its end, however it ends.
    #[test]
    fn counts_nothing_that_has_ended(steps in prop::collection::vec(step(), 0..60)) {
        let mut fixture = fixture(50);
        for step in steps {
            match step {
                Step::Register { session, procedure, policy, shared: is_shared } => {
                    let invoke =
                        if is_shared { InvocationPolicy::RoundRobin } else { InvocationPolicy::Single };
                    let options = RegisterOptions { policy, ..shared(invoke) };
                    fixture.told(session);
                    let _refused = fixture.register(session, PROCEDURES[procedure], options);
                }
                Step::Unregister { session, registration } => {
                    let _unknown = fixture.unregister(session, registration);
                }
                Step::Call { session, procedure } => {
                    let _refused = fixture.call(session, PROCEDURES[procedure]);
                }
                Step::Answer { session, invocation } => fixture.answer(session, invocation, false),
                Step::Fail { session, invocation } => fixture.fail(session, invocation),
                Step::Cancel { session, call, mode } => fixture.cancel(session, call, mode),
                Step::Leave { session } => fixture.leave(session),
                Step::Revoke { procedure } => fixture.dealer.revoke(
                    |name, _, _| name != PROCEDURES[procedure],
                    "gone",
                    &mut PendingFlushes::default(),
                ),
            }
            let state = fixture.dealer.lock();
            let open: usize = state.sessions.values().map(|it| it.handling.len()).sum();
            let held: usize = state.sessions.values().map(|it| it.registered.len()).sum();
            prop_assert_eq!((state.calls.used(), state.registered.used()), (open, held));
        }
        fixture.check_empty();
    }
}
