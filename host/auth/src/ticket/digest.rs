//! Digest of a ticket: 5 000 rounds of SHA-512, salted in each round (Symfony's
//! `MessageDigestPasswordEncoder`).
//!
//! The salted text is the plain text followed by the secret in braces. The first round hashes it;
//! each further round hashes the previous digest, as 64 raw bytes, and the salted text.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use sha2::{Digest as _, Sha512};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::{AppSecret, TicketError};

const ROUNDS: usize = 5_000;
/// Maximum length of the digested text in the application, in bytes.
const MAX_BYTES: usize = 4_096;

/// Returns the digest of the concatenated parts, in base64: 88 characters.
pub(super) fn of(parts: &[&str], secret: &AppSecret) -> Result<String, TicketError> {
    let plain: usize = parts.iter().map(|part| part.len()).sum();
    if plain > MAX_BYTES {
        return Err(TicketError::TooLong);
    }
    // The input of a round is allocated once and cleared: it contains a password.
    let salted = plain + secret.reveal().len() + 2;
    let mut input = Zeroizing::new(Vec::with_capacity(64 + salted));
    for part in parts {
        input.extend_from_slice(part.as_bytes());
    }
    input.push(b'{');
    input.extend_from_slice(secret.reveal().as_bytes());
    input.push(b'}');
    #[cfg(test)]
    tests::MADE.with_borrow_mut(|made| made.push(salted));

    let mut digest = Sha512::digest(input.as_slice());
    input.splice(..0, digest);
    for _ in 1..ROUNDS {
        if let Some(front) = input.first_chunk_mut::<64>() {
            *front = digest.into();
        }
        digest = Sha512::digest(input.as_slice());
    }
    Ok(BASE64_STANDARD.encode(digest))
}

/// Compares two digests in constant time.
pub(super) fn same(a: &str, b: &str) -> bool {
    a.as_bytes().ct_eq(b.as_bytes()).into()
}

#[cfg(test)]
pub(super) mod tests {
    use std::cell::RefCell;

    thread_local! {
        /// Salted bytes of each digest made on this thread: a measure of its time that does not
        /// depend on the clock.
        pub(in super::super) static MADE: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
    }
}
