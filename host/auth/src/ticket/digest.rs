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
/// Bytes of the longest text that applications make a digest of.
const MAX_BYTES: usize = 4_096;

/// The digest of the parts put together, in base64: 88 characters.
pub(super) fn of(parts: &[&str], secret: &AppSecret) -> Result<String, TicketError> {
    let plain: usize = parts.iter().map(|part| part.len()).sum();
    if plain > MAX_BYTES {
        return Err(TicketError::TooLong);
    }
    // What a round is over stays in one piece of memory, made once: it holds a password.
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

/// Whether two digests are the same, in a time that does not tell where they differ.
pub(super) fn same(a: &str, b: &str) -> bool {
    a.as_bytes().ct_eq(b.as_bytes()).into()
}

#[cfg(test)]
pub(super) mod tests {
    use std::cell::RefCell;

    thread_local! {
        /// Bytes that were salted for each digest that was made on this thread: what its time is
        /// measured by, where time itself is not to be trusted.
        pub(in super::super) static MADE: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
    }
}
