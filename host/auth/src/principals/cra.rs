//! WAMP-CRA: the client signs a text with a shared secret. WAMP v2 specification, section
//! "Challenge Response Authentication".

use std::fmt;
use std::num::NonZeroU32;
use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::{hmac, pbkdf2};
use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use zeroize::Zeroizing;

/// As the specification's example has it: milliseconds, in UTC.
const TIME: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");

/// The key of the signature.
pub(super) struct Key {
    key: hmac::Key,
    pub(super) salting: Option<Salting>,
}

/// How the client derives the key from its password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Salting {
    pub(super) salt: String,
    pub(super) iterations: NonZeroU32,
    /// The length of the derived key in bytes.
    pub(super) length: u8,
}

impl Key {
    /// The key of a secret; of a password, with `salting`. Its text in Base64 is the key then, as all
    /// clients have it.
    pub(super) fn new(secret: &str, salting: Option<Salting>) -> Self {
        let key = match &salting {
            None => hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()),
            Some(Salting { salt, iterations, length }) => {
                let mut derived = Zeroizing::new(vec![0; usize::from(*length)]);
                let (salt, secret) = (salt.as_bytes(), secret.as_bytes());
                pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, *iterations, salt, secret, &mut derived);
                let text = Zeroizing::new(STANDARD.encode(&derived));
                hmac::Key::new(hmac::HMAC_SHA256, text.as_bytes())
            }
        };
        Self { key, salting }
    }

    /// The key that was derived from a password before, in Base64.
    pub(super) fn of_derived(text: &str, salting: Salting) -> Self {
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, text.as_bytes()), salting: Some(salting) }
    }

    /// The key of an unknown name: no client has it.
    pub(super) fn decoy(bytes: &[u8; 32], salting: Option<Salting>) -> Self {
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, bytes), salting }
    }

    /// Returns the `Extra` of CHALLENGE, for this text.
    pub(super) fn extra(&self, text: &str) -> Map<String, Value> {
        let mut extra = Map::from_iter([("challenge".to_owned(), text.into())]);
        if let Some(Salting { salt, iterations, length }) = &self.salting {
            extra.insert("salt".to_owned(), salt.as_str().into());
            extra.insert("iterations".to_owned(), iterations.get().into());
            extra.insert("keylen".to_owned(), (*length).into());
        }
        extra
    }

    /// Returns whether the client has signed the text.
    pub(super) fn verify(&self, text: &str, signature: &str) -> bool {
        let Ok(signature) = STANDARD.decode(signature.trim()) else { return false };
        hmac::verify(&self.key, text.as_bytes(), &signature).is_ok()
    }
}

/// Returns the text that the client signs: JSON, with a nonce. `session` is the id of the session to come.
pub(super) fn text(authid: &str, role: &str, session: u64, now: SystemTime, nonce: &str) -> String {
    let now = OffsetDateTime::from(now).format(&TIME).unwrap_or_default();
    let text = json!({
        "authid": authid,
        "authrole": role,
        "authmethod": "wampcra",
        "authprovider": "static",
        "session": session,
        "nonce": nonce,
        "timestamp": now,
    });
    text.to_string()
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key")
    }
}
