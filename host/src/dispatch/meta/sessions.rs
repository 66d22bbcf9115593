//! Session meta procedures: the realm's sessions, of both versions, and their end. In a cluster they are
//! about the sessions of all nodes, see [`super::survey`].

use std::sync::Arc;

use jackfield_broker::{CloseCause, CloseReason, PendingFlushes, Session};
use jackfield_text::Untrusted;
use jackfield_wamp::error_uri;
use jackfield_wamp::id::SessionId;
use serde_json::{Value, json};
use tracing::info;

use super::arguments::Arguments;
use super::{Answer, MAX_LISTED, no_such, session_list};
use crate::dispatch::{Dispatch, Refusal};
use crate::log::AUDIT;

/// The maximum number of ended sessions that the log names.
const MAX_LOGGED: usize = 20;

/// The session that asks, here or on another node.
pub(super) struct Asker<'a> {
    pub(super) id: SessionId,
    pub(super) authid: &'a str,
}

impl Dispatch {
    /// Answers for the sessions of this node.
    pub(super) fn session_meta(
        &self,
        from: &Asker<'_>,
        name: &str,
        arguments: &Arguments,
        batch: &mut PendingFlushes,
    ) -> Result<Answer, Refusal> {
        match name {
            "count" => Ok(json!(self.with_roles(arguments)?.len()).into()),
            "list" => {
                let mut sessions = self.with_roles(arguments)?;
                sessions.sort_unstable_by_key(|session| session.id);
                let ids = sessions.iter().take(MAX_LISTED).map(|session| session.id).collect();
                Ok(session_list(ids, sessions.len()))
            }
            "get" => {
                let session = self.session_of(arguments)?;
                Ok(details(&session).into())
            }
            "kill" => {
                let wanted = self.session_of(arguments)?.id;
                if wanted == from.id {
                    return Err(no_session(wanted.get()));
                }
                self.kill(from, arguments, |it| it.id == wanted, batch)?;
                Ok(Value::Null.into())
            }
            "kill_by_authid" => {
                let authid = arguments.text("the authid")?;
                let killed =
                    self.kill(from, arguments, |it| it.identity.authid == authid, batch)?;
                let ids = killed.iter().take(MAX_LISTED).copied().collect();
                Ok(session_list(ids, killed.len()))
            }
            "kill_by_authrole" => {
                let role = arguments.text("the authrole")?;
                let killed = self.kill(from, arguments, |it| has_role(it, &[role]), batch)?;
                Ok(json!(killed.len()).into())
            }
            "kill_all" => Ok(json!(self.kill(from, arguments, |_| true, batch)?.len()).into()),
            _ => Err(Refusal::no_procedure(name)),
        }
    }

    /// Returns the sessions with one of the roles of the first argument, or all sessions.
    fn with_roles(&self, arguments: &Arguments) -> Result<Vec<Arc<Session>>, Refusal> {
        let roles = arguments.roles()?;
        let mut sessions = self.realm.sessions();
        if let Some(roles) = roles {
            sessions.retain(|session| has_role(session, &roles));
        }
        Ok(sessions)
    }

    fn session_of(&self, arguments: &Arguments) -> Result<Arc<Session>, Refusal> {
        let id = arguments.id("the session")?;
        let session = SessionId::new(id).and_then(|id| self.realm.session(id));
        session.ok_or_else(|| no_session(id))
    }

    /// Closes the sessions that are wanted, except the caller's.
    fn kill(
        &self,
        from: &Asker<'_>,
        arguments: &Arguments,
        wants: impl Fn(&Session) -> bool,
        batch: &mut PendingFlushes,
    ) -> Result<Vec<SessionId>, Refusal> {
        let (reason, message) = arguments.close()?;
        let sessions = self.realm.sessions();
        let wanted = sessions.iter().filter(|session| session.id != from.id && wants(session));
        // Their last events before their end.
        batch.flush();
        let killed = wanted.filter(|session| close(session, reason, message));
        let mut killed: Vec<SessionId> = killed.map(|session| session.id).collect();
        killed.sort_unstable();
        if !killed.is_empty() {
            info!(
                name: "session.killed",
                target: AUDIT,
                by = from.id.get(),
                authid = %Untrusted::new(from.authid),
                sessions = ?killed.iter().take(MAX_LOGGED).map(|id| id.get()).collect::<Vec<_>>(),
                count = killed.len(),
                reason = %Untrusted::new(reason.unwrap_or(error_uri::CLOSE_KILLED)),
                "a client has ended sessions"
            );
        }
        Ok(killed)
    }
}

/// Returns whether a session has one of the roles.
fn has_role(session: &Session, roles: &[&str]) -> bool {
    session.identity.roles.iter().any(|role| roles.contains(&role.as_str()))
}

/// Closes a session. Returns whether it was open.
fn close(session: &Session, reason: Option<&str>, message: &str) -> bool {
    session.close(CloseReason {
        cause: CloseCause::Operator,
        reason: reason.unwrap_or(error_uri::CLOSE_KILLED).to_owned(),
        message: message.to_owned(),
    })
}

fn no_session(id: u64) -> Refusal {
    no_such(error_uri::NO_SUCH_SESSION, "session", id)
}

/// Returns the details of a session, as `get` and `on_join` show them.
pub(super) fn details(session: &Session) -> Value {
    let identity = &session.identity;
    let peer = session.connection().address.map(|address| address.to_string());
    json!({
        "session": session.id.get(),
        "authid": identity.authid,
        "authrole": identity.authrole(),
        "authmethod": identity.authmethod,
        "roles": identity.roles,
        "transport": { "protocol": session.dialect.subprotocol(), "peer": peer },
    })
}
