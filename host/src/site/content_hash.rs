//! Content hash: a SHA-256 digest that identifies the content of a file or a site.

use std::fmt;

use sha2::{Digest, Sha256};

/// A SHA-256 digest; all zeros by default.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(crate) struct ContentHash([u8; 32]);

impl ContentHash {
    /// Returns the hash of these bytes.
    pub(crate) fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// All of it, in hexadecimal, as `sha256sum` prints it.
    pub(crate) fn hex(self) -> impl fmt::Display {
        fmt::from_fn(move |f| self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}")))
    }

    pub(super) const fn bytes(self) -> [u8; 32] {
        self.0
    }
}

impl From<Sha256> for ContentHash {
    fn from(hasher: Sha256) -> Self {
        Self(hasher.finalize().into())
    }
}

impl fmt::Debug for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Formats the first half in hexadecimal: enough to distinguish files in a log.
impl fmt::Display for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().take(16).try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
