//! Verification keys of tokens, each for one algorithm: a secret, public keys in PEM, or a JWKS
//! (RFC 7517).

use std::fmt;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jackfield_yaml::Diagnosis;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, PublicKeyUse};
use jsonwebtoken::jwk::{KeyAlgorithm, KeyOperations};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde_json::Value;

use super::{JwtError, MAX_SHOWN, provider};
use crate::basis::Fingerprint;

/// Minimum length of a secret, in bytes, the length of its signature; RFC 7518, section 3.2.
const MIN_SECRET_BYTES: usize = 32;
/// Minimum length of an RSA modulus, in bytes: 2048 bits; RFC 7518, section 3.3.
const MIN_MODULUS_BYTES: usize = 256;
/// Maximum number of keys: more than any issuer has at a time. A token without a key id is tried
/// with each.
const MAX_KEYS: usize = 100;

/// Fields of private keys; RFC 7518, section 6.3.2, and RFC 8037, section 2.
const PRIVATE_FIELDS: [&str; 7] = ["d", "p", "q", "dp", "dq", "qi", "oth"];

/// Set of verification keys; at least one.
#[derive(Debug)]
pub struct Keys {
    form: KeyFormat,
    keys: Vec<Key>,
}

/// Format of the key file.
#[derive(Clone, Copy, Debug)]
enum KeyFormat {
    Secret,
    Pem,
    Jwks,
}

/// Key with its only algorithm.
pub(super) struct Key {
    pub(super) id: Option<String>,
    pub(super) algorithm: Algorithm,
    pub(super) material: DecodingKey,
    pub(super) fingerprint: Fingerprint,
}

/// Omits the key itself, which may be a secret.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({:?}, {:?})", self.id, self.algorithm)
    }
}

impl Keys {
    /// Creates the key for HS256 from a secret shared with the issuer. Errors name `path`.
    ///
    /// # Errors
    /// If the secret is shorter than 32 bytes.
    pub fn secret(path: &str, secret: &[u8]) -> Result<Self, Diagnosis> {
        let key = Key {
            id: None,
            algorithm: Algorithm::HS256,
            material: hmac(secret).map_err(|wrong| wrong.at(path))?,
            fingerprint: Fingerprint::of([secret]),
        };
        Ok(Self::new(KeyFormat::Secret, vec![key]))
    }

    /// Parses public keys in PEM, one or more: RSA for RS256, P-256 for ES256, Ed25519 for `EdDSA`.
    ///
    /// # Errors
    /// If there is no key, an unsupported one, or a private one.
    pub fn pem(path: &str, text: &str) -> Result<Self, Diagnosis> {
        const BEGIN: &str = "-----BEGIN ";
        let mut keys = Vec::new();
        for (start, _) in text.match_indices(BEGIN) {
            let (before, block) = text.split_at_checked(start).unwrap_or_default();
            let rest = block.get(BEGIN.len()..).unwrap_or_default();
            let end = rest.find(BEGIN).map_or(block.len(), |end| end + BEGIN.len());
            let line = before.matches('\n').count() + 1;
            let key = pem(block.get(..end).unwrap_or(block)).map_err(|wrong| {
                let mut problem = wrong.at(path);
                (problem.line, problem.column) = (line, 1);
                problem
            })?;
            keys.push(key);
        }
        if keys.is_empty() {
            let problem = Diagnosis::without_place(path, "there is no key in PEM in this file");
            return Err(problem.with_help("it begins with -----BEGIN PUBLIC KEY-----"));
        }
        Ok(Self::new(KeyFormat::Pem, keys))
    }

    /// Parses a JWKS. Keys for other uses than signatures and for unsupported algorithms are
    /// skipped.
    ///
    /// # Errors
    /// If it is not a JWKS, if one of its keys is invalid, or if it has no usable key.
    pub fn jwks(path: &str, text: &str) -> Result<Self, Diagnosis> {
        let none = || {
            let help =
                "a JWKS is what the issuer publishes: {\"keys\": [ … ]} with one key or more";
            Diagnosis::without_place(path, "there are no keys in it").with_help(help)
        };
        if text.trim().is_empty() {
            return Err(none());
        }
        let json = |error| invalid_json(path, &error);
        let set: Value = serde_json::from_str(text).map_err(json)?;
        if set.as_object().is_some_and(|set| !set.contains_key("keys")) {
            return Err(none());
        }
        check_public(path, &set)?;
        let set: JwkSet = serde_json::from_str(text).map_err(json)?;
        let mut keys = Vec::new();
        for (index, jwk) in set.keys.iter().enumerate() {
            let key = self::jwk(jwk)
                .map_err(|wrong| wrong.of(path, jwk.common.key_id.as_deref(), index))?;
            keys.extend(key);
        }
        if set.keys.is_empty() {
            return Err(none());
        }
        if keys.is_empty() || keys.len() > MAX_KEYS {
            let count = keys.len();
            let message = format!("{count} of its {} keys are of use here", set.keys.len());
            let help = format!("it takes 1 to {MAX_KEYS} for HS256, RS256, ES256 or EdDSA");
            return Err(Diagnosis::without_place(path, message).with_help(help));
        }
        Ok(Self::new(KeyFormat::Jwks, keys))
    }

    /// Parses keys in the format of these.
    pub(super) fn like(&self, path: &str, text: &str) -> Result<Self, Diagnosis> {
        match self.form {
            KeyFormat::Secret => Self::secret(path, text.trim_end_matches(['\r', '\n']).as_bytes()),
            KeyFormat::Pem => Self::pem(path, text),
            KeyFormat::Jwks => Self::jwks(path, text),
        }
    }

    fn new(form: KeyFormat, keys: Vec<Key>) -> Self {
        provider::install();
        Self { form, keys }
    }

    /// Returns whether a key has this fingerprint.
    pub(super) fn has(&self, fingerprint: Fingerprint) -> bool {
        self.keys.iter().any(|key| key.fingerprint == fingerprint)
    }

    /// Returns the number of keys.
    pub fn count(&self) -> usize {
        self.keys.len()
    }

    /// Returns the candidate keys of a token's header: those of its key id and algorithm, or those
    /// of its algorithm without an id.
    pub(super) fn candidates(
        &self,
        algorithm: Algorithm,
        kid: Option<&str>,
    ) -> Result<Vec<&Key>, JwtError> {
        let fit: Vec<&Key> = self.keys.iter().filter(|key| key.algorithm == algorithm).collect();
        if fit.is_empty() {
            return Err(JwtError::Algorithm { algorithm: format!("{algorithm:?}") });
        }
        let Some(kid) = kid else { return Ok(fit) };
        let named: Vec<&Key> =
            fit.iter().copied().filter(|key| key.id.as_deref() == Some(kid)).collect();
        if !named.is_empty() {
            return Ok(named);
        }
        let nameless: Vec<&Key> = fit.into_iter().filter(|key| key.id.is_none()).collect();
        if nameless.is_empty() {
            return Err(JwtError::UnknownKey { kid: kid.chars().take(MAX_SHOWN).collect() });
        }
        Ok(nameless)
    }
}

/// Error of a key, without its place: message and help.
struct KeyError(&'static str, &'static str);

impl KeyError {
    fn at(self, path: &str) -> Diagnosis {
        Diagnosis::without_place(path, self.0).with_help(self.1)
    }

    /// Names the key: by its id, or by its position if it has none.
    fn of(self, path: &str, kid: Option<&str>, index: usize) -> Diagnosis {
        let mut problem = self.at(path);
        let name = match kid {
            Some(kid) => format!("{kid:?}"),
            None => format!("number {}", index + 1),
        };
        problem.message = format!("the key {name} {}", problem.message);
        problem
    }
}

/// Reports invalid JSON without quoting the file: it may hold a secret by mistake.
fn invalid_json(path: &str, error: &serde_json::Error) -> Diagnosis {
    let message = match error.classify() {
        serde_json::error::Category::Data => "this is not what belongs here",
        _ => "this is not JSON",
    };
    let (line, column) = (error.line(), error.column());
    Diagnosis { line, column, ..Diagnosis::without_place(path, message) }
}

/// Rejects private keys: readers of a file of public keys could sign tokens with them.
fn check_public(path: &str, set: &Value) -> Result<(), Diagnosis> {
    let keys = set.get("keys").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let is_private = |key: &Value| PRIVATE_FIELDS.iter().any(|member| key.get(member).is_some());
    let Some(index) = keys.iter().position(is_private) else { return Ok(()) };
    let kid = keys.get(index).and_then(|key| key.get("kid")).and_then(Value::as_str);
    let help = "take the issuer's public keys, and consider this one known to others: replace it";
    Err(KeyError("is a private key", help).of(path, kid, index))
}

fn hmac(secret: &[u8]) -> Result<DecodingKey, KeyError> {
    if secret.len() < MIN_SECRET_BYTES {
        let help = "use 32 bytes or more, at random: openssl rand -base64 48";
        return Err(KeyError("is a secret that is too short to sign tokens with", help));
    }
    Ok(DecodingKey::from_secret(secret))
}

fn pem(block: &str) -> Result<Key, KeyError> {
    const PUBLIC: &str =
        "give an RSA, P-256 or Ed25519 public key: openssl pkey -in PRIVATE_FIELDS -pubout";
    let is = |label: &str| block.starts_with(&format!("-----BEGIN {label}-----"));
    if !is("PUBLIC KEY") && !is("RSA PUBLIC KEY") {
        return Err(KeyError("is not a public key", PUBLIC));
    }
    let unsupported = KeyError("is not a public key that can be read", PUBLIC);
    let fingerprint = Fingerprint::of([block.trim().as_bytes()]);
    let key = |algorithm, material| Key { id: None, algorithm, material, fingerprint };
    let bytes = |key: &DecodingKey| key.try_get_as_bytes().map_or(0, <[u8]>::len);
    if let Ok(ec) = DecodingKey::from_ec_pem(block.as_bytes()) {
        // The uncompressed point of P-256; other curves have longer ones.
        return if bytes(&ec) == 65 { Ok(key(Algorithm::ES256, ec)) } else { Err(unsupported) };
    }
    if let Ok(ed) = DecodingKey::from_ed_pem(block.as_bytes()) {
        return if bytes(&ed) == 32 { Ok(key(Algorithm::EdDSA, ed)) } else { Err(unsupported) };
    }
    let rsa = DecodingKey::from_rsa_pem(block.as_bytes()).map_err(|_| unsupported)?;
    if bytes(&rsa) < MIN_MODULUS_BYTES {
        return Err(KeyError("is an RSA key of fewer than 2048 bits", PUBLIC));
    }
    Ok(key(Algorithm::RS256, rsa))
}

/// Converts a JWK; `None` for an unsupported use or algorithm.
fn jwk(jwk: &Jwk) -> Result<Option<Key>, KeyError> {
    let common = &jwk.common;
    let for_signatures = match &common.public_key_use {
        None => true,
        Some(subject) => *subject == PublicKeyUse::Signature,
    };
    let verifies = common.key_operations.as_ref().is_none_or(|subject| {
        subject.contains(&KeyOperations::Verify) || subject.contains(&KeyOperations::Sign)
    });
    if !for_signatures || !verifies {
        return Ok(None);
    }
    let broken =
        KeyError("has a parameter that is not base64", "take the file from the issuer anew");
    let decode = |text: &str| BASE64_URL_SAFE_NO_PAD.decode(text.trim_end_matches('='));
    let (algorithm, material) = match &jwk.algorithm {
        AlgorithmParameters::OctetKey(key) => {
            let secret = decode(&key.value).map_err(|_| broken)?;
            (Algorithm::HS256, hmac(&secret)?)
        }
        AlgorithmParameters::RSA(key) => {
            let (Ok(n), Ok(e)) = (decode(&key.n), decode(&key.e)) else { return Err(broken) };
            // Some issuers write a leading zero, as in ASN.1, which RFC 7518 does not allow.
            let modulus = significant(&n);
            if modulus.len() < MIN_MODULUS_BYTES {
                let help = "the issuer has to make a longer one";
                return Err(KeyError("is an RSA key of fewer than 2048 bits", help));
            }
            let key = DecodingKey::from_rsa_raw_components(modulus, significant(&e));
            (Algorithm::RS256, key)
        }
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => {
            let (Ok(x), Ok(y)) = (decode(&key.x), decode(&key.y)) else { return Err(broken) };
            if (x.len(), y.len()) != (32, 32) {
                return Err(broken);
            }
            let point = [&[4][..], &x, &y].concat();
            (Algorithm::ES256, DecodingKey::from_ec_der(&point))
        }
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
            let x = decode(&key.x).ok().filter(|x| x.len() == 32).ok_or(broken)?;
            (Algorithm::EdDSA, DecodingKey::from_ed_der(&x))
        }
        // Other curves, other key types, and future variants of the library.
        _ => return Ok(None),
    };
    let meant = common.key_algorithm.unwrap_or_else(|| KeyAlgorithm::from(algorithm));
    let id = common.key_id.clone();
    // Keys that could not be written would be the same key.
    let parameters = serde_json::to_vec(&jwk.algorithm).map_err(|_| {
        KeyError("has parameters that cannot be written", "take the file from the issuer anew")
    })?;
    let fingerprint = Fingerprint::of([parameters.as_slice()]);
    let key = Key { id, algorithm, material, fingerprint };
    Ok((meant == KeyAlgorithm::from(algorithm)).then_some(key))
}

/// Strips leading zeros.
fn significant(number: &[u8]) -> &[u8] {
    let start = number.iter().position(|byte| *byte != 0).unwrap_or(number.len());
    number.get(start..).unwrap_or_default()
}
