//! Expiry of a session whose credential has a time limit: a JSON Web Token has an `exp`. A ticket
//! is valid for the session that it opens.
//!
//! The timer is set once, when the session opens. It measures elapsed time, so that a change of the
//! machine's clock does not move the end of a session.

use std::future::pending;
use std::pin::Pin;
use std::time::SystemTime;

use jackfield_auth::Authenticated;
use jackfield_broker::{CloseCause, CloseReason};
use tokio::time::{Sleep, sleep};

use crate::close_uri::EXPIRED;

/// The expiry of the session's credential; without a timer, never.
#[derive(Default)]
pub(super) struct Expiry(Option<Pin<Box<Sleep>>>);

impl Expiry {
    /// Returns the expiry of a session with this user, or without a user.
    pub(super) fn of(who: Option<&Authenticated>) -> Self {
        let left = who
            .and_then(|who| who.expires)
            .map(|expires| expires.duration_since(SystemTime::now()).unwrap_or_default());
        Self(left.map(|left| Box::pin(sleep(left))))
    }

    /// Waits for the expiry. Cancel-safe: it may be dropped and called again.
    pub(super) async fn reached(&mut self) {
        match &mut self.0 {
            Some(timer) => timer.as_mut().await,
            None => pending().await,
        }
    }
}

/// Returns the close reason of an expired session.
pub(super) fn closing() -> CloseReason {
    CloseReason {
        cause: CloseCause::Expired,
        reason: EXPIRED.to_owned(),
        message: "the token has expired; connect with a new one".to_owned(),
    }
}
