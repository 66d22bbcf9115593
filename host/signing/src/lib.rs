//! Signatures of plugins: minisign files, and what a signature states about a component.
//!
//! A signature covers the bytes of one component and, in its trusted comment, a [`Statement`]: the
//! name of the plugin, its version, a number that grows with each release. Pure: no I/O and no
//! clock; the server reads the files, and `jackfield sign` writes them.
//!
//! - [`trust`]: public keys with the plugins that they may sign, and the verification;
//! - [`statement`]: the text of the trusted comment;
//! - [`secret_key`]: makes signatures and keys.

#![forbid(unsafe_code)]

mod secret_key;
mod statement;
mod trust;

pub use secret_key::{KeyPair, SecretKey, SecretKeyError};
pub use statement::{Statement, StatementError};
pub use trust::{KeyError, TrustedKey, Verified, VerifyError, verify};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The maximum size of a signature file; those of minisign are below it.
pub const MAX_SIGNATURE_BYTES: usize = 16 << 10;
/// The ending of a signature file's name, after that of the signed file.
pub const SIGNATURE_EXTENSION: &str = "minisig";

/// The bytes before the number of a key: the name of the algorithm.
const ALGORITHM_BYTES: usize = 2;
/// The bytes of a key's number.
const KEY_NUMBER_BYTES: usize = 8;

/// The number of the key in the encoded form of a key or a signature, as minisign shows it.
fn key_number(encoded: &str) -> Option<String> {
    let bytes = STANDARD.decode(encoded.trim()).ok()?;
    let number = bytes.get(ALGORITHM_BYTES..ALGORITHM_BYTES + KEY_NUMBER_BYTES)?;
    Some(format!("{:016X}", u64::from_le_bytes(number.try_into().ok()?)))
}
