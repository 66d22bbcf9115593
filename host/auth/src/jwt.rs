//! JSON Web Token verification: from a token to an [`Authenticated`] client.
//! RFC 7519, RFC 8725.
//!
//! A key determines its algorithm; a token only selects a key. Therefore no token can use a public
//! key as a secret, or be unsigned. A token must have an expiry time.

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

use crate::basis::{Basis, Fingerprint, TokenRules};
use crate::identity::Authenticated;
use crate::verifiers::{Verifiers, VerifiersError};

pub use claims::ClaimNames;
pub use keys::Keys;

/// Maximum length of a token, in bytes.
const MAX_BYTES: usize = 16 << 10;
/// Maximum number of characters of an untrusted text in a log.
const MAX_SHOWN: usize = 64;

/// Verifier of tokens: keys, rules and a pool of threads. Keys can be replaced while clients
/// connect.
#[derive(Debug)]
pub struct Jwt {
    verifier: Arc<TokenVerifier>,
    verifiers: Verifiers,
}

/// Keys and rules of verification.
#[derive(Debug)]
struct TokenVerifier {
    keys: ArcSwap<Keys>,
    rules: JwtRules,
    /// The part of the rules that sessions rest on.
    basis: Arc<TokenRules>,
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
    /// The action at the expiry of a session's token.
    pub expiry: Expiry,
}

/// Action at the expiry of a session's token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Expiry {
    /// The session ends; its client reconnects with a new token.
    #[default]
    Close,
    /// The session continues: the expiry counts only when the connection opens.
    Ignore,
}

/// Rejection of a token, for the log. The texts never contain the token.
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
        /// The algorithm of its header.
        algorithm: String,
    },
    /// Its key is unknown.
    #[error(
        "the token is signed by the key {kid:?}, which is not among the keys here: if the issuer \
         has a new one, put it into the file of keys"
    )]
    UnknownKey {
        /// The key id of its header, cut for logs.
        kid: String,
    },
    /// No key here verifies its signature.
    #[error("the token's signature is wrong")]
    Signature,
    /// It has no expiry time.
    #[error("the token does not say until when it is good: it has no `exp`")]
    NoExpiry,
    /// It has expired.
    #[error("the token was good until {ago} s ago")]
    Expired {
        /// Seconds since the expiry.
        ago: u64,
    },
    /// It is not valid yet.
    #[error(
        "the token is good from {ahead} s from now on: compare this machine's clock with the \
         issuer's"
    )]
    NotYet {
        /// Seconds until it is valid.
        ahead: u64,
    },
    /// It has another issuer, none, or several.
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
    /// The verifiers are busy or stopped.
    #[error("the token is refused: {0}")]
    Busy(VerifiersError),
}

impl JwtError {
    /// Returns whether the cause is temporary and on this side.
    pub fn is_temporary(&self) -> bool {
        matches!(self, Self::Busy(_))
    }
}

impl Jwt {
    /// Creates a verifier from keys and rules. `verifiers` verify the signatures: one takes a
    /// fraction of a millisecond, but a token without a key id is tried with each key.
    pub fn new(keys: Keys, rules: JwtRules, verifiers: Verifiers) -> Self {
        let (keys, basis) = (ArcSwap::from_pointee(keys), Arc::new(rules.basis()));
        let verifier = TokenVerifier { keys, rules, basis };
        Self { verifier: Arc::new(verifier), verifiers }
    }

    pub(crate) fn has_key(&self, key: Fingerprint) -> bool {
        self.verifier.keys.load().has(key)
    }

    pub(crate) fn rules(&self) -> &TokenRules {
        &self.verifier.basis
    }

    /// Replaces the keys, for key rotation, by those of a file of the same format: a JWKS for a
    /// JWKS, PEM for PEM. Returns the number of keys.
    ///
    /// # Errors
    /// The first error in the file; the previous keys stay.
    pub fn replace(&self, path: &str, text: &str) -> Result<usize, Diagnosis> {
        let keys = self.verifier.keys.load().like(path, text)?;
        let count = keys.count();
        self.verifier.keys.store(keys.into());
        Ok(count)
    }

    /// Verifies the token of a client at the address `from`.
    ///
    /// # Errors
    /// [`JwtError`]; [`JwtError::is_temporary`] says whether another attempt may succeed.
    pub async fn authenticate(
        &self,
        token: &str,
        from: IpAddr,
        now: SystemTime,
    ) -> Result<Authenticated, JwtError> {
        // A malformed token, or one of an unknown key, takes no place in the queue.
        let header = header(token)?;
        self.verifier.keys.load().candidates(header.alg, header.kid.as_deref())?;
        let (verifier, token) = (Arc::clone(&self.verifier), token.to_owned());
        let verdict = self.verifiers.run(from, move || verifier.authenticate(&token, now)).await;
        verdict.map_err(JwtError::Busy)?
    }
}

impl JwtRules {
    fn basis(&self) -> TokenRules {
        let ClaimNames { id, username, roles, organization } = &self.names;
        let names = [id, username, roles, organization].map(String::as_bytes);
        let (issuers, audiences) = (self.issuers.clone(), self.audiences.clone());
        TokenRules { issuers, audiences, names: Fingerprint::of(names) }
    }
}

impl TokenVerifier {
    /// Verifies a token and returns its identity. CPU-bound.
    fn authenticate(&self, token: &str, now: SystemTime) -> Result<Authenticated, JwtError> {
        let (claims, key) = self.verify(token)?;
        let until = self.check_time(&claims, now)?;
        let basis = Basis::Token { key, rules: Arc::clone(&self.basis) };
        let who = self.rules.names.identity(claims, basis)?;
        // An expiry beyond the clock's range never comes.
        let expires = SystemTime::UNIX_EPOCH.checked_add(until);
        Ok(Authenticated { expires: expires.filter(|_| self.rules.expiry == Expiry::Close), ..who })
    }

    /// Returns the claims of a token with a valid signature, issuer and audience, and its key.
    fn verify(&self, token: &str) -> Result<(Map<String, Value>, Fingerprint), JwtError> {
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
                Ok(data) => {
                    return check_issuer(&data.claims).map(|()| (data.claims, key.fingerprint));
                }
                Err(error) => match explain(error.kind()) {
                    JwtError::Signature => {}
                    other => refusal = other,
                },
            }
        }
        Err(refusal)
    }

    /// Returns the checks of the library. It would read its own clock, so
    /// [`TokenVerifier::check_time`] checks times.
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

    /// Returns the token's expiry, leeway included, as time since 1970.
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

/// Rejects several issuers: a token has one (RFC 7519, section 4.1.1), but the library accepts a
/// list.
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
        // The library's list of errors grows; any other error makes the token invalid.
        _ => JwtError::Malformed,
    }
}

/// Parses seconds since 1970, whole or fractional; RFC 7519, "NumericDate".
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
