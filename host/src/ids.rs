//! Ids of global scope, drawn at random from 1..=2^53. WAMP v2 specification, section "IDs".

use jackfield_wamp::id::{MAX_ID, PublicationId, SessionId};

/// A session id nobody can guess: a publisher may name sessions to exclude or to reach.
///
/// # Errors
/// When the operating system has no randomness to give.
pub(crate) fn session() -> Result<SessionId, getrandom::Error> {
    loop {
        let mut bytes = [0; 8];
        getrandom::fill(&mut bytes)?;
        if let Some(id) = SessionId::new(u64::from_le_bytes(bytes) % MAX_ID) {
            return Ok(id);
        }
    }
}

/// A publication id: random so that it tells nothing, quick because every publish draws one.
pub(crate) fn publication() -> PublicationId {
    loop {
        if let Some(id) = PublicationId::new(fastrand::u64(1..=MAX_ID)) {
            return id;
        }
    }
}
