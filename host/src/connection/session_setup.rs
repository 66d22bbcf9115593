//! Session setup of WAMP v2: by the credentials of the handshake, by a ticket in answer to
//! CHALLENGE, or without a user. WAMP v2 specification, sections "Session Establishment" and
//! "Ticket-based Authentication".

use std::sync::Arc;

use jackfield_auth::Authenticated;
use jackfield_broker::Features;
use jackfield_wamp::error_uri;
use jackfield_wamp::message::{Authenticate, Hello};
use jackfield_wamp::uri;
use jackfield_wamp::value::{Dict, Value};
use tokio::time::timeout_at;
use tracing::warn;

use super::close::CloseAction;
use super::member::Member;
use super::{Asked, Connection, Expiry};
use crate::admission::revoked;
use crate::handshake::Credential;

/// The method of a ticket or a token.
const TICKET: &str = "ticket";
/// The method without credentials.
const ANONYMOUS: &str = "anonymous";

/// The maximum number of characters of a client's text in a log line.
const MAX_SHOWN: usize = 64;

impl Connection {
    /// Opens the session, or sends a challenge.
    pub(super) fn hello(&mut self, hello: &Hello) -> Result<(), CloseAction> {
        if !uri::is_uri(&hello.realm) {
            let message = format!("`{}` is not a URI", hello.realm);
            return Err(refused(error_uri::INVALID_URI, message));
        }
        let Some(dispatch) = self.context.realms.get(&hello.realm) else {
            let message = format!("there is no realm `{}` here", hello.realm);
            return Err(refused(error_uri::NO_SUCH_REALM, message));
        };
        let features = Features::announced(hello);
        let authid = hello.details.get("authid").and_then(Value::as_text).map(str::to_owned);
        let asked = Asked { dispatch, features, authid, method: named(hello) };
        if let Some(proven) = self.proven.take() {
            return self.welcome_proven(asked, &proven);
        }
        let admission = &self.context.admission;
        if admission.takes_proofs(&self.listener) && offers(hello, TICKET) {
            if let Some(challenge) = self.dialogue.challenge(TICKET, &Dict::new()) {
                self.wire.send(self.wrap(&challenge));
            }
            self.asked = Some(Box::new(asked));
            return Ok(());
        }
        // A client that names no method is treated as anonymous.
        let is_silent = methods(hello).next().is_none();
        if !self.must_prove && (offers(hello, ANONYMOUS) || is_silent) {
            return self.welcome(asked, None);
        }
        let method = if self.must_prove { TICKET } else { ANONYMOUS };
        let message = format!("sessions are opened with the authmethod `{method}`");
        Err(refused(error_uri::NO_MATCHING_AUTH_METHOD, message))
    }

    /// Opens the session that was waiting for this credential.
    pub(super) async fn authenticate(&mut self, proof: Authenticate) -> Result<(), CloseAction> {
        let Some(asked) = self.asked.take() else { return Ok(()) };
        let admission = Arc::clone(&self.context.admission);
        let proof = Credential::of_either_kind(proof.signature);
        let proving = admission.prove(&proof, self.client, &self.listener);
        let Ok(verdict) = timeout_at(self.opened_by, proving).await else {
            let message = "the ticket could not be looked at in time".to_owned();
            return Err(refused(error_uri::UNAVAILABLE, message));
        };
        match verdict {
            Ok(proven) => {
                let place = self.context.new_connections.place(Some(&proven));
                self.place = place.map_err(|exceeded| {
                    drop(exceeded.log(&self.settings.limits));
                    CloseAction::UserLimit { message: exceeded.message() }
                })?;
                self.welcome_proven(*asked, &proven)
            }
            Err(denial) => {
                warn!(name: "session.denied", "a session is refused: {}", denial.reason);
                let reason = if denial.is_temporary() {
                    error_uri::AUTHENTICATION_FAILED
                } else {
                    error_uri::AUTHENTICATION_DENIED
                };
                Err(refused(reason, denial.refusal.message))
            }
        }
    }

    /// Opens the session of the authenticated user. HELLO with the name of another user is an
    /// error: the client has mixed up its users, and would act as a different one than it assumes.
    fn welcome_proven(&mut self, asked: Asked, proven: &Authenticated) -> Result<(), CloseAction> {
        if let Some(authid) = &asked.authid
            && !may_be_called(proven, authid)
        {
            let asked: String = authid.chars().take(MAX_SHOWN).collect();
            let name = &proven.username;
            warn!(name: "session.other_user", "a session is refused: it was asked for as {asked:?} with the proof of {name:?}");
            let message = "the ticket or token is not of the `authid` that was asked for";
            return Err(refused(error_uri::AUTHENTICATION_DENIED, message.to_owned()));
        }
        self.welcome(asked, Some(proven))
    }

    fn welcome(&mut self, asked: Asked, who: Option<&Authenticated>) -> Result<(), CloseAction> {
        // Rules, users or keys have changed since the request: the client has to connect again.
        let admission = &self.context.admission;
        if self.admittance.as_ref().is_some_and(|it| !admission.is_current(it)) {
            return Err(CloseAction::CloseReason(revoked()));
        }
        let Asked { dispatch, features, method, .. } = asked;
        let mut member =
            Member::new(&self.wire, self.dialogue.dialect(), features, dispatch, who, self.client)
                .map_err(|error| refused(error_uri::UNAVAILABLE, error.to_string()))?;
        let method = method.filter(|_| who.is_some());
        let sessions = self.context.realms.session_count();
        let retry = self.context.shutdown.retry_window(sessions);
        let welcome = self.dialogue.welcome(&member.welcome(method.as_deref(), retry));
        self.expiry = Expiry::of(who);
        member.join(&self.context.shutdown);
        member.keep(&self.context.admission, self.admittance.take(), who);
        if member.is_backend() {
            self.rate.exempt();
        }
        self.wire.send(self.wrap(&welcome));
        self.member = Some(member);
        Ok(())
    }
}

/// Returns whether the user may use this authid: the name, in any case because databases may
/// compare names so, or the id. A session without a user, such as a backend's, may have any name,
/// because some clients have to send one.
fn may_be_called(proven: &Authenticated, authid: &str) -> bool {
    let Some(id) = &proven.id else { return true };
    let is_name = authid.to_lowercase() == proven.username.to_lowercase();
    authid.is_empty() || is_name || authid == id
}

fn refused(reason: &'static str, message: String) -> CloseAction {
    CloseAction::Refused { reason, message }
}

/// Returns the authentication methods that a client offers.
fn methods(hello: &Hello) -> impl Iterator<Item = &str> {
    let methods = hello.details.get("authmethods").into_iter().flat_map(Value::elements);
    methods.filter_map(Value::as_text)
}

fn offers(hello: &Hello, method: &str) -> bool {
    methods(hello).any(|offered| offered == method)
}

/// Returns the method that WELCOME names for an authenticated client. It is always one that the
/// client has offered, even if the ticket is a JSON Web Token or came with the handshake: clients
/// look for the code of that method, and autobahn-python ends the session if it has none.
fn named(hello: &Hello) -> Option<String> {
    let offered = methods(hello).find(|method| *method == TICKET);
    let named = offered.or_else(|| methods(hello).next());
    named.filter(|method| method.len() <= MAX_SHOWN).map(str::to_owned)
}
