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

/// Maximum length of a ticket, in bytes. An application's tickets have about 200.
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

/// Parsed ticket. Nothing in it is verified.
pub struct Ticket {
    digest: String,
    username: String,
    nonce: String,
    created: Created,
}

/// Validity period of a ticket.
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
    /// No user: the ticket proves only that the application made it.
    Anonymous,
    /// A user.
    User {
        /// The user's name; tickets cannot contain a `;` in it.
        username: &'a str,
        /// The hash of the user's password as the application stores it.
        password: &'a PasswordHash,
    },
}

/// Rejection of a ticket. The texts never contain the ticket.
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
    /// Its creation time is in the future.
    #[error(
        "it was made {ahead} s from now and {skew} s are allowed: compare this machine's clock \
         with the application's"
    )]
    FromTheFuture {
        /// Seconds from now until the creation time.
        ahead: u64,
        /// The tolerated difference in seconds.
        skew: u64,
    },
    /// The digest does not match the application's secret and the user's password.
    #[error(
        "its digest is wrong: it was made with another secret than the one that is set here, or \
         the password was changed, or it is forged"
    )]
    WrongDigest,
    /// The user has no password, so the secret alone is enough to make it.
    #[error("its user has no password, without which a ticket proves nothing")]
    NoPassword,
    /// The text under the digest is longer than the application's maximum.
    #[error("what its digest is over is longer than 4096 bytes")]
    TooLong,
    /// The name contains a `;`, the separator of a ticket's fields.
    #[error("the name has a `;` in it, which tickets cannot hold")]
    Unwritable,
}

impl Default for Validity {
    /// The application's defaults: five minutes, and half a minute of clock difference.
    fn default() -> Self {
        Self { ttl: Duration::from_mins(5), skew: Duration::from_secs(30) }
    }
}

impl Ticket {
    /// Parses a ticket; `text` is the percent-decoded value from the query.
    ///
    /// # Errors
    /// If the ticket is malformed.
    pub fn parse(text: &str) -> Result<Self, TicketError> {
        if text.len() > MAX_BYTES {
            return Err(TicketError::Malformed("it is far too long"));
        }
        // The application's own parser skips characters outside of the alphabet.
        let kept: String = text.chars().filter(|c| in_alphabet(*c)).collect();
        let plain =
            FORGIVING.decode(kept).map_err(|_| TicketError::Malformed("it is not base64"))?;
        let plain = String::from_utf8(plain)
            .map_err(|_| TicketError::Malformed("the decoded base64 is not UTF-8"))?;
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

    /// Makes a ticket as the application does, for tests and commands. `nonce` is a unique text
    /// without a `;`; [`nonce`] makes one.
    ///
    /// # Errors
    /// If the name or the nonce contains a `;`, or the ticket is too long.
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

    /// Returns the claimed user; `None` if the ticket is anonymous.
    pub fn username(&self) -> Option<&str> {
        (!self.username.is_empty()).then_some(self.username.as_str())
    }

    /// Checks the age of the ticket. Does not verify its origin.
    ///
    /// # Errors
    /// If the ticket is too old or from the future.
    pub fn check_time(&self, now: SystemTime, validity: Validity) -> Result<(), TicketError> {
        self.created.check(now, validity)
    }

    /// Verifies the digest against the secret and the password. An anonymous ticket's password is
    /// the secret itself, and `password` is ignored. Takes some milliseconds of CPU time, on
    /// purpose, and as many without a password.
    ///
    /// # Errors
    /// If the digest does not match, or if the user has no password.
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

    /// Returns the ticket's fingerprint for replay protection, and the time until which to keep it.
    pub(crate) fn mark(&self, validity: Validity) -> (replay::Mark, SystemTime) {
        (replay::mark(&self.digest), self.created.expires(validity))
    }
}

/// Returns sixteen random hexadecimal digits from the operating system.
///
/// # Errors
/// If the operating system has no random numbers.
pub fn nonce() -> std::io::Result<String> {
    let random = getrandom::u64().map_err(|error| std::io::Error::other(error.to_string()))?;
    Ok(format!("{random:016x}"))
}

fn in_alphabet(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '+' || c == '/'
}

#[cfg(test)]
mod tests;
