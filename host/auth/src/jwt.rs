//! JSON Web Token verification: from a token to an [`Authenticated`] client.
//! RFC 7519, RFC 8725.
//!
//! A key determines its algorithm; a token only selects a key. So no token can use a public key as
//! a secret, or be unsigned. A token must have an expiry time.

mod claims;
mod keys;
mod provider;

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use jackfield_yaml::Diagnosis;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Header, Validation, decode, decode_header};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::identity::Authenticated;
use crate::verifiers::{Verifiers, VerifiersError};

pub use claims::ClaimNames;
pub use keys::Keys;

/// Bytes of the longest token that is looked at.
const MAX_BYTES: usize = 16 << 10;
/// Characters of a stranger's text that are shown in a log.
const MAX_SHOWN: usize = 64;

/// Verifier of tokens: rules and keys. Keys can be replaced while clients connect.
#[derive(Debug)]
pub struct Jwt {
    judge: Arc<Judge>,
    verifiers: Verifiers,
}

/// Everything that a token is judged by.
#[derive(Debug)]
struct Judge {
    keys: ArcSwap<Keys>,
    rules: JwtRules,
}

/// Rules for claims of tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JwtRules {
    /// Accepted issuers (`iss`); empty accepts any.
    pub issuers: Vec<String>,
    /// Accepted audiences (`aud`); empty accepts only tokens without one.
    pub audiences: Vec<String>,
    /// Tolerated difference between this machine's clock and the issuer's.
    pub leeway: Duration,
    /// Names of the identity claims.
    pub names: ClaimNames,
    /// What becomes of a session whose token ceases to be good.
    pub expiry: Expiry,
}

/// What becomes of a session whose token ceases to be good.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Expiry {
    /// It ends, and its client comes back with a new token.
    #[default]
    Close,
    /// It goes on; the token is good for as long as the connection lasts.
    Ignore,
}

/// A token was rejected; for the log. The texts never contain the token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JwtError {
    /// It cannot be read.
    #[error("the token cannot be read: it is not three parts of base64 with JSON in them")]
    Malformed,
    /// It has an unsupported critical header.
    #[error("the token demands extensions (`crit`) that are not known here")]
    Critical,
    /// No key is for its algorithm.
    #[error("the token is signed by {algorithm}, for which there is no key here")]
    Algorithm {
        /// What it says it is signed by.
        algorithm: String,
    },
    /// Its key is unknown.
    #[error(
        "the token is signed by the key {kid:?}, which is not among the keys here: if the issuer \
         has a new one, put it into the file of keys"
    )]
    UnknownKey {
        /// What it says its key is called, cut to a length for logs.
        kid: String,
    },
    /// The signature is not that of a key here.
    #[error("the token's signature is wrong")]
    Signature,
    /// It has no expiry time.
    #[error("the token does not say until when it is good: it has no `exp`")]
    NoExpiry,
    /// It was good until some time ago.
    #[error("the token was good until {ago} s ago")]
    Expired {
        /// Seconds since the expiry.
        ago: u64,
    },
    /// It is not good yet.
    #[error(
        "the token is good from {ahead} s from now on: compare this machine's clock with the \
         issuer's"
    )]
    NotYet {
        /// Seconds until it is valid.
        ahead: u64,
    },
    /// It is of another issuer, or of none, or of several.
    #[error("the token is not of one issuer (`iss`) that is named in the settings")]
    Issuer,
    /// It is for another audience.
    #[error("the token is not for an audience (`aud`) that is named in the settings")]
    Audience,
    /// A claim is missing or invalid.
    #[error("the token's claim `{claim}` {wrong}")]
    Claim {
        /// The claim's name in the settings.
        claim: String,
        /// The error.
        wrong: &'static str,
    },
    /// Too much is being verified.
    #[error("the token is refused: {0}")]
    Busy(VerifiersError),
}

impl JwtError {
    /// Whether the cause is a temporary one on this side.
    pub fn is_temporary(&self) -> bool {
        matches!(self, Self::Busy(_))
    }
}

impl Jwt {
    /// Tokens that are signed by one of these keys and are judged by these rules. Signatures are
    /// verified by `verifiers`: one takes a fraction of a millisecond, but a token without the
    /// name of its key is tried with each.
    pub fn new(keys: Keys, rules: JwtRules, verifiers: Verifiers) -> Self {
        let judge = Judge { keys: ArcSwap::from_pointee(keys), rules };
        Self { judge: Arc::new(judge), verifiers }
    }

    /// Puts the keys of a file in the place of those before, as the issuer has others now: a JWKS
    /// for a JWKS, PEM for PEM. Tells how many there are.
    ///
    /// # Errors
    /// The first mistake; the keys before stay.
    pub fn replace(&self, path: &str, text: &str) -> Result<usize, Diagnosis> {
        let keys = self.judge.keys.load().like(path, text)?;
        let count = keys.count();
        self.judge.keys.store(keys.into());
        Ok(count)
    }

    /// Who comes with this token from the address `from`.
    ///
    /// # Errors [`JwtError`]; [`JwtError::is_temporary`] says whether another attempt may succeed.
    pub async fn authenticate(
        &self,
        token: &str,
        from: IpAddr,
        now: SystemTime,
    ) -> Result<Authenticated, JwtError> {
        // A malformed token, or one of an unknown key, takes no place in the queue.
        let header = header(token)?;
        self.judge.keys.load().candidates(header.alg, header.kid.as_deref())?;
        let (judge, token) = (Arc::clone(&self.judge), token.to_owned());
        let verdict = self.verifiers.run(from, move || judge.whose(&token, now)).await;
        verdict.map_err(JwtError::Busy)?
    }
}

impl Judge {
    /// Whose token it is. Takes as long as it takes.
    fn whose(&self, token: &str, now: SystemTime) -> Result<Authenticated, JwtError> {
        let claims = self.verify(token)?;
        let until = self.check_time(&claims, now)?;
        let who = self.rules.names.identity(claims)?;
        // What is too far away for the clock never comes.
        let expires = SystemTime::UNIX_EPOCH.checked_add(until);
        Ok(Authenticated { expires: expires.filter(|_| self.rules.expiry == Expiry::Close), ..who })
    }

    /// The claims of a token that was signed by a key here and is meant for us.
    fn verify(&self, token: &str) -> Result<Map<String, Value>, JwtError> {
        let header = header(token)?;
        let keys = self.keys.load();
        let candidates = keys.candidates(header.alg, header.kid.as_deref())?;
        let mut refusal = JwtError::Signature;
        for key in candidates {
            match decode::<Map<String, Value>>(
                token,
                &key.material,
                &self.validation(key.algorithm),
            ) {
                Ok(data) => return check_issuer(&data.claims).map(|()| data.claims),
                Err(error) => match explain(error.kind()) {
                    JwtError::Signature => {}
                    other => refusal = other,
                },
            }
        }
        Err(refusal)
    }

    /// What the library is to look at. It would ask its own clock for the time, so that is left to
    /// [`Judge::check_time`].
    fn validation(&self, algorithm: jsonwebtoken::Algorithm) -> Validation {
        let mut validation = Validation::new(algorithm);
        validation.validate_exp = false;
        validation.validate_nbf = false;
        validation.required_spec_claims = HashSet::new();
        if !self.rules.issuers.is_empty() {
            validation.set_issuer(&self.rules.issuers);
            validation.required_spec_claims.insert("iss".to_owned());
        }
        if !self.rules.audiences.is_empty() {
            validation.set_audience(&self.rules.audiences);
            validation.required_spec_claims.insert("aud".to_owned());
        }
        validation
    }

    /// When the token ceases to be good, the leeway included: seconds since 1970.
    fn check_time(
        &self,
        claims: &Map<String, Value>,
        now: SystemTime,
    ) -> Result<Duration, JwtError> {
        let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let leeway = self.rules.leeway;
        let until = time(claims, "exp")?.ok_or(JwtError::NoExpiry)?;
        let end = until.saturating_add(leeway);
        if end <= now {
            return Err(JwtError::Expired { ago: now.saturating_sub(until).as_secs() });
        }
        match time(claims, "nbf")? {
            Some(from) if from > now.saturating_add(leeway) => {
                Err(JwtError::NotYet { ahead: from.saturating_sub(now).as_secs() })
            }
            Some(_) | None => Ok(end),
        }
    }
}

fn header(token: &str) -> Result<Header, JwtError> {
    if token.len() > MAX_BYTES {
        return Err(JwtError::Malformed);
    }
    let header = decode_header(token).map_err(|_| JwtError::Malformed)?;
    if header.crit.is_some() { Err(JwtError::Critical) } else { Ok(header) }
}

/// A token has one issuer; RFC 7519, section 4.1.1. The library takes one of several.
fn check_issuer(claims: &Map<String, Value>) -> Result<(), JwtError> {
    match claims.get("iss") {
        None | Some(Value::String(_)) => Ok(()),
        Some(_) => Err(JwtError::Issuer),
    }
}

fn explain(kind: &ErrorKind) -> JwtError {
    match kind {
        ErrorKind::InvalidIssuer => JwtError::Issuer,
        ErrorKind::InvalidAudience => JwtError::Audience,
        ErrorKind::MissingRequiredClaim(claim) if claim == "iss" => JwtError::Issuer,
        ErrorKind::MissingRequiredClaim(claim) if claim == "aud" => JwtError::Audience,
        ErrorKind::InvalidSignature => JwtError::Signature,
        // The library's list grows; whatever else it says, the token is of no use.
        _ => JwtError::Malformed,
    }
}

/// Seconds since 1970, whole or not; RFC 7519, "NumericDate".
fn time(claims: &Map<String, Value>, claim: &str) -> Result<Option<Duration>, JwtError> {
    let Some(value) = claims.get(claim) else { return Ok(None) };
    let time = match value.as_u64() {
        Some(seconds) => Some(Duration::from_secs(seconds)),
        None => value.as_f64().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()),
    };
    let wrong = "is not a time in seconds since 1970";
    time.map(Some).ok_or_else(|| JwtError::Claim { claim: claim.to_owned(), wrong })
}

#[cfg(test)]
mod tests;
