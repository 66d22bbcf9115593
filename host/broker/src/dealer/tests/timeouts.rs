//! Timeouts of calls.

use super::*;

fn within(milliseconds: u64) -> CallOptions {
    CallOptions { timeout: Some(milliseconds), ..CallOptions::default() }
}

impl Fixture {
    /// Lets time pass, and ends the calls that are due.
    fn wait(&mut self, milliseconds: u64) -> usize {
        self.now += Duration::from_millis(milliseconds);
        self.dealer.expire(self.now, &mut PendingFlushes::default())
    }
}

#[test]
fn ends_calls_at_their_timeouts_in_order() {
    let mut fixture = Fixture::new();
    fixture.offer(1, "a");
    for (call, timeout) in [(2, 300), (3, 100), (4, 200)] {
        assert_eq!(fixture.call_with(2, "a", within(timeout)), Ok(call));
    }
    fixture.told(1);
    assert_eq!(fixture.dealer.next_due(), Some(fixture.now + Duration::from_millis(100)));
    assert_eq!(fixture.wait(99), 0);
    assert_eq!(fixture.wait(1), 1);
    let late = |call: u64, limit: u64| {
        let text = format!("the call took longer than its timeout of {limit} ms");
        format!("[8,48,{call},{{\"message\":\"{text}\"}},\"wamp.error.timeout\",[\"{text}\"]]")
    };
    fixture.check(2, &[&late(3, 100)]);
    let interrupt = |id: u64| {
        format!("[69,{id},{{\"mode\":\"killnowait\",\"reason\":\"wamp.error.timeout\"}}]")
    };
    fixture.check(1, &[&interrupt(2)]);
    // The answer of a call that has ended is dropped.
    fixture.answer(1, 2, false);
    fixture.check(2, &[]);
    assert_eq!(fixture.wait(500), 2);
    fixture.check(2, &[&late(4, 200), &late(2, 300)]);
    assert_eq!(fixture.dealer.next_due(), None);
    fixture.check_empty();
}

#[test]
fn answered_and_cancelled_calls_have_no_timeout_left() {
    let mut fixture = Fixture::new();
    fixture.offer(1, "a");
    fixture.offer(3, "b");
    assert_eq!(fixture.call_with(2, "a", within(10)), Ok(3));
    fixture.answer(1, 1, false);
    assert_eq!(fixture.call_with(2, "a", within(10)), Ok(4));
    fixture.cancel(2, 4, CancelMode::KillNoWait);
    assert_eq!(fixture.call_with(2, "b", within(10)), Ok(5));
    fixture.leave(3);
    assert_eq!(fixture.call_with(1, "a", within(10)), Ok(6));
    fixture.leave(1);
    assert_eq!(fixture.dealer.next_due(), None);
    assert_eq!(fixture.wait(20), 0);
    fixture.check_empty();
}

#[test]
fn a_callee_without_call_canceling_is_not_interrupted() {
    let mut fixture = Fixture::new();
    fixture.offer(3, "a");
    assert_eq!(fixture.call_with(2, "a", within(10)), Ok(2));
    fixture.told(3);
    assert_eq!(fixture.wait(10), 1);
    fixture.check(3, &[]);
    assert_eq!(fixture.told(2).len(), 1);
    // With `kill`, the caller waits for the callee, but not beyond the timeout.
    fixture.offer(1, "b");
    assert_eq!(fixture.call_with(2, "b", within(10)), Ok(4));
    fixture.told(1);
    fixture.cancel(2, 4, CancelMode::Kill);
    assert_eq!(fixture.told(1).len(), 1);
    assert_eq!(fixture.wait(10), 1);
    fixture.check(1, &[]);
    assert_eq!(fixture.told(2).len(), 1);
    fixture.check_empty();
}

#[test]
fn a_progressive_result_starts_the_timeout_again() {
    let mut fixture = Fixture::new();
    fixture.offer(1, "a");
    let options = CallOptions { receive_progress: true, ..within(100) };
    assert_eq!(fixture.call_with(2, "a", options), Ok(2));
    for _ in 0..3 {
        assert_eq!(fixture.wait(80), 0);
        fixture.answer(1, 1, true);
    }
    assert_eq!(fixture.wait(99), 0);
    assert_eq!(fixture.wait(1), 1);
    assert_eq!(fixture.told(2).len(), 4);
    fixture.check_empty();
}

#[test]
fn a_callee_may_keep_the_time_itself() {
    let mut fixture = Fixture::new();
    let options = RegisterOptions { forward_timeout: true, ..RegisterOptions::default() };
    fixture.register(1, "a", options.clone()).unwrap();
    // This one does not announce that it can.
    fixture.register(3, "b", options).unwrap();
    assert_eq!(fixture.call_with(2, "a", within(10)), Ok(3));
    assert_eq!(fixture.call_with(2, "b", within(10)), Ok(4));
    assert_eq!(fixture.call_with(2, "a", within(0)), Ok(5));
    fixture.check(1, &["[68,1,1,{\"timeout\":10},[7]]", "[68,2,1,{},[7]]"]);
    fixture.check(3, &["[68,1,2,{},[7]]"]);
    assert_eq!(fixture.wait(1_000), 1);
    fixture.check_empty();
}

#[test]
fn many_timeouts_are_ended_in_parts() {
    let mut fixture = Fixture::new();
    fixture.offer(1, "a");
    for _ in 0..600 {
        fixture.call_with(2, "a", within(10)).unwrap();
    }
    let parts: Vec<usize> = (0..4).map(|_| fixture.wait(10)).collect();
    assert_eq!(parts, [256, 256, 88, 0]);
    fixture.check_empty();
}
