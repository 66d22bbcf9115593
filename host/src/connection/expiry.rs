//! Expiry of a session whose credential has a time limit: a JSON Web Token has an `exp`, a certificate an
//! end, and a principal of a plugin may have a `ttl`. A ticket is valid for the session that it opens.
//!
//! The timer is set once, when the session opens. It measures elapsed time, so that a change of the
//! machine's clock does not move the end of a session.

use std::future::pending;
use std::pin::Pin;
use std::time::SystemTime;

use jackfield_auth::{Authenticated, Basis};
use jackfield_broker::{CloseCause, CloseReason};
use tokio::time::{Sleep, sleep};

use crate::close_uri::EXPIRED;

/// The expiry of the session's credential; without a timer, never.
#[derive(Default)]
pub(super) struct Expiry(Option<(Pin<Box<Sleep>>, &'static str)>);

impl Expiry {
    /// Returns the expiry of a session with this user, or without a user.
    pub(super) fn of(who: Option<&Authenticated>) -> Self {
        Self(who.and_then(|who| {
            let left = who.expires?.duration_since(SystemTime::now()).unwrap_or_default();
            Some((Box::pin(sleep(left)), message(&who.basis)))
        }))
    }

    /// Waits for the expiry. Returns the close reason. Cancel-safe: it may be dropped and called again.
    pub(super) async fn reached(&mut self) -> CloseReason {
        let Some((timer, message)) = &mut self.0 else { return pending().await };
        timer.as_mut().await;
        CloseReason {
            cause: CloseCause::Expired,
            reason: EXPIRED.to_owned(),
            message: (*message).to_owned(),
        }
    }
}

fn message(basis: &Basis) -> &'static str {
    match basis {
        Basis::Plugin { .. } => "the time of the login has ended; log in again",
        Basis::Certificate => "the certificate has expired; connect with a new one",
        Basis::Token { .. } | Basis::Ticket { .. } | Basis::Principal { .. } => {
            "the token has expired; connect with a new one"
        }
    }
}
