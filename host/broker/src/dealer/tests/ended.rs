//! Tests of registrations that end: by UNREGISTER of the callee, or revoked by the host.

use super::*;

#[test]
fn an_unregistered_procedure_is_called_no_more() {
    let mut fixture = Fixture::new();
    let id = fixture.offer(1, "sum");
    fixture.call(2, "sum").unwrap();
    assert_eq!(fixture.unregister(2, id), Err(UnregisterError));
    assert_eq!(fixture.unregister(1, id), Ok(()));
    assert_eq!(fixture.unregister(1, id), Err(UnregisterError));
    fixture.check(1, &["[68,1,1,{},[7]]", "[67,4]"]);
    assert_eq!(fixture.call(2, "sum"), Err(CallError::NoSuchProcedure));
    fixture.answer(1, 1, false);
    fixture.check(2, &["[50,2,{},[\"done\"]]"]);
    fixture.check_empty();
}

#[test]
fn the_host_can_revoke_registrations() {
    let mut fixture = Fixture::new();
    let gone = fixture.register(1, "gone", shared(InvocationPolicy::First)).unwrap();
    fixture.register(3, "gone", shared(InvocationPolicy::First)).unwrap();
    fixture.offer(1, "kept");
    let keep = |procedure: &str, _: MatchPolicy, _: &Session| procedure == "kept";
    fixture.dealer.revoke(keep, "com.revoked", &mut PendingFlushes::default());
    fixture.check(1, &[&format!("[67,0,{{\"registration\":{gone},\"reason\":\"com.revoked\"}}]")]);
    // A callee without the feature gets no message.
    fixture.check(3, &[]);
    assert_eq!(fixture.call(2, "gone"), Err(CallError::NoSuchProcedure));
    assert_eq!(fixture.unregister(1, gone), Err(UnregisterError));
    fixture.call(2, "kept").unwrap();
    fixture.check_empty();
}

#[test]
fn the_host_can_revoke_one_of_several_shared_registrations() {
    let mut fixture = Fixture::new();
    let both = fixture.register(1, "both", shared(InvocationPolicy::First)).unwrap();
    fixture.register(2, "both", shared(InvocationPolicy::First)).unwrap();
    fixture.call(3, "both").unwrap();
    fixture.told(1);
    let first = fixture.session(1).id;
    let keep = |_: &str, _: MatchPolicy, callee: &Session| callee.id != first;
    fixture.dealer.revoke(keep, "com.revoked", &mut PendingFlushes::default());
    fixture.check(1, &[&format!("[67,0,{{\"registration\":{both},\"reason\":\"com.revoked\"}}]")]);
    assert_eq!(fixture.unregister(1, both), Err(UnregisterError));
    // A call that is already pending may be answered; the next call goes to the other callee.
    fixture.answer(1, 1, false);
    assert_eq!(fixture.told(3).len(), 1);
    fixture.call(3, "both").unwrap();
    assert_eq!(fixture.told(2).len(), 1);
    fixture.answer(2, 1, false);
    assert_eq!(fixture.told(3).len(), 1);
    fixture.check_empty();
}

#[test]
fn bounds_the_registrations_of_all_sessions() {
    let mut fixture = Fixture::new();
    let first = fixture.offer(1, "a");
    for (session, procedure) in
        [(1, "b"), (1, "c"), (2, "d"), (2, "e"), (2, "f"), (3, "g"), (3, "h")]
    {
        fixture.offer(session, procedure);
    }
    let more = fixture.register(3, "i", RegisterOptions::default());
    let expected = "maximum registrations of the realm reached (limits.realm_subscriptions = 8)";
    assert_eq!(more.unwrap_err().to_string(), expected);
    fixture.unregister(1, first).unwrap();
    fixture.told(1);
    fixture.offer(3, "i");
    fixture.check_empty();
}

/// A session that calls itself is both caller and callee.
#[test]
fn counts_no_call_that_has_ended() {
    let mut fixture = Fixture::new();
    fixture.offer(1, "own");
    fixture.offer(2, "other");
    for caller in [1, 2, 3, 4] {
        fixture.call(caller, "own").unwrap();
        fixture.call(caller, "other").unwrap();
    }
    assert_eq!(fixture.dealer.lock().calls.used(), 8);
    fixture.answer(1, 1, false);
    fixture.fail(2, 1);
    assert_eq!(fixture.dealer.lock().calls.used(), 6);
    fixture.leave(3);
    assert_eq!(fixture.dealer.lock().calls.used(), 4);
    fixture.check_empty();
}
