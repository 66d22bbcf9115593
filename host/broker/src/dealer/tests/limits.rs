//! Limits of pending calls.

use super::*;
use crate::dealer::error::MAX_CALLS;

#[test]
fn bounds_registrations_and_calls_of_a_session() {
    let mut fixture = Fixture::new();
    for procedure in ["a", "b", "c"] {
        fixture.offer(1, procedure);
    }
    let more = fixture.register(1, "d", RegisterOptions::default());
    assert_eq!(more, Err(RegisterError::TooMany(3)));
    for _ in 0..MAX_CALLS {
        fixture.call(2, "a").unwrap();
        fixture.told(1);
    }
    assert_eq!(fixture.call(2, "a"), Err(CallError::TooMany));
    fixture.call(3, "a").unwrap();
    fixture.told(1);
    fixture.answer(1, 1, false);
    fixture.call(2, "a").unwrap();
    fixture.check_empty();
}
