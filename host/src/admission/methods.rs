//! Authentication methods of a listener: those of the settings that it allows.

use std::net::IpAddr;
use std::time::SystemTime;

use jackfield_auth::{Auth, Authenticated};
use jackfield_config::{Access, ListenerMethod};

use super::Rejection;
use crate::client_listener::ClientListener;
use crate::handshake::Credential;

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

    pub(super) fn take_proofs(&self) -> bool {
        self.take_tickets() || self.take_tokens()
    }

    /// Returns whether sessions may be opened without authentication.
    pub(super) fn admit_anybody(&self, rules: &Access) -> bool {
        let anonymous = self.listener.rules.anonymous.or(rules.anonymous);
        anonymous.unwrap_or(self.auth.tickets.is_none() && self.auth.jwt.is_none())
    }

    pub(super) async fn prove(
        &self,
        proof: &Credential,
        from: IpAddr,
    ) -> Result<Authenticated, Rejection> {
        match proof {
            Credential::Ticket(text) => {
                let tickets = self.auth.tickets.as_ref().filter(|_| self.take_tickets());
                let (tickets, users) = tickets.ok_or_else(|| {
                    Rejection::proof("a ticket was sent, and `auth.tickets` is not configured")
                })?;
                let verdict = tickets.authenticate(text, from, SystemTime::now(), users).await;
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
