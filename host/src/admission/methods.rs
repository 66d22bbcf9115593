//! Authentication methods of a listener: those of the settings that it allows.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::SystemTime;

use jackfield_auth::{
    Auth, Authenticated, Challenge, ChallengeError, Principals, ProofMethod, ProofRequest,
    UsedTicket,
};
use jackfield_config::{Access, ListenerMethod};

use super::{Rejection, used_tickets};
use crate::client_listener::ClientListener;
use crate::cluster::ClusterNode;
use crate::dispatch::Claimant;
use crate::handshake::Credential;

/// What a client has to send after CHALLENGE.
#[derive(Debug)]
pub(crate) enum PendingProof {
    /// A ticket of the application, or a token.
    Credential,
    /// The answer to a principal's challenge.
    Principal(Box<Challenge>),
    /// A ticket that a plugin verifies.
    Plugin(Box<Claimant>),
}

/// The authentication methods of a listener.
#[derive(Clone, Copy)]
pub(super) struct Methods<'a> {
    pub(super) auth: &'a Auth,
    pub(super) listener: &'a ClientListener,
}

impl Methods<'_> {
    pub(super) fn take(&self, proof: &Credential) -> bool {
        match proof {
            Credential::Ticket(_) => self.take_tickets(),
            Credential::Token(_) => self.take_tokens(),
        }
    }

    fn take_tickets(&self) -> bool {
        self.auth.tickets.is_some() && self.listener.rules.allows(ListenerMethod::Tickets)
    }

    fn take_tokens(&self) -> bool {
        self.auth.jwt.is_some() && self.listener.rules.allows(ListenerMethod::Jwt)
    }

    /// Returns whether clients can send a ticket or a token.
    pub(super) fn take_proofs(&self) -> bool {
        self.take_tickets() || self.take_tokens()
    }

    /// Returns whether a session of WAMP v2 can be authenticated.
    pub(super) fn take_any(&self) -> bool {
        self.take_proofs() || self.principals().is_some() || self.authenticator().is_some()
    }

    /// Returns the names of the authentication methods of WAMP v2.
    pub(super) fn names(&self) -> Vec<&'static str> {
        let uses = |method| self.principals().is_some_and(|it| it.use_method(method));
        let has = |method| uses(method) || (method == ProofMethod::Ticket && self.take_proofs());
        ProofMethod::ALL.into_iter().filter(|method| has(*method)).map(ProofMethod::name).collect()
    }

    /// Returns the handler that authenticates clients here, if there is one.
    pub(super) fn authenticator(&self) -> Option<&str> {
        let is_allowed = self.listener.rules.allows(ListenerMethod::Authenticator);
        self.auth.authenticator.as_deref().filter(|_| is_allowed)
    }

    fn principals(&self) -> Option<&Principals> {
        let is_allowed = self.listener.rules.allows(ListenerMethod::Principals);
        self.auth.principals.as_ref().filter(|_| is_allowed)
    }

    /// Returns what a client has to prove by this method; `None` if it cannot be used here.
    pub(super) fn challenge(
        &self,
        method: ProofMethod,
        asked: &ProofRequest<'_>,
    ) -> Result<Option<PendingProof>, ChallengeError> {
        if let Some(principals) = self.principals() {
            // The ticket of any other name is one of the application.
            let is_for_principals = method != ProofMethod::Ticket
                || !self.take_proofs()
                || asked.authid.is_some_and(|name| principals.have_ticket_of(name));
            if is_for_principals && let Some(challenge) = principals.challenge(method, asked)? {
                return Ok(Some(PendingProof::Principal(Box::new(challenge))));
            }
        }
        let is_credential = method == ProofMethod::Ticket && self.take_proofs();
        Ok(is_credential.then_some(PendingProof::Credential))
    }

    /// Returns whether sessions may be opened without authentication.
    pub(super) fn admit_anybody(&self, rules: &Access) -> bool {
        let anonymous = self.listener.rules.anonymous.or(rules.anonymous);
        let Auth { tickets, jwt, principals, authenticator } = self.auth;
        let has_method = tickets.is_some() || jwt.is_some() || principals.is_some();
        anonymous.unwrap_or(!has_method && authenticator.is_none())
    }

    pub(super) async fn prove(
        &self,
        proof: &Credential,
        from: IpAddr,
        cluster: Option<&Arc<ClusterNode>>,
    ) -> Result<Authenticated, Rejection> {
        match proof {
            Credential::Ticket(text) => {
                let tickets = self.auth.tickets.as_ref().filter(|_| self.take_tickets());
                let (tickets, users) = tickets.ok_or_else(|| {
                    Rejection::proof("a ticket was sent, and `auth.tickets` is not configured")
                })?;
                let now = SystemTime::now();
                let verdict = match cluster {
                    None => tickets.authenticate(text, from, now, users).await,
                    Some(cluster) => {
                        let here = |ticket: &UsedTicket| tickets.note_used(ticket, now);
                        let once = async |ticket| used_tickets::claim(cluster, ticket, here).await;
                        tickets.authenticate_once(text, from, now, users, once).await
                    }
                };
                verdict.map_err(|refusal| {
                    if refusal.is_temporary() {
                        Rejection::for_now(refusal.to_string())
                    } else {
                        Rejection::proof(refusal.to_string())
                    }
                })
            }
            Credential::Token(text) => {
                let jwt = self.auth.jwt.as_ref().filter(|_| self.take_tokens());
                let jwt = jwt.ok_or_else(|| {
                    Rejection::proof("a token was sent, and `auth.jwt` is not configured")
                })?;
                let verdict = jwt.authenticate(text, from, SystemTime::now()).await;
                verdict.map_err(|error| {
                    if error.is_temporary() {
                        Rejection::for_now(error.to_string())
                    } else {
                        Rejection::proof(error.to_string())
                    }
                })
            }
        }
    }
}
