//! Calls whose arguments come in parts.

use super::*;
use crate::dealer::Continued;

const LATE: &str = "[48 with the id of a call that has ended]";

impl Fixture {
    /// Begins a call with more arguments to follow, and returns its id.
    fn begin(&mut self, session: usize, procedure: &str) -> Result<u64, CallError> {
        let options = CallOptions { progress: true, ..CallOptions::default() };
        self.call_with(session, procedure, options)
    }

    fn go_on(&self, session: usize, call: u64, args: &str, progress: bool) -> Continued {
        let call = Call {
            request: CallId::V2(RequestId::new(call).unwrap()),
            options: CallOptions { progress, disclose_me: true, ..CallOptions::default() },
            procedure: "another".to_owned(),
            payload: Payload::from_json(args, "").unwrap(),
        };
        self.dealer.go_on(self.session(session), &call, &mut PendingFlushes::default())
    }
}

#[test]
fn all_parts_go_to_one_callee_with_the_options_of_the_first() {
    let mut fixture = Fixture::new();
    for session in [1, 2] {
        fixture.register(session, "a", shared(InvocationPolicy::RoundRobin)).unwrap();
    }
    let call = fixture.begin(3, "a").unwrap();
    assert_eq!(fixture.go_on(3, call, "[1]", true), Continued::Yes);
    // Another call goes to the other callee meanwhile.
    let other = fixture.call(3, "a").unwrap();
    assert_eq!(fixture.go_on(3, call, "[2]", false), Continued::Yes);
    assert_eq!(fixture.go_on(3, other, "[]", false), Continued::Repeated);
    assert_eq!(fixture.go_on(3, call, "[]", true), Continued::Repeated);
    fixture.check(
        1,
        &[
            "[68,1,1,{\"progress\":true},[7]]",
            "[68,1,1,{\"progress\":true},[1]]",
            "[68,1,1,{},[2]]",
        ],
    );
    fixture.check(2, &["[68,1,1,{},[7]]"]);
    fixture.answer(1, 1, false);
    fixture.check(3, &[&format!("[50,{call},{{}},[\"done\"]]")]);
    // It ended after its last part: the id is free.
    assert_eq!(fixture.go_on(3, call, "[]", false), Continued::No);
    fixture.check_empty();
}

#[test]
fn the_rest_of_an_ended_call_is_discarded() {
    for end in ["answer", "fail", "cancel", "timeout", "leave"] {
        let mut fixture = Fixture::new();
        fixture.offer(1, "a");
        let options = CallOptions { progress: true, timeout: Some(10), ..CallOptions::default() };
        let call = fixture.call_with(2, "a", options).unwrap();
        match end {
            "answer" => fixture.answer(1, 1, false),
            "fail" => fixture.fail_with(1, 1, "wamp.error.unavailable"),
            "cancel" => fixture.cancel(2, call, CancelMode::KillNoWait),
            "timeout" => {
                let due = fixture.dealer.next_due().unwrap();
                fixture.dealer.expire(due, &mut PendingFlushes::default());
            }
            _ => fixture.leave(1),
        }
        fixture.told(1);
        assert_eq!(fixture.told(2).len(), 1, "{end}");
        assert_eq!(fixture.go_on(2, call, "[1]", true), Continued::Yes, "{end}: {LATE}");
        assert_eq!(fixture.go_on(2, call, "[2]", false), Continued::Yes, "{end}: {LATE}");
        assert_eq!(fixture.go_on(2, call, "[2]", false), Continued::No, "{end}");
        assert!(fixture.told(1).is_empty() && fixture.told(2).is_empty(), "{end}");
        fixture.check_empty();
    }
}

#[test]
fn callees_must_take_parts_and_be_interruptible() {
    let mut fixture = Fixture::new();
    fixture.offer(3, "a");
    assert_eq!(fixture.begin(2, "a"), Err(CallError::NoParts));
    let refused = CallId::V2(RequestId::new(900).unwrap());
    fixture.dealer.discard_rest(fixture.session(2), &refused);
    assert_eq!(fixture.go_on(2, 900, "[]", true), Continued::Yes);
    fixture.check(3, &[]);
    fixture.check_empty();
}

#[test]
fn a_caller_that_leaves_interrupts_its_callee() {
    let mut fixture = Fixture::new();
    fixture.offer(1, "a");
    fixture.begin(2, "a").unwrap();
    fixture.told(1);
    fixture.leave(2);
    fixture.check(1, &["[69,1,{\"mode\":\"killnowait\",\"reason\":\"wamp.error.canceled\"}]"]);
    fixture.check_empty();
}

#[test]
fn a_part_that_is_too_large_ends_the_call() {
    let mut fixture = Fixture::new();
    fixture.offer(1, "a");
    let call = fixture.begin(2, "a").unwrap();
    fixture.told(1);
    let large = format!("[\"{}\"]", "x".repeat(1 << 20));
    assert_eq!(fixture.go_on(2, call, &large, true), Continued::Yes);
    assert!(fixture.told(1)[0].starts_with("[69,1,"));
    assert!(fixture.told(2)[0].contains("wamp.error.payload_size_exceeded"));
    assert_eq!(fixture.go_on(2, call, "[]", false), Continued::Yes);
    fixture.check_empty();
}

#[test]
fn interrupted_calls_take_no_further_parts() {
    let mut fixture = Fixture::new();
    fixture.offer(1, "a");
    let call = fixture.begin(2, "a").unwrap();
    fixture.cancel(2, call, CancelMode::Kill);
    fixture.told(1);
    assert_eq!(fixture.go_on(2, call, "[1]", true), Continued::Yes);
    fixture.check(1, &[]);
    fixture.fail(1, 1);
    assert_eq!(fixture.told(2).len(), 1);
    assert_eq!(fixture.go_on(2, call, "[1]", false), Continued::Yes);
    fixture.check_empty();
}

#[test]
fn the_list_of_ended_calls_is_bounded() {
    let mut fixture = Fixture::new();
    fixture.offer(1, "a");
    for invocation in 1..=1_000 {
        fixture.begin(2, "a").unwrap();
        fixture.answer(1, invocation, false);
        fixture.told(1);
        fixture.told(2);
    }
    let ended = |call| fixture.go_on(2, call, "[]", true);
    assert_eq!((ended(2), ended(1_001)), (Continued::No, Continued::Yes));
    fixture.check_empty();
}
