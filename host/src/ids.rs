//! Random session and publication ids from 1..=2^53. WAMP v2 specification, section "IDs", global
//! scope.

use jackfield_wamp::id::{MAX_ID, PublicationId, SessionId};

/// Generates an unpredictable session id, from the operating system: a publisher may address
/// sessions by id.
///
/// # Errors
/// When the operating system cannot provide random bytes.
pub(crate) fn session() -> Result<SessionId, getrandom::Error> {
    loop {
        let mut bytes = [0; 8];
        getrandom::fill(&mut bytes)?;
        if let Some(id) = SessionId::new(u64::from_le_bytes(bytes) % MAX_ID) {
            return Ok(id);
        }
    }
}

/// Generates a publication id with a fast generator: every publication takes one, and none is a
/// secret.
pub(crate) fn publication() -> PublicationId {
    loop {
        if let Some(id) = PublicationId::new(fastrand::u64(1..=MAX_ID)) {
            return id;
        }
    }
}
