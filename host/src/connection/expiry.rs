//! The end of a session whose proof of identity is good until a certain time: a JSON Web Token has
//! an `exp`. Tickets are good for the session that they open.
//!
//! The timer is set once, when the session opens. It counts elapsed time, so that a change of the
//! machine's clock moves no session's end.

use std::future::pending;
use std::pin::Pin;
use std::time::SystemTime;

use jackfield_auth::Authenticated;
use jackfield_broker::CloseReason;
use tokio::time::{Sleep, sleep};

/// The reason of the GOODBYE. The specification has none for it.
const EXPIRED: &str = "jackfield.close.authentication_expired";

/// When the session's proof ceases to be good; never, without a timer.
#[derive(Default)]
pub(super) struct Expiry(Option<Pin<Box<Sleep>>>);

impl Expiry {
    /// Of a session that was opened by this proof, or by none.
    pub(super) fn of(who: Option<&Authenticated>) -> Self {
        let left = who
            .and_then(|who| who.expires)
            .map(|expires| expires.duration_since(SystemTime::now()).unwrap_or_default());
        Self(left.map(|left| Box::pin(sleep(left))))
    }

    /// Waits for it. It may be dropped and called again.
    pub(super) async fn reached(&mut self) {
        match &mut self.0 {
            Some(timer) => timer.as_mut().await,
            None => pending().await,
        }
    }
}

/// How the session ends.
pub(super) fn closing() -> CloseReason {
    CloseReason {
        reason: EXPIRED.to_owned(),
        message: "the token has expired; connect with a new one".to_owned(),
    }
}
