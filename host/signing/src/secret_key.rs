//! Secret keys in the file format of minisign: made, opened with a password, and used to sign.
//!
//! A file is a comment and one line of Base64: the names of the algorithms, the parameters of scrypt,
//! and the number of the key, the key and a checksum, which are encrypted unless there is no
//! password.

mod password;

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use blake2::{Blake2b256, Blake2b512, Digest as _};
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::statement::Statement;
use super::{ALGORITHM_BYTES, KEY_NUMBER_BYTES};
use password::Parameters;

/// Ed25519 in keys, and Ed25519 over the BLAKE2b of a file in signatures.
const ED25519: [u8; ALGORITHM_BYTES] = *b"Ed";
const ED25519_PREHASHED: [u8; ALGORITHM_BYTES] = *b"ED";
/// The names of the key derivations: none, and scrypt.
const NO_PASSWORD: [u8; ALGORITHM_BYTES] = [0, 0];
const SCRYPT: [u8; ALGORITHM_BYTES] = *b"Sc";
/// The checksum: BLAKE2b.
const BLAKE2B: [u8; ALGORITHM_BYTES] = *b"B2";
const SEED_BYTES: usize = 32;
const PUBLIC_KEY_BYTES: usize = 32;
const CHECKSUM_BYTES: usize = 32;
/// The part of a key file that may be encrypted: number, seed, public key, checksum.
const PRIVATE_BYTES: usize = KEY_NUMBER_BYTES + SEED_BYTES + PUBLIC_KEY_BYTES + CHECKSUM_BYTES;
/// The first line of a signature, which anybody may change.
const COMMENT: &str = "untrusted comment: signature of a Jackfield plugin";

/// A secret key, ready to sign.
pub struct SecretKey {
    number: [u8; KEY_NUMBER_BYTES],
    pair: Ed25519KeyPair,
}

/// A new key pair.
pub struct KeyPair {
    /// The content of the file of the secret key.
    pub secret: Zeroizing<String>,
    /// The content of the file of the public key.
    pub public: String,
    /// The public key itself: the second line of its file.
    pub key: String,
}

/// An error of a secret key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretKeyError {
    /// It is no secret key file of minisign.
    #[error("this is no secret key file of minisign")]
    Malformed,
    /// The key is encrypted, and there is no password.
    #[error("the secret key is encrypted, and there is no password")]
    NoPassword,
    /// The password is wrong, or the key is damaged.
    #[error("the password is wrong, or the key is damaged")]
    WrongPassword,
    /// The key is damaged.
    #[error("the key is damaged")]
    Damaged,
    /// The parameters of the key's encryption need too much memory or time.
    #[error("the encryption of the key needs more memory or time than is allowed")]
    Parameters,
    /// There is no randomness.
    #[error("the system has no randomness to give")]
    Randomness,
}

/// The parts of a secret key file.
struct Parts<'b> {
    derivation: [u8; ALGORITHM_BYTES],
    parameters: Parameters<'b>,
    private: &'b [u8],
}

impl SecretKey {
    /// Returns whether the key in a file is encrypted.
    ///
    /// # Errors
    /// When it is no key.
    pub fn is_encrypted(file: &str) -> Result<bool, SecretKeyError> {
        Ok(Parts::split(&decode(file)?)?.derivation == SCRYPT)
    }

    /// Opens the key in a file.
    ///
    /// # Errors
    /// When it is no key, or when the password is missing or wrong.
    pub fn open(file: &str, password: Option<&str>) -> Result<Self, SecretKeyError> {
        let bytes = decode(file)?;
        let Parts { derivation, parameters, private } = Parts::split(&bytes)?;
        let mut private = Zeroizing::new(private.to_vec());
        if derivation == SCRYPT {
            let password = password.ok_or(SecretKeyError::NoPassword)?;
            parameters.apply(password, &mut private)?;
            return Self::of_private(&private, false).ok_or(SecretKeyError::WrongPassword);
        }
        // minisign writes no checksum into a key without a password.
        Self::of_private(&private, true).ok_or(SecretKeyError::Damaged)
    }

    /// Makes a key pair. Without a password, the secret key is not encrypted.
    ///
    /// # Errors
    /// When there is no randomness, or no memory for the encryption.
    pub fn generate(password: Option<&str>) -> Result<KeyPair, SecretKeyError> {
        let mut number = [0; KEY_NUMBER_BYTES];
        let mut salt = [0; password::SALT_BYTES];
        let mut seed = Zeroizing::new([0; SEED_BYTES]);
        for bytes in [&mut number[..], &mut salt, &mut *seed] {
            getrandom::fill(bytes).map_err(|_| SecretKeyError::Randomness)?;
        }
        let pair = Ed25519KeyPair::from_seed_unchecked(&*seed);
        let pair = pair.map_err(|_| SecretKeyError::Damaged)?;
        let public = pair.public_key().as_ref().to_vec();
        let mut private = Zeroizing::new(Vec::with_capacity(PRIVATE_BYTES));
        for part in [&number, &seed[..], &public, &checksum(&number, &*seed, &public)] {
            private.extend_from_slice(part);
        }
        let (derivation, parameters, kind) = match password {
            Some(_) => (SCRYPT, Parameters::of_new_key(&salt), "encrypted secret key"),
            None => (NO_PASSWORD, Parameters::NONE, "unencrypted secret key"),
        };
        if let Some(password) = password {
            parameters.apply(password, &mut private)?;
        }
        let head = [ED25519, derivation, BLAKE2B].concat();
        let secret = Zeroizing::new([&head, &*parameters.bytes(), &private[..]].concat());
        let secret = Zeroizing::new(STANDARD.encode(&*secret));
        let key = encode_public(number, &public);
        let shown = u64::from_le_bytes(number);
        Ok(KeyPair {
            secret: Zeroizing::new(format!("untrusted comment: minisign {kind}\n{}\n", *secret)),
            public: format!("untrusted comment: minisign public key {shown:016X}\n{key}\n"),
            key,
        })
    }

    /// The public key, in the encoding of minisign.
    pub fn public(&self) -> String {
        encode_public(self.number, self.pair.public_key().as_ref())
    }

    /// The number of the key, as minisign shows it.
    pub fn number(&self) -> String {
        format!("{:016X}", u64::from_le_bytes(self.number))
    }

    /// Signs the bytes of a component. Returns the content of the signature file.
    pub fn sign(&self, bytes: &[u8], statement: &Statement) -> String {
        self.sign_with_comment(bytes, &statement.to_string())
    }

    pub(super) fn sign_with_comment(&self, bytes: &[u8], comment: &str) -> String {
        let signature = self.pair.sign(&Blake2b512::digest(bytes));
        let signature = signature.as_ref();
        let whole = self.pair.sign(&[signature, comment.as_bytes()].concat());
        let encoded = STANDARD.encode([&ED25519_PREHASHED, &self.number[..], signature].concat());
        let whole = STANDARD.encode(whole.as_ref());
        format!("{COMMENT}\n{encoded}\ntrusted comment: {comment}\n{whole}\n")
    }

    /// The key in the decrypted part of a file; `None` if its checksum is another, or if it is zero
    /// and may not be.
    fn of_private(private: &[u8], may_be_zero: bool) -> Option<Self> {
        let (number, rest) = private.split_first_chunk::<KEY_NUMBER_BYTES>()?;
        let (seed, rest) = rest.split_first_chunk::<SEED_BYTES>()?;
        let (public, found) = rest.split_first_chunk::<PUBLIC_KEY_BYTES>()?;
        let is_whole = bool::from(checksum(number, seed, public).ct_eq(found))
            || (may_be_zero && found == [0; CHECKSUM_BYTES]);
        let pair = Ed25519KeyPair::from_seed_and_public_key(seed, public).ok()?;
        is_whole.then_some(Self { number: *number, pair })
    }
}

impl<'b> Parts<'b> {
    fn split(bytes: &'b [u8]) -> Result<Self, SecretKeyError> {
        let split = || {
            let (algorithm, rest) = bytes.split_first_chunk::<ALGORITHM_BYTES>()?;
            let (derivation, rest) = rest.split_first_chunk::<ALGORITHM_BYTES>()?;
            let (check, rest) = rest.split_first_chunk::<ALGORITHM_BYTES>()?;
            let (parameters, private) = Parameters::split(rest)?;
            let is_known = *algorithm == ED25519
                && [NO_PASSWORD, SCRYPT].contains(derivation)
                && *check == BLAKE2B
                && private.len() == PRIVATE_BYTES;
            is_known.then_some(Self { derivation: *derivation, parameters, private })
        };
        split().ok_or(SecretKeyError::Malformed)
    }
}

fn decode(file: &str) -> Result<Zeroizing<Vec<u8>>, SecretKeyError> {
    let line = file.lines().nth(1).ok_or(SecretKeyError::Malformed)?;
    let bytes = STANDARD.decode(line.trim_end()).map_err(|_| SecretKeyError::Malformed)?;
    Ok(Zeroizing::new(bytes))
}

fn encode_public(number: [u8; KEY_NUMBER_BYTES], key: &[u8]) -> String {
    STANDARD.encode([&ED25519, &number[..], key].concat())
}

fn checksum(number: &[u8], seed: &[u8], public: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let mut hasher = Blake2b256::new();
    for part in [&ED25519[..], number, seed, public] {
        hasher.update(part);
    }
    hasher.finalize().into()
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretKey").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_the_keys_that_it_makes() {
        for password in [None, Some("correct horse")] {
            let pair = SecretKey::generate(password).unwrap();
            assert_eq!(SecretKey::is_encrypted(&pair.secret), Ok(password.is_some()));
            let key = SecretKey::open(&pair.secret, password).unwrap();
            assert_eq!(key.public(), pair.key);
            assert_eq!(pair.public.lines().nth(1), Some(pair.key.as_str()));
            assert_eq!(format!("{key:?}"), "SecretKey { .. }");
        }
    }

    #[test]
    fn rejects_wrong_passwords_and_other_files() {
        let open = |file: &str, password| SecretKey::open(file, password).map(|_| ()).unwrap_err();
        let pair = SecretKey::generate(Some("a")).unwrap();
        assert_eq!(open(&pair.secret, None), SecretKeyError::NoPassword);
        assert_eq!(open(&pair.secret, Some("b")), SecretKeyError::WrongPassword);
        for file in ["", "x", "untrusted comment: x\n", "x\n!!\n", &pair.public] {
            assert_eq!(open(file, Some("a")), SecretKeyError::Malformed, "{file}");
        }
        let plain = SecretKey::generate(None).unwrap().secret;
        let mut bytes = decode(&plain).unwrap();
        for at in 0..bytes.len() {
            bytes[at] ^= 1;
            let damaged = format!("x\n{}\n", STANDARD.encode(&*bytes));
            let parameters = 3 * ALGORITHM_BYTES..bytes.len() - PRIVATE_BYTES;
            // Without a password, its parameters mean nothing.
            assert_eq!(SecretKey::open(&damaged, None).is_ok(), parameters.contains(&at), "{at}");
            bytes[at] ^= 1;
        }
        // As minisign makes it.
        let checksum = bytes.len() - CHECKSUM_BYTES..;
        bytes[checksum].fill(0);
        assert!(SecretKey::open(&format!("x\n{}\n", STANDARD.encode(&*bytes)), None).is_ok());
    }
}
