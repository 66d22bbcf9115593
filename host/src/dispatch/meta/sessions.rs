//! Session meta procedures: the realm's sessions, of both versions, and their end.

use jackfield_broker::{CloseCause, CloseReason, PendingFlushes, Session};
use jackfield_wamp::error_uri;
use jackfield_wamp::id::SessionId;
use serde_json::{Value, json};
use std::sync::Arc;

use super::arguments::Arguments;
use super::{Answer, MAX_LISTED, session_list};
use crate::dispatch::{Dispatch, Refusal};
use crate::generation::Generation;

impl Dispatch {
    pub(super) fn session_meta(
        &self,
        from: &Session,
        generation: &Generation,
        name: &str,
        arguments: &Arguments,
        batch: &mut PendingFlushes,
    ) -> Result<Answer, Refusal> {
        match name {
            "count" => Ok(json!(self.with_roles(arguments)?.len()).into()),
            "list" => {
                let sessions = self.with_roles(arguments)?;
                let ids = sessions.iter().take(MAX_LISTED).map(|session| session.id).collect();
                Ok(session_list(ids, sessions.len()))
            }
            "get" => {
                let session = self.session_of(arguments)?;
                Ok(details(&session).into())
            }
            "kill" => {
                let (reason, message) = arguments.close()?;
                let session = self.session_of(arguments)?;
                if session.id == from.id {
                    return Err(no_session(session.id.get()));
                }
                batch.flush();
                close(&session, reason, message);
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
                let killed =
                    self.kill(from, arguments, |it| it.identity.authrole() == role, batch)?;
                Ok(json!(killed.len()).into())
            }
            "kill_all" => Ok(json!(self.kill(from, arguments, |_| true, batch)?.len()).into()),
            "add_testament" => self.add_testament(from, generation, arguments),
            "flush_testaments" => self.flush_testaments(from, arguments),
            _ => Err(Refusal::no_procedure(name)),
        }
    }

    /// Returns the sessions whose `authrole` is among those of the first argument, by id.
    fn with_roles(&self, arguments: &Arguments) -> Result<Vec<Arc<Session>>, Refusal> {
        let roles = arguments.roles()?;
        let mut sessions = self.realm.sessions();
        if let Some(roles) = roles {
            sessions.retain(|session| roles.contains(&session.identity.authrole()));
        }
        sessions.sort_unstable_by_key(|session| session.id);
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
        from: &Session,
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
        Ok(killed)
    }
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
    Refusal::no_such(error_uri::NO_SUCH_SESSION, "session", id)
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
        "authprovider": "jackfield",
        "transport": { "protocol": session.dialect.subprotocol(), "peer": peer },
    })
}
