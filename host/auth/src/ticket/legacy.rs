//! Tickets of OroPlatform 2.x: `id;username;base64(nonce);created`, not encoded as a whole.
//!
//! Such a ticket does not contain its digest: the application keeps the digest in its own cache
//! under the ticket's id, and removes it at the first use. A verifier has to fetch and remove it
//! there; without it a ticket cannot be verified.

use std::time::SystemTime;

use base64::Engine as _;

use crate::user::PasswordHash;

use super::created::Created;
use super::{AppSecret, FORGIVING, Holder, MAX_BYTES, TicketError, Validity, digest, in_alphabet};

/// A ticket of OroPlatform 2.x that could be read. Nothing of it is proven.
pub struct LegacyTicket {
    id: String,
    username: String,
    nonce: String,
    created: Created,
}

/// A new ticket, and its digest for the application's cache.
pub struct Minted {
    /// The ticket itself.
    pub ticket: String,
    /// The digest that belongs into the application's cache, under the ticket's id.
    pub digest: String,
}

impl LegacyTicket {
    /// Reads a ticket; `text` is what the query had, its percent signs resolved.
    ///
    /// # Errors
    /// When it is no ticket of this kind.
    pub fn parse(text: &str) -> Result<Self, TicketError> {
        if text.len() > MAX_BYTES {
            return Err(TicketError::Malformed("it is far too long"));
        }
        let mut fields = text.split(';');
        let (Some(id), Some(username), Some(nonce), Some(created)) =
            (fields.next(), fields.next(), fields.next(), fields.next())
        else {
            return Err(TicketError::Malformed("it has fewer than four parts"));
        };
        if id.is_empty() {
            return Err(TicketError::Malformed("it has no id"));
        }
        let kept: String = nonce.chars().filter(|c| in_alphabet(*c)).collect();
        let nonce = FORGIVING
            .decode(kept)
            .ok()
            .and_then(|nonce| String::from_utf8(nonce).ok())
            .ok_or(TicketError::Malformed("its nonce is not base64"))?;
        Ok(Self {
            id: id.to_owned(),
            username: username.to_owned(),
            nonce,
            created: Created::parse(created)?,
        })
    }

    /// Makes a ticket as the application did. `id` and `nonce` are unlike any other ticket's.
    ///
    /// # Errors
    /// When an id or a name cannot be written in a ticket, or the whole is too long.
    pub fn mint(
        secret: &AppSecret,
        holder: Holder<'_>,
        id: &str,
        nonce: &str,
        created: SystemTime,
    ) -> Result<Minted, TicketError> {
        let (username, password) = match holder {
            Holder::Anonymous => ("", secret.reveal()),
            Holder::User { username, password } => (username, password.reveal()),
        };
        if [id, username].iter().any(|text| text.contains(';')) {
            return Err(TicketError::Unwritable);
        }
        let created = Created::at(created)?;
        let digest = digest::of(&[nonce, created.as_str(), password], secret)?;
        let nonce = FORGIVING.encode(nonce);
        Ok(Minted { ticket: format!("{id};{username};{nonce};{}", created.as_str()), digest })
    }

    /// The cache key of its digest.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Whom it claims to be of; none if it is anonymous.
    pub fn username(&self) -> Option<&str> {
        (!self.username.is_empty()).then_some(self.username.as_str())
    }

    /// Whether it is good at this time. The application itself knew no such limit, only that a
    /// ticket cannot come from the future.
    ///
    /// # Errors
    /// When it is too old or too new.
    pub fn check_time(&self, now: SystemTime, validity: Validity) -> Result<(), TicketError> {
        self.created.check(now, validity)
    }

    /// Whether the digest that the application kept is of this ticket, this secret and this
    /// password, as [`super::Ticket::verify`].
    ///
    /// # Errors
    /// When it is not.
    pub fn verify(
        &self,
        kept: &str,
        secret: &AppSecret,
        password: Option<&PasswordHash>,
    ) -> Result<(), TicketError> {
        let password = match self.username() {
            None => secret.reveal(),
            Some(_) => password.ok_or(TicketError::NoPassword)?.reveal(),
        };
        let expected = digest::of(&[&self.nonce, self.created.as_str(), password], secret)?;
        if digest::same(&expected, kept) { Ok(()) } else { Err(TicketError::WrongDigest) }
    }
}
