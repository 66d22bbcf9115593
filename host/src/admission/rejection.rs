//! Rejections of clients: the response, and the reason for the operator.

use crate::handshake::Refusal;

/// A rejected client: the response to it, and the reason for the operator.
#[derive(Debug)]
pub(crate) struct Rejection {
    pub(crate) refusal: Refusal,
    pub(crate) reason: String,
    /// The rule that rejects it.
    pub(crate) rule: Rule,
}

/// An access rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    /// Blocked addresses.
    Address,
    /// Encryption.
    Transport,
    /// The path of WebSockets.
    Path,
    /// Pages that may connect.
    Origin,
    /// Tickets and tokens.
    Credential,
}

/// The HTTP status of a temporary rejection.
const UNAVAILABLE: &str = "503 Service Unavailable";

impl Rejection {
    /// Returns whether the same credential may be accepted later: it could not be verified.
    pub(crate) fn is_temporary(&self) -> bool {
        self.refusal.status == UNAVAILABLE
    }

    pub(super) fn forbidden(rule: Rule, reason: impl Into<String>) -> Self {
        let refusal = Refusal::new("403 Forbidden", "connections from this place are not allowed");
        Self { refusal, reason: reason.into(), rule }
    }

    pub(super) fn proof(reason: impl Into<String>) -> Self {
        let refusal = Refusal::new("403 Forbidden", "the ticket or token is not accepted");
        Self { refusal, reason: reason.into(), rule: Rule::Credential }
    }

    pub(super) fn for_now(reason: String) -> Self {
        let refusal = Refusal::new(UNAVAILABLE, "try again in a moment");
        Self {
            refusal: Refusal { header: "Retry-After: 2\r\n", ..refusal },
            reason,
            rule: Rule::Credential,
        }
    }

    /// Rejects a program that is not a browser and has no credentials, if only certain pages may
    /// connect.
    pub(super) fn nameless() -> Self {
        let reason = "the Origin header is missing, `origins` are configured, and there is neither \
                      a ticket nor a token";
        Self::forbidden(Rule::Origin, reason)
    }

    /// Rejects a client without credentials, which are required.
    pub(super) fn unproven() -> Self {
        let refusal = Refusal::new("403 Forbidden", "connect with a ticket or a token");
        let reason = "there is neither a ticket nor a token".to_owned();
        Self { refusal, reason, rule: Rule::Credential }
    }
}
