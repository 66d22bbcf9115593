//! Calls whose resource key chooses the callee.

use std::num::NonZeroU32;

use super::*;

/// The number of resource keys of a test.
const KEYS: usize = 300;

fn partition(rkey: &str) -> CallOptions {
    let (runmode, rkey) = (Some(CallOptions::PARTITION.to_owned()), Some(rkey.to_owned()));
    CallOptions { runmode, rkey, ..CallOptions::default() }
}

fn keyed(nkey: &str) -> RegisterOptions {
    RegisterOptions { nkey: Some(nkey.to_owned()), ..shared(InvocationPolicy::RoundRobin) }
}

/// Calls with a key, and returns the callee, which answers.
fn callee_of(fixture: &mut Fixture, key: usize) -> usize {
    fixture.call_with(4, "a", partition(&format!("key {key}"))).unwrap();
    let callee = answer_invoked(fixture);
    fixture.told(4);
    callee
}

/// Answers the only invocation at the sessions 1 to 3, and returns its session.
fn answer_invoked(fixture: &Fixture) -> usize {
    let mut invoked = Vec::new();
    for session in 1..=3 {
        for message in fixture.told(session) {
            let Some(rest) = message.strip_prefix("[68,") else { continue };
            let id = rest.split(',').next().unwrap().parse().unwrap();
            fixture.answer(session, id, false);
            invoked.push(session);
        }
    }
    assert_eq!(invoked.len(), 1, "{invoked:?}");
    invoked[0]
}

fn callees(fixture: &mut Fixture) -> Vec<usize> {
    (0..KEYS).map(|key| callee_of(fixture, key)).collect()
}

#[test]
fn a_callee_that_leaves_or_joins_moves_its_own_keys_alone() {
    let mut fixture = Fixture::new();
    for session in [1, 2, 3] {
        fixture.register(session, "a", keyed(&format!("node{session}"))).unwrap();
    }
    let all = callees(&mut fixture);
    for session in [1, 2, 3] {
        let share = all.iter().filter(|callee| **callee == session).count();
        assert!((KEYS / 6..KEYS / 2).contains(&share), "session {session} has {share} keys");
    }
    assert_eq!(callees(&mut fixture), all, "the policy has no say");
    fixture.leave(2);
    let two = callees(&mut fixture);
    for (before, after) in all.iter().zip(&two) {
        assert!(*after != 2 && (*before == 2 || before == after), "{before} {after}");
    }
    // Also the order of the registrations has none.
    fixture.register(2, "a", keyed("node2")).unwrap();
    assert_eq!(callees(&mut fixture), all, "it is the callee of its node key again");
    fixture.check_empty();
}

#[test]
fn without_node_keys_the_session_counts() {
    let mut fixture = Fixture::new();
    for session in [3, 1] {
        fixture.register(session, "a", shared(InvocationPolicy::First)).unwrap();
    }
    let all = callees(&mut fixture);
    assert!(all.contains(&1) && all.contains(&3));
    assert_eq!(callees(&mut fixture), all);
    // Of the callees of one node key, the oldest one.
    fixture.leave(1);
    fixture.leave(3);
    for session in [2, 1, 3] {
        fixture.register(session, "a", keyed("same")).unwrap();
    }
    assert_eq!(callees(&mut fixture), [2; KEYS]);
    fixture.check_empty();
}

#[test]
fn no_other_callee_gets_the_call_of_a_key() {
    let mut fixture = Fixture::new();
    for session in [1, 2, 3] {
        let concurrency = Some(NonZeroU32::MIN);
        let options = RegisterOptions { concurrency, ..keyed(&format!("node{session}")) };
        fixture.register(session, "a", options).unwrap();
    }
    let callee = callee_of(&mut fixture, 1);
    let call = fixture.call_with(2, "a", partition("key 1")).unwrap();
    let busy = fixture.call_with(4, "a", partition("key 1"));
    assert!(matches!(busy, Err(CallError::Concurrency(1))), "{busy:?}");
    let told = fixture.told(callee).pop().unwrap();
    let id = told.strip_prefix("[68,").unwrap().split(',').next().unwrap().parse().unwrap();
    fixture.fail_with(callee, id, error_uri::UNAVAILABLE);
    for session in [1, 3] {
        assert_eq!(fixture.told(session), [""; 0], "it has not the data of the key");
    }
    let answers = fixture.told(2);
    assert_eq!(answers.len(), 1, "{answers:?}");
    let is_error =
        |uri: &str| answers[0].starts_with(&format!("[8,48,{call},")) && answers[0].contains(uri);
    assert!(is_error("unavailable") || is_error("no_available_callee"), "{answers:?}");
    fixture.check_empty();
}
