//! Credentials of open sessions: each session is judged again when access rules, authentication methods,
//! users or keys change, and ends if its client could not connect any more.
//!
//! Sessions are judged one after another, so that a source of users is asked one question at a time; of a
//! user with several sessions, it is asked once. A source that does not answer ends no session.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jackfield_auth::Basis;
use jackfield_broker::{CloseCause, CloseReason, Session};
use jackfield_wamp::id::SessionId;
use tracing::{info, warn};

use super::Admission;
use crate::client_listener::ClientListener;
use crate::close_uri::REVOKED;

/// What the admission of a session rests on.
#[derive(Clone, Debug)]
pub(crate) struct Admittance {
    /// The client's address; behind a proxy, the forwarded one. None if the proxy does not know it.
    pub(crate) client: Option<IpAddr>,
    /// The page that the client has connected for.
    pub(crate) origin: Option<Box<str>>,
    /// Whether the client uses HTTPS, as a trusted proxy says.
    pub(crate) is_secure: bool,
    /// Whether the client uses RawSocket.
    pub(crate) is_raw: bool,
    /// The number of [`Admission::number`] when the client was judged.
    pub(crate) number: u64,
    /// The listener with its own rules.
    pub(crate) listener: Arc<ClientListener>,
}

/// The open sessions. Cloning shares them.
#[derive(Clone, Default)]
pub(crate) struct SessionCredentials(Arc<Mutex<HashMap<SessionId, Entry>>>);

#[derive(Clone)]
struct Entry {
    session: Arc<Session>,
    admittance: Admittance,
    /// None for a session without authentication.
    basis: Option<Basis>,
}

/// A session that is judged again. Dropping it forgets the session.
pub(crate) struct Registered {
    all: SessionCredentials,
    id: SessionId,
}

impl SessionCredentials {
    /// Adds a session that has joined.
    pub(crate) fn add(
        &self,
        session: &Arc<Session>,
        admittance: Admittance,
        basis: Option<Basis>,
    ) -> Registered {
        let entry = Entry { session: Arc::clone(session), admittance, basis };
        self.lock().insert(session.id, entry);
        Registered { all: self.clone(), id: session.id }
    }

    /// Ends the sessions whose clients could not connect any more.
    pub(super) async fn judge(&self, admission: &Admission) {
        let number = admission.number();
        let entries: Vec<Entry> = self.lock().values().cloned().collect();
        let mut ended = 0_usize;
        // A blocked address does not wait for the source of users.
        let (admitted, refused): (Vec<Entry>, Vec<Entry>) = entries
            .into_iter()
            .filter(|it| !it.session.is_closing())
            .partition(|it| admission.admits_still(&it.admittance, it.basis.is_some()));
        for Entry { session, .. } in refused {
            ended += usize::from(session.close(revoked()));
        }
        let mut users = HashMap::new();
        for Entry { session, basis, .. } in admitted {
            let Some(basis) = basis else { continue };
            // The next pass judges by the newer rules.
            if admission.number() != number {
                break;
            }
            if !is_proven(admission, &basis, &mut users).await && session.close(revoked()) {
                ended += 1;
            }
        }
        if ended > 0 {
            info!(
                name: "session.revoked",
                sessions = ended,
                "sessions ended: their clients may no longer connect"
            );
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SessionId, Entry>> {
        // Each change is one statement.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        // The session itself is dropped without the lock.
        let _entry = self.all.lock().remove(&self.id);
    }
}

/// Returns whether the basis of an authentication still holds. `users` has the answers so far.
async fn is_proven(
    admission: &Admission,
    basis: &Basis,
    users: &mut HashMap<String, Option<bool>>,
) -> bool {
    let key = match basis {
        Basis::Ticket { user: Some(_), .. } => Some(format!("{basis:?}")),
        Basis::Ticket { user: None, .. }
        | Basis::Token { .. }
        | Basis::Principal { .. }
        | Basis::Plugin { .. }
        | Basis::Certificate => None,
    };
    if let Some(known) = key.as_ref().and_then(|key| users.get(key)) {
        return known.unwrap_or(true);
    }
    let answer = admission.auth().still_admits(basis).await;
    let answer = answer.inspect_err(|error| {
        warn!(name: "session.not_judged", "a session stays open, as its user cannot be looked up: {error}");
    });
    let answer = answer.ok();
    if let Some(key) = key {
        users.insert(key, answer);
    }
    answer.unwrap_or(true)
}

/// The close reason of a session whose client may no longer connect.
pub(crate) fn revoked() -> CloseReason {
    CloseReason {
        cause: CloseCause::Revoked,
        reason: REVOKED.to_owned(),
        message: "the credentials of the session are no longer accepted".to_owned(),
    }
}
