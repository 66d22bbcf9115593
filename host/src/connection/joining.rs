//! How a client of WAMP v2 opens its session: by what its handshake has proven, by a ticket that
//! it is asked for, or as nobody in particular. WAMP v2 specification, sections "Session
//! Establishment" and "Ticket-based Authentication".

use std::sync::Arc;

use jackfield_auth::Authenticated;
use jackfield_broker::Features;
use jackfield_wamp::error_uri;
use jackfield_wamp::message::{Authenticate, Hello};
use jackfield_wamp::uri;
use jackfield_wamp::value::{Dict, Value};
use tokio::time::timeout_at;
use tracing::warn;

use super::farewell::Ending;
use super::member::Member;
use super::{Asked, Connection};
use crate::handshake::Proof;

/// The method by which a client sends a ticket or a token.
const TICKET: &str = "ticket";
/// The method of those who prove nothing.
const ANONYMOUS: &str = "anonymous";

impl Connection {
    /// Opens the session, or asks for proof.
    pub(super) fn hello(&mut self, hello: &Hello) -> Result<(), Ending> {
        if !uri::is_uri(&hello.realm) {
            let message = format!("`{}` is not a URI", hello.realm);
            return Err(refused(error_uri::INVALID_URI, message));
        }
        let Some(dispatch) = self.app.realm(&hello.realm) else {
            let message = format!("there is no realm `{}` here", hello.realm);
            return Err(refused(error_uri::NO_SUCH_REALM, message));
        };
        let features = Features::announced(hello);
        let asked = Asked { dispatch, features };
        if let Some(proven) = self.proven.take() {
            return self.welcome(asked, Some(&proven));
        }
        let gate = &self.app.gate;
        if gate.takes_proofs() && offers(hello, TICKET) {
            if let Some(challenge) = self.dialogue.challenge(TICKET, &Dict::new()) {
                self.wire.send(self.wrap(&challenge));
            }
            self.asked = Some(Box::new(asked));
            return Ok(());
        }
        // A client that does not say how it would authenticate is taken to do it by nothing.
        if gate.admits_anybody() && (offers(hello, ANONYMOUS) || methods(hello).is_empty()) {
            return self.welcome(asked, None);
        }
        let method = if gate.admits_anybody() { ANONYMOUS } else { TICKET };
        let message = format!("sessions are opened with the authmethod `{method}`");
        Err(refused(error_uri::NO_MATCHING_AUTH_METHOD, message))
    }

    /// Opens the session that proof was asked for.
    pub(super) async fn authenticate(&mut self, proof: Authenticate) -> Result<(), Ending> {
        let Some(asked) = self.asked.take() else { return Ok(()) };
        let app = Arc::clone(&self.app);
        let proof = Proof::of_either_kind(proof.signature);
        let Ok(verdict) = timeout_at(self.opened_by, app.gate.prove(&proof)).await else {
            let message = "the ticket could not be looked at in time".to_owned();
            return Err(refused(error_uri::UNAVAILABLE, message));
        };
        match verdict {
            Ok(proven) => self.welcome(*asked, Some(&proven)),
            Err(denial) => {
                warn!("a session is refused: {}", denial.reason);
                Err(refused(error_uri::AUTHENTICATION_DENIED, denial.refusal.message))
            }
        }
    }

    fn welcome(&mut self, asked: Asked, who: Option<&Authenticated>) -> Result<(), Ending> {
        let Asked { dispatch, features } = asked;
        let member = Member::new(&self.wire, self.dialogue.dialect(), features, dispatch, who)
            .map_err(|error| refused(error_uri::UNAVAILABLE, error.to_string()))?;
        let welcome = self.dialogue.welcome(&member.welcome());
        member.join(&self.app);
        self.wire.send(self.wrap(&welcome));
        self.member = Some(member);
        Ok(())
    }
}

fn refused(reason: &'static str, message: String) -> Ending {
    Ending::Refused { reason, message }
}

fn methods(hello: &Hello) -> &[Value] {
    hello.details.get("authmethods").and_then(Value::as_list).unwrap_or_default()
}

fn offers(hello: &Hello, method: &str) -> bool {
    methods(hello).iter().any(|offered| offered.as_text() == Some(method))
}
