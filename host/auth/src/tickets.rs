//! Ticket authentication: parses a ticket, checks its age, user, digest and reuse. The cheap checks
//! come first; the digest, which costs milliseconds, last.

use std::fmt;
use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::SystemTime;

use crate::basis::Fingerprint;
use crate::identity::{Authenticated, Method};
use crate::ticket::{AppSecret, Replays, ReplaysError, Ticket, TicketError, Validity};
use crate::user::PasswordHash;
use crate::users::{Refresh, Users, UsersError};
use crate::verifiers::{Verifiers, VerifiersError};

/// Maximum number of characters of an untrusted name in a log.
const MAX_SHOWN: usize = 64;

/// Verifier of tickets: rules, used tickets and a pool of threads.
#[derive(Debug)]
pub struct Tickets {
    secret: AppSecret,
    validity: Validity,
    /// Used tickets; `None` if tickets may be reused while valid, as in the application.
    replays: Option<Replays>,
    /// Roles of anonymous tickets; `None` refuses them.
    anonymous: Option<Vec<String>>,
    verifiers: Verifiers,
}

/// Rules of [`Tickets`].
#[derive(Debug)]
pub struct TicketRules {
    /// The application's secret.
    pub secret: AppSecret,
    /// The validity period.
    pub validity: Validity,
    /// The maximum number of remembered used tickets; `None` allows reuse.
    pub replays: Option<NonZeroUsize>,
    /// Roles of anonymous tickets; `None` refuses them.
    pub anonymous: Option<Vec<String>>,
    /// The pool that computes digests.
    pub verifiers: Verifiers,
}

/// Rejection of a ticket, for the log: clients learn only that they were refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TicketRefusal {
    /// The ticket is invalid.
    #[error("the ticket{} is refused: {error}", Of(.username))]
    Ticket {
        /// The claimed user, cut for logs.
        username: Option<String>,
        /// The error.
        error: TicketError,
    },
    /// The user is unknown.
    #[error("the ticket{} is refused: there is no such user", Of(.username))]
    Unknown {
        /// The claimed user.
        username: Option<String>,
    },
    /// The user is disabled.
    #[error("the ticket{} is refused: the user is disabled", Of(.username))]
    Disabled {
        /// The user.
        username: Option<String>,
    },
    /// It is anonymous, and anonymous tickets are disabled.
    #[error("the ticket is refused: it is anonymous, and `auth.tickets.anonymous` is false")]
    Anonymous,
    /// The ticket was used before, or cannot be remembered.
    #[error("the ticket{} is refused: {error}", Of(.username))]
    Replay {
        /// The user.
        username: Option<String>,
        /// The error.
        error: ReplaysError,
    },
    /// The verifiers are busy or stopped.
    #[error("the ticket{} is refused: {error}", Of(.username))]
    Busy {
        /// The claimed user.
        username: Option<String>,
        /// The error.
        error: VerifiersError,
    },
    /// Users cannot be looked up.
    #[error("the ticket{} is refused: {error}", Of(.username))]
    Users {
        /// The claimed user.
        username: Option<String>,
        /// The error.
        error: UsersError,
    },
}

/// A ticket that is good for one connection, for other servers that remember it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UsedTicket {
    /// A hash of the ticket.
    pub mark: [u8; 32],
    /// The end of its validity.
    pub expires: SystemTime,
}

impl Tickets {
    /// Creates a verifier with these rules.
    pub fn new(rules: TicketRules) -> Self {
        Self {
            secret: rules.secret,
            validity: rules.validity,
            replays: rules.replays.map(Replays::new),
            anonymous: rules.anonymous,
            verifiers: rules.verifiers,
        }
    }

    /// Returns the fingerprint of the application's secret.
    pub(crate) fn fingerprint(&self) -> Fingerprint {
        self.secret.fingerprint()
    }

    /// Returns the roles of anonymous tickets; `None` if they are refused.
    pub(crate) fn anonymous_roles(&self) -> Option<&Vec<String>> {
        self.anonymous.as_ref()
    }

    /// Remembers the used tickets of another verifier, which this one replaces.
    pub(crate) fn continuing(mut self, before: &Self) -> Self {
        self.replays = match (self.replays, &before.replays) {
            (Some(replays), Some(before)) => Some(replays.continuing(before)),
            (replays, _) => replays,
        };
        self
    }

    /// Remembers a ticket that another server has admitted.
    ///
    /// # Errors
    /// [`ReplaysError`] if it was used before, or cannot be remembered.
    pub fn note_used(&self, ticket: &UsedTicket, now: SystemTime) -> Result<(), ReplaysError> {
        let UsedTicket { mark, expires } = *ticket;
        self.replays.as_ref().ok_or(ReplaysError::NotRemembered)?.admit(mark, expires, now)
    }

    /// Authenticates the client at the address `from` by a ticket. `text` is the percent-decoded
    /// value from the query.
    ///
    /// # Errors
    /// [`TicketRefusal`]; [`TicketRefusal::is_temporary`] says whether another attempt may succeed.
    pub async fn authenticate(
        &self,
        text: &str,
        from: IpAddr,
        now: SystemTime,
        users: &Users,
    ) -> Result<Authenticated, TicketRefusal> {
        let once = async |ticket: UsedTicket| self.note_used(&ticket, now);
        self.authenticate_once(text, from, now, users, once).await
    }

    /// [`authenticate`](Self::authenticate), where other servers may have admitted the ticket: `once` asks
    /// them about one that is good for one connection, last of all, and [`note_used`](Self::note_used).
    ///
    /// # Errors
    /// As [`authenticate`](Self::authenticate).
    pub async fn authenticate_once(
        &self,
        text: &str,
        from: IpAddr,
        now: SystemTime,
        users: &Users,
        once: impl AsyncFnOnce(UsedTicket) -> Result<(), ReplaysError>,
    ) -> Result<Authenticated, TicketRefusal> {
        let ticket = match Ticket::parse(text) {
            Ok(ticket) => Arc::new(ticket),
            Err(error) => return Err(TicketRefusal::Ticket { username: None, error }),
        };
        let username = ticket.username().map(shown);
        let refused = |error| TicketRefusal::Ticket { username: username.clone(), error };
        ticket.check_time(now, self.validity).map_err(refused)?;
        let identity = match ticket.username() {
            None => self.anonymous(&ticket, from).await?,
            Some(name) => self.user(&ticket, from, name, users).await?,
        };
        if self.replays.is_some() {
            let (mark, expires) = ticket.mark(self.validity);
            let answer = once(UsedTicket { mark, expires }).await;
            answer.map_err(|error| TicketRefusal::Replay { username, error })?;
        }
        Ok(identity)
    }

    async fn anonymous(
        &self,
        ticket: &Arc<Ticket>,
        from: IpAddr,
    ) -> Result<Authenticated, TicketRefusal> {
        let roles = self.anonymous.as_ref().ok_or(TicketRefusal::Anonymous)?;
        self.verify(ticket, from, None).await?;
        Ok(Authenticated::anonymous(roles.clone(), Method::Ticket, self.fingerprint()))
    }

    async fn user(
        &self,
        ticket: &Arc<Ticket>,
        from: IpAddr,
        name: &str,
        users: &Users,
    ) -> Result<Authenticated, TicketRefusal> {
        let username = || Some(shown(name));
        let unanswered = |error| TicketRefusal::Users { username: username(), error };
        let Some(mut user) = users.find(name).await.map_err(unanswered)? else {
            // Takes as long as for a known user, so that the time does not reveal user names.
            return match self.verify(ticket, from, None).await {
                Err(busy @ TicketRefusal::Busy { .. }) => Err(busy),
                _ => Err(TicketRefusal::Unknown { username: username() }),
            };
        };
        if let Err(refusal) = self.verify(ticket, from, user.password.clone()).await {
            // The cached user may be older than a change of the password.
            let wrong =
                TicketRefusal::Ticket { username: username(), error: TicketError::WrongDigest };
            if refusal != wrong {
                return Err(refusal);
            }
            match users.refresh(name).await.map_err(unanswered)? {
                Refresh::Now(Some(newer)) if newer.password != user.password => {
                    self.verify(ticket, from, newer.password.clone()).await?;
                    user = newer;
                }
                Refresh::Now(_) | Refresh::Same => return Err(refusal),
            }
        }
        if user.enabled {
            Ok(Authenticated::user(&user, Method::Ticket, self.fingerprint()))
        } else {
            Err(TicketRefusal::Disabled { username: username() })
        }
    }

    async fn verify(
        &self,
        ticket: &Arc<Ticket>,
        from: IpAddr,
        password: Option<PasswordHash>,
    ) -> Result<(), TicketRefusal> {
        let secret = self.secret.clone();
        let read = Arc::clone(ticket);
        let verdict =
            self.verifiers.run(from, move || read.verify(&secret, password.as_ref())).await;
        let username = ticket.username().map(shown);
        match verdict {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(TicketRefusal::Ticket { username, error }),
            Err(error) => Err(TicketRefusal::Busy { username, error }),
        }
    }
}

impl TicketRefusal {
    /// Returns whether the cause is temporary and on this side.
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Busy { .. }
            | Self::Users { .. }
            | Self::Replay {
                error: ReplaysError::Full { .. } | ReplaysError::NotRemembered, ..
            } => true,
            Self::Replay { error: ReplaysError::Used, .. }
            | Self::Ticket { .. }
            | Self::Unknown { .. }
            | Self::Disabled { .. }
            | Self::Anonymous => false,
        }
    }
}

/// Formats ` of "name"`, or nothing. Clients choose these names, so they are quoted and cut.
struct Of<'a>(&'a Option<String>);

impl fmt::Display for Of<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(username) => write!(f, " of {username:?}"),
            None => Ok(()),
        }
    }
}

fn shown(username: &str) -> String {
    username.chars().take(MAX_SHOWN).collect()
}

#[cfg(test)]
mod tests;
