//! Calls that go to another callee, and the choice among callees by their load.

use std::num::NonZeroU32;

use super::*;

const UNAVAILABLE: &str = "wamp.error.unavailable";

/// Returns the sessions among 1 to 4 that got an INVOCATION since the last call, with its id.
fn invoked(fixture: &Fixture) -> Vec<(usize, u64)> {
    let first = |session| {
        let told: Vec<String> = fixture.told(session);
        told.into_iter().filter_map(move |it| {
            let id = it.strip_prefix("[68,")?.split(',').next()?.parse().ok()?;
            Some((session, id))
        })
    };
    (1..=4).flat_map(first).collect()
}

#[track_caller]
fn check_order(invoke: InvocationPolicy, expect: &[usize]) {
    let mut fixture = Fixture::new();
    for session in [1, 2, 3] {
        fixture.register(session, "a", shared(invoke)).unwrap();
    }
    fixture.call(4, "a").unwrap();
    let mut order = Vec::new();
    while let Some((session, id)) = invoked(&fixture).first().copied() {
        order.push(session);
        fixture.fail_with(session, id, UNAVAILABLE);
    }
    assert_eq!(order, expect, "{invoke:?}");
    assert!(fixture.told(4).is_empty(), "version 1 was answered above");
    fixture.check_empty();
}

#[test]
fn unavailable_callees_pass_the_call_on_by_policy() {
    check_order(InvocationPolicy::First, &[1, 2, 3]);
    check_order(InvocationPolicy::Last, &[3, 2, 1]);
    check_order(InvocationPolicy::RoundRobin, &[1, 2, 3]);
    check_order(InvocationPolicy::LeastLoaded, &[1, 2, 3]);
    check_order(InvocationPolicy::Random, &[3, 2, 1]);
}

#[test]
fn the_next_callee_answers_the_same_call() {
    let mut fixture = Fixture::new();
    fixture.register(1, "a", shared(InvocationPolicy::First)).unwrap();
    fixture.register(2, "a", shared(InvocationPolicy::First)).unwrap();
    let call = fixture.call(3, "a").unwrap();
    fixture.check(1, &["[68,1,1,{},[7]]"]);
    fixture.fail_with(1, 1, UNAVAILABLE);
    fixture.check(2, &["[68,1,1,{},[7]]"]);
    // The first callee has lost the call.
    fixture.answer(1, 1, false);
    fixture.check(3, &[]);
    fixture.answer(2, 1, false);
    fixture.check(3, &[&format!("[50,{call},{{}},[\"done\"]]")]);
    fixture.check_empty();
}

#[test]
fn without_another_callee_the_call_fails() {
    let mut fixture = Fixture::new();
    fixture.offer(1, "a");
    fixture.offer(3, "b");
    let (first, second) = (fixture.call(2, "a").unwrap(), fixture.call(2, "b").unwrap());
    fixture.fail_with(1, 1, UNAVAILABLE);
    let text = "every callee of the procedure is unavailable";
    let expect = format!(
        "[8,48,{first},{{\"message\":\"{text}\"}},\"wamp.error.no_available_callee\",[\"{text}\"]]"
    );
    fixture.check(2, &[&expect]);
    // A callee that does not announce re-routing means its own caller.
    fixture.fail_with(3, 1, UNAVAILABLE);
    fixture.check(2, &[&format!("[8,48,{second},{{\"trace\":\"x\"}},\"{UNAVAILABLE}\",[\"no\"]]")]);
    fixture.check_empty();
}

#[test]
fn a_call_that_has_begun_is_not_passed_on() {
    let mut fixture = Fixture::new();
    for session in [3, 1] {
        fixture.register(session, "a", shared(InvocationPolicy::First)).unwrap();
    }
    let options = CallOptions { receive_progress: true, ..CallOptions::default() };
    fixture.call_with(2, "a", options).unwrap();
    fixture.answer(3, 1, true);
    fixture.fail_with(3, 1, UNAVAILABLE);
    fixture.check(1, &[]);
    assert_eq!(fixture.told(2).len(), 2);
    // Neither is one that was interrupted.
    fixture.leave(3);
    fixture.register(2, "a", shared(InvocationPolicy::First)).unwrap();
    let call = fixture.call(2, "a").unwrap();
    fixture.cancel(2, call, CancelMode::Kill);
    fixture.fail_with(1, 1, UNAVAILABLE);
    assert_eq!(fixture.told(2).len(), 1);
    fixture.check_empty();
}

#[test]
fn a_timeout_covers_all_callees() {
    let mut fixture = Fixture::new();
    let forwards = RegisterOptions { forward_timeout: true, ..shared(InvocationPolicy::First) };
    fixture.register(1, "a", forwards).unwrap();
    fixture.register(2, "a", shared(InvocationPolicy::First)).unwrap();
    let options = CallOptions { timeout: Some(100), ..CallOptions::default() };
    fixture.call_with(3, "a", options).unwrap();
    assert_eq!(fixture.dealer.next_due(), None);
    fixture.fail_with(1, 1, UNAVAILABLE);
    let due = fixture.now + Duration::from_millis(100);
    assert_eq!(fixture.dealer.next_due(), Some(due));
    assert_eq!(fixture.dealer.expire(due, &mut PendingFlushes::default()), 1);
    fixture.check_empty();
}

#[test]
fn large_arguments_are_kept_within_their_bound() {
    let mut fixture = Fixture::new();
    for session in [1, 3] {
        fixture.register(session, "a", shared(InvocationPolicy::First)).unwrap();
    }
    let json = format!("[\"{}\"]", "x".repeat(600_000));
    let payload = Payload::from_json(&json, "").unwrap();
    for request in 0..40 {
        let request = CallId::V2(RequestId::new(100 + request).unwrap());
        let procedure = "a".to_owned();
        let call =
            Call { request, options: CallOptions::default(), procedure, payload: payload.clone() };
        let (caller, batch) = (fixture.session(2), &mut PendingFlushes::default());
        fixture.dealer.call(caller, &call, |_| true, 5, None, batch).unwrap();
        assert!(fixture.dealer.lock().kept_bytes <= 16 << 20);
    }
    let is_kept = |call: &OutboundCall| call.kept.is_some();
    let kept = fixture.dealer.lock().sessions[&fixture.session(2).id]
        .waiting
        .values()
        .filter(|call| is_kept(call))
        .count();
    assert_eq!(kept, 27);
    fixture.check_empty();
}

#[test]
fn busy_callees_get_no_further_call() {
    let mut fixture = Fixture::new();
    let limited = |concurrency| RegisterOptions {
        concurrency: NonZeroU32::new(concurrency),
        ..shared(InvocationPolicy::First)
    };
    fixture.register(1, "a", limited(1)).unwrap();
    fixture.register(2, "a", limited(2)).unwrap();
    for _ in 0..3 {
        fixture.call(3, "a").unwrap();
    }
    assert_eq!(invoked(&fixture), [(1, 1), (2, 1), (2, 2)]);
    assert_eq!(fixture.call(3, "a"), Err(CallError::Concurrency(1)));
    fixture.answer(2, 1, false);
    fixture.call(3, "a").unwrap();
    assert_eq!(invoked(&fixture), [(2, 3)]);
    // A callee that leaves and returns begins anew.
    fixture.leave(1);
    fixture.register(1, "a", limited(1)).unwrap();
    fixture.call(3, "a").unwrap();
    assert_eq!(invoked(&fixture), [(1, 1)]);
    fixture.check_empty();
}

#[test]
fn the_least_loaded_callee_gets_the_call() {
    let mut fixture = Fixture::new();
    for session in [1, 2, 3] {
        fixture.register(session, "a", shared(InvocationPolicy::LeastLoaded)).unwrap();
    }
    for _ in 0..6 {
        fixture.call(3, "a").unwrap();
    }
    assert_eq!(invoked(&fixture), [(1, 1), (1, 2), (2, 1), (2, 2), (3, 1), (3, 2)]);
    fixture.answer(2, 1, false);
    fixture.call(3, "a").unwrap();
    assert_eq!(invoked(&fixture), [(2, 3)]);
    fixture.check_empty();
}
