//! Sessions as hooks see them.

use jackfield_broker::Session;
use jackfield_sandbox::Caller;

/// Returns the session's data for hooks.
pub(super) fn caller(session: &Session) -> Caller<'_> {
    let identity = &session.identity;
    Caller {
        id: session.id.get(),
        authid: &identity.authid,
        authrole: identity.authrole(),
        roles: &identity.roles,
        authmethod: &identity.authmethod,
        claims: &identity.claims,
        client: session.client.get(),
        anonymous_from: identity.anonymous_from,
    }
}
