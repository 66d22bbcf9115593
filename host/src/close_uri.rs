//! URIs of close reasons that the specification and the broker do not define.

use jackfield_broker::{CloseCause, CloseReason};

/// The URI of a connection that has ended. Clients never receive it.
const LOST: &str = "jackfield.close.connection_lost";

/// The close reason of a connection with an incomplete message, when all incomplete messages
/// together exceed their limit.
pub(crate) const INCOMPLETE: &str = "jackfield.close.incomplete_message";

/// The close reason of a session that sends faster than its rates allow.
pub(crate) const RATE: &str = "jackfield.close.rate_limit_exceeded";

/// The close reason of a session whose credential has expired.
pub(crate) const EXPIRED: &str = "jackfield.close.authentication_expired";

/// The close reason of a session whose client may no longer connect.
pub(crate) const REVOKED: &str = "jackfield.close.credentials_revoked";

/// The close reason of a connection that has ended, or cannot be written to.
pub(crate) fn lost(message: String) -> CloseReason {
    CloseReason { cause: CloseCause::Lost, reason: LOST.to_owned(), message }
}
