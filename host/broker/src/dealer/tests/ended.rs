//! Registrations that end: given up by their callee, or taken away by the host.

use super::*;

#[test]
fn an_unregistered_procedure_is_called_no_more() {
    let mut bench = Bench::new();
    let id = bench.offer(1, "sum");
    bench.call(2, "sum").unwrap();
    assert_eq!(bench.unregister(2, id), Err(UnregisterError));
    assert_eq!(bench.unregister(1, id), Ok(()));
    assert_eq!(bench.unregister(1, id), Err(UnregisterError));
    bench.check(1, &["[68,1,1,{},[7]]", "[67,4]"]);
    assert_eq!(bench.call(2, "sum"), Err(CallError::NoSuchProcedure));
    bench.answer(1, 1, false);
    bench.check(2, &["[50,2,{},[\"done\"]]"]);
    bench.check_empty();
}

#[test]
fn the_host_can_revoke_registrations() {
    let mut bench = Bench::new();
    let gone = bench.register(1, "gone", shared(InvocationPolicy::First)).unwrap();
    bench.register(3, "gone", shared(InvocationPolicy::First)).unwrap();
    bench.offer(1, "kept");
    let keep = |procedure: &str, _: &Session| procedure == "kept";
    bench.dealer.revoke(keep, "com.revoked", &mut PendingFlushes::default());
    bench.check(1, &[&format!("[67,0,{{\"registration\":{gone},\"reason\":\"com.revoked\"}}]")]);
    // Who does not know of it is not told.
    bench.check(3, &[]);
    assert_eq!(bench.call(2, "gone"), Err(CallError::NoSuchProcedure));
    assert_eq!(bench.unregister(1, gone), Err(UnregisterError));
    bench.call(2, "kept").unwrap();
    bench.check_empty();
}

#[test]
fn the_host_can_revoke_one_of_several_shared_registrations() {
    let mut bench = Bench::new();
    let both = bench.register(1, "both", shared(InvocationPolicy::First)).unwrap();
    bench.register(2, "both", shared(InvocationPolicy::First)).unwrap();
    bench.call(3, "both").unwrap();
    bench.told(1);
    let first = bench.session(1).id;
    let keep = |_: &str, callee: &Session| callee.id != first;
    bench.dealer.revoke(keep, "com.revoked", &mut PendingFlushes::default());
    bench.check(1, &[&format!("[67,0,{{\"registration\":{both},\"reason\":\"com.revoked\"}}]")]);
    assert_eq!(bench.unregister(1, both), Err(UnregisterError));
    // What it was called for before it may answer; the next call is the other's.
    bench.answer(1, 1, false);
    assert_eq!(bench.told(3).len(), 1);
    bench.call(3, "both").unwrap();
    assert_eq!(bench.told(2).len(), 1);
    bench.answer(2, 1, false);
    assert_eq!(bench.told(3).len(), 1);
    bench.check_empty();
}

#[test]
fn bounds_the_registrations_of_all_sessions() {
    let mut bench = Bench::new();
    let first = bench.offer(1, "a");
    for (session, procedure) in
        [(1, "b"), (1, "c"), (2, "d"), (2, "e"), (2, "f"), (3, "g"), (3, "h")]
    {
        bench.offer(session, procedure);
    }
    let more = bench.register(3, "i", RegisterOptions::default());
    let expected = "maximum registrations of the realm reached (limits.realm_subscriptions = 8)";
    assert_eq!(more.unwrap_err().to_string(), expected);
    bench.unregister(1, first).unwrap();
    bench.told(1);
    bench.offer(3, "i");
    bench.check_empty();
}

/// A session that calls itself is both parties of the call.
#[test]
fn counts_no_call_that_has_ended() {
    let mut bench = Bench::new();
    bench.offer(1, "own");
    bench.offer(2, "other");
    for caller in [1, 2, 3, 4] {
        bench.call(caller, "own").unwrap();
        bench.call(caller, "other").unwrap();
    }
    assert_eq!(bench.dealer.lock().calls.used(), 8);
    bench.answer(1, 1, false);
    bench.fail(2, 1);
    assert_eq!(bench.dealer.lock().calls.used(), 6);
    bench.leave(3);
    assert_eq!(bench.dealer.lock().calls.used(), 4);
    bench.check_empty();
}
