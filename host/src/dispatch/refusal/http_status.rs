//! The HTTP status of a refusal.

use hyper::StatusCode;
use jackfield_wamp::error_uri::{
    AUTHORIZATION_FAILED, MAX_CONCURRENCY_REACHED, NETWORK_FAILURE, NO_AVAILABLE_CALLEE,
    NO_SUCH_PROCEDURE, NOT_AUTHORIZED, PAYLOAD_SIZE_EXCEEDED, UNAVAILABLE,
};

use super::{
    HANDLER_BUSY, HANDLER_DISABLED, HANDLER_FAILED, HANDLER_ON_HOLD, HISTORY_FAILED,
    HOME_UNREACHABLE, NO_HISTORY, NO_ROUTE, RATE_EXCEEDED, Refusal, STORE_FAILED,
};

/// The refusals of requests that may be repeated later: nothing was done. `RATE_EXCEEDED` is one, too.
const TEMPORARY: [&str; 10] = [
    HANDLER_BUSY,
    HANDLER_DISABLED,
    HANDLER_ON_HOLD,
    HISTORY_FAILED,
    HOME_UNREACHABLE,
    MAX_CONCURRENCY_REACHED,
    NETWORK_FAILURE,
    NO_AVAILABLE_CALLEE,
    STORE_FAILED,
    UNAVAILABLE,
];

impl Refusal {
    /// Returns the HTTP status of the answer to a backend or an operator.
    pub(crate) fn http_status(&self) -> StatusCode {
        match self.uri() {
            NO_ROUTE | NO_HISTORY | NO_SUCH_PROCEDURE => StatusCode::NOT_FOUND,
            NOT_AUTHORIZED => StatusCode::FORBIDDEN,
            PAYLOAD_SIZE_EXCEEDED => StatusCode::PAYLOAD_TOO_LARGE,
            HANDLER_FAILED | AUTHORIZATION_FAILED => StatusCode::INTERNAL_SERVER_ERROR,
            RATE_EXCEEDED => StatusCode::TOO_MANY_REQUESTS,
            uri if TEMPORARY.contains(&uri) => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::UNPROCESSABLE_ENTITY,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::RefusalReason;

    /// A backend repeats these, and no others.
    #[test]
    fn temporary_refusals_have_a_status_of_their_own() {
        let at_limit = Refusal::at_limit(RefusalReason::ClientShare, String::new());
        for temporary in
            [Refusal::alone(), Refusal::no_session(), at_limit, Refusal::busy_callees(1)]
        {
            assert_eq!(temporary.http_status(), StatusCode::SERVICE_UNAVAILABLE, "{temporary}");
        }
        assert_eq!(Refusal::too_fast().http_status(), StatusCode::TOO_MANY_REQUESTS);
        let rejected = Refusal::new("acme.error.no_such_order", String::new());
        for lasting in [rejected, Refusal::invalid_argument(String::new())] {
            assert_eq!(lasting.http_status(), StatusCode::UNPROCESSABLE_ENTITY, "{lasting}");
        }
    }
}
