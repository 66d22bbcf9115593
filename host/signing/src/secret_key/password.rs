//! Encryption of a secret key by a password: scrypt, with the parameters of the key's file.
//!
//! The file has them in the units of libsodium, a number of operations and an amount of memory, from
//! which the parameters of scrypt follow.

use scrypt::{Params, scrypt};
use zeroize::Zeroizing;

use super::SecretKeyError;

pub(super) const SALT_BYTES: usize = 32;
/// Bytes of a parameter.
const WORD_BYTES: usize = 8;
/// The block size of scrypt, which libsodium fixes.
const BLOCK: u32 = 8;
/// The bytes of a block, and its operations.
const BLOCK_BYTES: u64 = 128 * BLOCK as u64;
const BLOCK_OPERATIONS: u64 = 4 * BLOCK as u64;
const MIN_OPERATIONS: u64 = 32_768;
/// The maximum memory: what minisign itself uses.
const MAX_MEMORY_BYTES: u64 = 1 << 30;
/// The maximum of operations: four times those of minisign.
const MAX_OPERATIONS: u64 = 1 << 27;
/// Parameters of new keys: 128 MiB, which a container has as well.
const NEW_OPERATIONS: u64 = 1 << 22;
const NEW_MEMORY_BYTES: u64 = 128 << 20;

/// The parameters in a key's file.
#[derive(Clone, Copy)]
pub(super) struct Parameters<'b> {
    salt: &'b [u8; SALT_BYTES],
    operations: u64,
    memory_bytes: u64,
}

impl<'b> Parameters<'b> {
    /// Those of a key without a password.
    pub(super) const NONE: Parameters<'static> =
        Parameters { salt: &[0; SALT_BYTES], operations: 0, memory_bytes: 0 };

    pub(super) const fn of_new_key(salt: &'b [u8; SALT_BYTES]) -> Self {
        Self { salt, operations: NEW_OPERATIONS, memory_bytes: NEW_MEMORY_BYTES }
    }

    /// Reads them from the beginning of these bytes, and returns the rest.
    pub(super) fn split(bytes: &'b [u8]) -> Option<(Self, &'b [u8])> {
        let (salt, rest) = bytes.split_first_chunk::<SALT_BYTES>()?;
        let (operations, rest) = rest.split_first_chunk::<WORD_BYTES>()?;
        let (memory, rest) = rest.split_first_chunk::<WORD_BYTES>()?;
        let (operations, memory_bytes) =
            (u64::from_le_bytes(*operations), u64::from_le_bytes(*memory));
        Some((Self { salt, operations, memory_bytes }, rest))
    }

    /// Their bytes in a key's file.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let words = [self.operations, self.memory_bytes].map(u64::to_le_bytes);
        [&self.salt[..], &words.concat()].concat()
    }

    /// Encrypts or decrypts these bytes.
    pub(super) fn apply(&self, password: &str, bytes: &mut [u8]) -> Result<(), SecretKeyError> {
        let parameters = self.scrypt().ok_or(SecretKeyError::Parameters)?;
        let mut stream = Zeroizing::new(vec![0; bytes.len()]);
        let derived = scrypt(password.as_bytes(), self.salt, &parameters, &mut stream);
        derived.map_err(|_| SecretKeyError::Parameters)?;
        bytes.iter_mut().zip(&*stream).for_each(|(byte, mask)| *byte ^= mask);
        Ok(())
    }

    /// The parameters of scrypt, as libsodium derives them.
    fn scrypt(&self) -> Option<Params> {
        let Self { operations, memory_bytes: memory, .. } = *self;
        if memory > MAX_MEMORY_BYTES || operations > MAX_OPERATIONS {
            return None;
        }
        let operations = operations.max(MIN_OPERATIONS);
        if operations < memory / 32 {
            let log_n = log_n(operations / BLOCK_OPERATIONS);
            return Params::new(log_n, BLOCK, 1).ok();
        }
        let log_n = log_n(memory / BLOCK_BYTES);
        let parallel = ((operations / 4) >> log_n) / u64::from(BLOCK);
        Params::new(log_n, BLOCK, u32::try_from(parallel).ok()?).ok()
    }
}

/// The logarithm of the largest power of two up to `max`, at least 1.
fn log_n(max: u64) -> u8 {
    u8::try_from(max.max(2).ilog2()).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derives_the_parameters_of_scrypt() {
        let check = |operations, memory_bytes, expected: Option<(u8, u32)>| {
            let parameters = Parameters { salt: &[0; SALT_BYTES], operations, memory_bytes };
            let found = parameters.scrypt().map(|it| (it.log_n(), it.p()));
            assert_eq!(found, expected, "{operations} {memory_bytes}");
        };
        // Those of minisign, of the interactive level of libsodium, and our own.
        check(1 << 25, 1 << 30, Some((20, 1)));
        check(1 << 19, 1 << 24, Some((14, 1)));
        check(NEW_OPERATIONS, NEW_MEMORY_BYTES, Some((17, 1)));
        check(1 << 20, 1 << 30, Some((15, 1)));
        check(0, 1 << 30, Some((10, 1)));
        check(1 << 24, 1 << 24, Some((14, 32)));
        check(u64::MAX, 1 << 24, None);
        check(1 << 20, u64::MAX, None);
        // Too little memory for a block: still valid, and weak.
        check(0, 0, Some((1, 512)));
    }
}
