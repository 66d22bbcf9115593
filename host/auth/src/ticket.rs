//! Oro tickets: signed credentials that an OroPlatform application issues to its pages.
//!
//! The application makes a ticket for the logged-in user, and the page sends it in the query of its
//! handshake. A ticket is base64 over `digest;username;nonce;created`. The digest proves knowledge
//! of the application's secret and of the stored hash of the user's password, so a changed password
//! invalidates earlier tickets. A ticket without a username is anonymous: it proves knowledge of
//! the secret alone, and is used by the application's own backend.
//!
//! Pure: time is a parameter, and the caller looks up the user. [`crate::Tickets`] combines the
//! steps.

mod created;
mod digest;
mod replay;
mod secret;

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use base64::prelude::BASE64_STANDARD;

use crate::user::PasswordHash;

use created::Created;
pub use replay::{Replays, ReplaysError};
pub use secret::{AppSecret, AppSecretError};

/// Longest ticket, in bytes. An application's tickets have about 200.
const MAX_BYTES: usize = 8 << 10;

/// Decoy hash for users without a password, so that the time of a digest does not reveal known
/// users. No ticket matches it. It has the length of a bcrypt hash, which nearly all applications
/// store.
const DECOY: &str = "$2y$13$.....................................................";

/// Base64 with a lenient end, as in PHP.
const FORGIVING: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A ticket that could be read. Nothing of it is proven.
pub struct Ticket {
    digest: String,
    username: String,
    nonce: String,
    created: Created,
}

/// For how long a ticket is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// Maximum age.
    pub ttl: Duration,
    /// Tolerated clock difference into the future.
    pub skew: Duration,
}

/// Holder of a ticket.
#[derive(Clone, Copy, Debug)]
pub enum Holder<'a> {
    /// None: it shows only that the application made it.
    Anonymous,
    /// To a user.
    User {
        /// Their name; one with a `;` cannot be written in a ticket.
        username: &'a str,
        /// The hash of their password as the application stores it.
        password: &'a PasswordHash,
    },
}

/// A ticket is invalid. The texts never contain the ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TicketError {
    /// It cannot be read.
    #[error("it cannot be read: {0}")]
    Malformed(&'static str),
    /// It is too old.
    #[error(
        "it is {age} s old and was good for {ttl} s; if that is not so, compare this machine's \
         clock with the application's"
    )]
    Expired {
        /// Its age in seconds.
        age: u64,
        /// The maximum age in seconds.
        ttl: u64,
    },
    /// It was made later than now.
    #[error(
        "it was made {ahead} s from now and {skew} s are allowed: compare this machine's clock \
         with the application's"
    )]
    FromTheFuture {
        /// How far ahead, in seconds.
        ahead: u64,
        /// The tolerated difference in seconds.
        skew: u64,
    },
    /// The digest is not that of the application's secret and the user's password.
    #[error(
        "its digest is wrong: it was made with another secret than the one that is set here, or \
         the password was changed, or it is forged"
    )]
    WrongDigest,
    /// The user has no password, so the secret alone is enough to make it.
    #[error("its user has no password, without which a ticket proves nothing")]
    NoPassword,
    /// What the digest is over is longer than the application would make a digest of.
    #[error("what its digest is over is longer than 4096 bytes")]
    TooLong,
    /// The name has a `;` in it and cannot be told from what stands behind it.
    #[error("the name has a `;` in it, which tickets cannot hold")]
    Unwritable,
}

impl Default for Validity {
    /// The application's own: five minutes, and half a minute for clocks that differ.
    fn default() -> Self {
        Self { ttl: Duration::from_mins(5), skew: Duration::from_secs(30) }
    }
}

impl Ticket {
    /// Reads a ticket; `text` is what the query had, its percent signs resolved.
    ///
    /// # Errors
    /// When it is no ticket.
    pub fn parse(text: &str) -> Result<Self, TicketError> {
        if text.len() > MAX_BYTES {
            return Err(TicketError::Malformed("it is far too long"));
        }
        // The application's own reading skips what does not belong to the alphabet.
        let kept: String = text.chars().filter(|c| in_alphabet(*c)).collect();
        let plain =
            FORGIVING.decode(kept).map_err(|_| TicketError::Malformed("it is not base64"))?;
        let plain = String::from_utf8(plain)
            .map_err(|_| TicketError::Malformed("what is in the base64 is not text"))?;
        let mut fields = plain.split(';');
        let (Some(digest), Some(username), Some(nonce), Some(created)) =
            (fields.next(), fields.next(), fields.next(), fields.next())
        else {
            return Err(TicketError::Malformed("it has fewer than four parts"));
        };
        Ok(Self {
            digest: digest.to_owned(),
            username: username.to_owned(),
            nonce: nonce.to_owned(),
            created: Created::parse(created)?,
        })
    }

    /// Makes a ticket as the application does, for tests and for commands. `nonce` is text without
    /// a `;`, unlike any other ticket's; [`nonce`] makes one.
    ///
    /// # Errors
    /// When a name or a nonce cannot be written in a ticket, or the whole is too long.
    pub fn mint(
        secret: &AppSecret,
        holder: Holder<'_>,
        nonce: &str,
        created: SystemTime,
    ) -> Result<String, TicketError> {
        let (username, password) = match holder {
            Holder::Anonymous => ("", secret.reveal()),
            Holder::User { username, password } => (username, password.reveal()),
        };
        if [username, nonce].iter().any(|text| text.contains(';')) {
            return Err(TicketError::Unwritable);
        }
        let created = Created::at(created)?;
        let digest = digest::of(&[nonce, "|", created.as_str(), "|", password], secret)?;
        Ok(BASE64_STANDARD.encode(format!("{digest};{username};{nonce};{}", created.as_str())))
    }

    /// Whom it claims to be of; none if it is anonymous.
    pub fn username(&self) -> Option<&str> {
        (!self.username.is_empty()).then_some(self.username.as_str())
    }

    /// Whether it is good at this time. This says nothing of who made it.
    ///
    /// # Errors
    /// When it is too old or too new.
    pub fn check_time(&self, now: SystemTime, validity: Validity) -> Result<(), TicketError> {
        self.created.check(now, validity)
    }

    /// Whether its digest is of this secret and this password; an anonymous ticket's password is
    /// the secret itself, so that `password` is not looked at. Takes some milliseconds of a
    /// processor, on purpose, and as many where there is no password.
    ///
    /// # Errors
    /// When it is not.
    pub fn verify(
        &self,
        secret: &AppSecret,
        password: Option<&PasswordHash>,
    ) -> Result<(), TicketError> {
        let password = match self.username() {
            None => Some(secret.reveal()),
            Some(_) => password.map(PasswordHash::reveal),
        };
        let proof = password.unwrap_or(DECOY);
        let parts = [self.nonce.as_str(), "|", self.created.as_str(), "|", proof];
        let expected = digest::of(&parts, secret)?;
        match (digest::same(&expected, &self.digest), password) {
            (_, None) => Err(TicketError::NoPassword),
            (true, Some(_)) => Ok(()),
            (false, Some(_)) => Err(TicketError::WrongDigest),
        }
    }

    /// What a memory of used tickets knows it by, and until when it has to.
    pub(crate) fn mark(&self, validity: Validity) -> (replay::Mark, SystemTime) {
        (replay::mark(&self.digest), self.created.expires(validity))
    }
}

/// Sixteen hexadecimal digits from the operating system's random numbers.
///
/// # Errors
/// When the operating system has none to give.
pub fn nonce() -> std::io::Result<String> {
    let random = getrandom::u64().map_err(|error| std::io::Error::other(error.to_string()))?;
    Ok(format!("{random:016x}"))
}

fn in_alphabet(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '+' || c == '/'
}

#[cfg(test)]
mod tests;
