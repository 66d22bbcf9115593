//! Sessions that come, register, call, answer, cancel and leave in any order: nothing of them stays,
//! and each call is answered at most once.

use std::collections::HashMap;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    Register { session: usize, procedure: usize, shared: bool, limited: bool },
    Call { session: usize, procedure: usize, timeout: bool, parts: bool },
    GoOn { session: usize, call: usize, last: bool },
    Answer { session: usize, call: u64, progress: bool },
    Fail { session: usize, call: u64, unavailable: bool },
    Cancel { session: usize, call: usize, kill: bool },
    Wait { milliseconds: u64 },
    Leave { session: usize },
}

fn step() -> impl Strategy<Value = Step> {
    let session = 1..4_usize;
    prop_oneof![
        3 => (session.clone(), 0..2_usize, any::<bool>(), any::<bool>()).prop_map(
            |(session, procedure, shared, limited)| Step::Register {
                session, procedure, shared, limited,
            }
        ),
        6 => (session.clone(), 0..2_usize, any::<bool>(), any::<bool>()).prop_map(
            |(session, procedure, timeout, parts)| Step::Call {
                session, procedure, timeout, parts,
            }
        ),
        2 => (session.clone(), 0..6_usize, any::<bool>())
            .prop_map(|(session, call, last)| Step::GoOn { session, call, last }),
        4 => (session.clone(), 1..8_u64, any::<bool>())
            .prop_map(|(session, call, progress)| Step::Answer { session, call, progress }),
        4 => (session.clone(), 1..8_u64, any::<bool>())
            .prop_map(|(session, call, unavailable)| Step::Fail { session, call, unavailable }),
        2 => (session.clone(), 0..6_usize, any::<bool>())
            .prop_map(|(session, call, kill)| Step::Cancel { session, call, kill }),
        2 => (0..15_u64).prop_map(|milliseconds| Step::Wait { milliseconds }),
        2 => session.prop_map(|session| Step::Leave { session }),
    ]
}

/// The calls that were accepted, with their answers.
#[derive(Default)]
struct Model {
    calls: Vec<(usize, u64)>,
    answers: HashMap<(usize, u64), usize>,
}

impl Model {
    fn run(&mut self, fixture: &mut Fixture, step: &Step) {
        let procedure = |number: usize| ["a", "b"][number];
        match *step {
            Step::Register { session, procedure: number, shared: is_shared, limited } => {
                let invoke =
                    if is_shared { InvocationPolicy::RoundRobin } else { InvocationPolicy::Single };
                let concurrency = limited.then_some(std::num::NonZeroU32::MIN);
                let request = fixture.request();
                let options = RegisterOptions { concurrency, ..shared(invoke) };
                let procedure = procedure(number).to_owned();
                let register = Register { request, options, procedure };
                let (callee, batch) = (fixture.session(session), &mut PendingFlushes::default());
                let _taken = fixture.dealer.register(callee, &register, batch);
            }
            Step::Call { session, procedure: number, timeout, parts } => {
                let timeout = timeout.then_some(10);
                let options = CallOptions { timeout, progress: parts, ..CallOptions::default() };
                if let Ok(call) = fixture.call_with(session, procedure(number), options) {
                    self.calls.push((session, call));
                }
            }
            Step::GoOn { session, call, last } => {
                if let Some((_, call)) = self.call(session, call) {
                    let options = CallOptions { progress: !last, ..CallOptions::default() };
                    let request = CallId::V2(RequestId::new(call).unwrap());
                    let payload = Payload::from_json("[7]", "").unwrap();
                    let call = Call { request, options, procedure: String::new(), payload };
                    let (caller, batch) =
                        (fixture.session(session), &mut PendingFlushes::default());
                    fixture.dealer.go_on(caller, &call, batch);
                }
            }
            Step::Answer { session, call, progress } => fixture.answer(session, call, progress),
            Step::Fail { session, call, unavailable } => {
                let uri = if unavailable { "wamp.error.unavailable" } else { "com.sorry" };
                fixture.fail_with(session, call, uri);
            }
            Step::Cancel { session, call, kill } => {
                let mode = if kill { CancelMode::Kill } else { CancelMode::KillNoWait };
                if let Some((_, call)) = self.call(session, call) {
                    fixture.cancel(session, call, mode);
                }
            }
            Step::Wait { milliseconds } => {
                fixture.now += Duration::from_millis(milliseconds);
                fixture.dealer.expire(fixture.now, &mut PendingFlushes::default());
            }
            Step::Leave { session } => {
                self.read(fixture);
                fixture.leave(session);
                fixture.told(session);
                self.calls.retain(|(caller, _)| *caller != session);
            }
        }
        self.read(fixture);
    }

    /// Returns one of the session's calls, counted from the newest.
    fn call(&self, session: usize, place: usize) -> Option<(usize, u64)> {
        self.calls.iter().rev().filter(|(caller, _)| *caller == session).nth(place).copied()
    }

    fn read(&mut self, fixture: &Fixture) {
        for session in 1..=3 {
            for message in fixture.told(session) {
                let answered = ["[50,", "[8,48,"].iter().find_map(|it| message.strip_prefix(it));
                let id = answered.and_then(|rest| rest.split(',').next()?.parse().ok());
                if let Some(id) = id {
                    *self.answers.entry((session, id)).or_default() += 1;
                }
            }
        }
    }
}

proptest! {
    #[test]
    fn nothing_stays_of_sessions_that_have_left(steps in vec(step(), 0..120)) {
        let (mut fixture, mut model) = (Fixture::new(), Model::default());
        for step in &steps {
            model.run(&mut fixture, step);
            for (call, count) in &model.answers {
                prop_assert!(*count <= 1, "{call:?} was answered {count} times");
            }
            let state = fixture.dealer.lock();
            let handled: usize = state.sessions.values().map(|it| it.handling.len()).sum();
            let waiting: usize = state.sessions.values().map(|it| it.waiting.len()).sum();
            prop_assert_eq!(handled, waiting);
            prop_assert_eq!(state.calls.used(), waiting);
        }
        // Every call of a session that is still there has an answer, or is pending.
        for call in &model.calls {
            let id = CallId::V2(RequestId::new(call.1).unwrap());
            let is_open = fixture.dealer.is_open(fixture.session(call.0).id, &id);
            prop_assert_eq!(is_open, !model.answers.contains_key(call), "{:?}", call);
        }
        fixture.check_empty();
    }
}

#[test]
fn ten_thousand_sessions_leave_nothing_behind() {
    let mut fixture = Fixture::new();
    for round in 0..10_000_u64 {
        fixture.offer(1, "a");
        let timeout = (round % 3 == 0).then_some(1_000);
        let options = CallOptions { timeout, progress: round % 2 == 0, ..CallOptions::default() };
        fixture.call_with(2, "a", options).unwrap();
        match round % 4 {
            0 => fixture.answer(1, 1, false),
            1 => fixture.leave(2),
            _ => {}
        }
        for session in [2, 1] {
            fixture.leave(session);
            fixture.told(session);
        }
    }
    fixture.check_empty();
}
