//! Registrations that end those of other sessions.

use super::*;

#[test]
fn a_forced_registration_ends_those_of_other_sessions() {
    use InvocationPolicy::{RoundRobin, Single};
    let mut fixture = Fixture::new();
    let forced = |invoke| RegisterOptions { force_reregister: true, ..shared(invoke) };
    assert_eq!(fixture.register(1, "ours", shared(RoundRobin)), Ok(1));
    assert_eq!(fixture.register(2, "ours", shared(RoundRobin)), Ok(1));
    fixture.call(4, "ours").unwrap();
    fixture.told(1);
    // The own registration stays, and so do those of others then.
    assert_eq!(fixture.register(2, "ours", forced(Single)), Err(RegisterError::Again));
    assert_eq!(fixture.register(3, "ours", forced(Single)), Ok(2));
    for session in [1, 2] {
        let reason = "jackfield.close.registration_replaced";
        let told = fixture.told(session);
        assert!(told.iter().any(|it| it.starts_with("[67,0,") && it.contains(reason)), "{told:?}");
    }
    fixture.told(3);
    // A pending call is still answered.
    fixture.answer(1, 1, false);
    // Session 4 speaks version 1.
    assert!(fixture.told(4)[0].starts_with("[3,"));
    fixture.call(4, "ours").unwrap();
    assert_eq!(fixture.told(3).len(), 1);
    assert_eq!(fixture.register(1, "new", forced(Single)), Ok(3));
    let pattern = RegisterOptions { policy: MatchPolicy::Prefix, ..forced(Single) };
    assert_eq!(fixture.register(2, "ours", pattern), Err(RegisterError::ForcedPattern));
    fixture.check_empty();
}
