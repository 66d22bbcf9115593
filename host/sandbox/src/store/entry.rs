//! Entries of a store as others see them, and their limits.

use std::sync::Arc;
use std::time::Duration;

/// Longest key, in bytes.
pub const MAX_KEY_BYTES: usize = 1 << 10;
/// Longest value, in bytes.
pub const MAX_VALUE_BYTES: usize = 1 << 20;
/// Memory of an entry besides its key and value.
pub(super) const OVERHEAD_BYTES: usize = 128;

/// An entry of a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreEntry {
    /// The key.
    pub key: Arc<str>,
    /// The value, shared with the store.
    pub value: Arc<[u8]>,
    /// The time until it expires.
    pub ttl: Option<Duration>,
}

/// A part of a store, in the order of the keys.
#[derive(Debug, Clone, Default)]
pub struct StorePage {
    /// The entries of the part.
    pub entries: Vec<StoreEntry>,
    /// Whether there are more behind it.
    pub has_more: bool,
    /// The number of all entries of the store.
    pub count: usize,
    /// The memory of the store, as its quota counts it, in bytes.
    pub used: usize,
    /// The quota, in bytes.
    pub quota: usize,
}

/// The range of a part of a store.
#[derive(Debug, Clone, Copy)]
pub struct StoreRange<'a> {
    /// The keys begin with it.
    pub prefix: &'a str,
    /// They are behind this key.
    pub after: Option<&'a str>,
    /// The maximum number of entries.
    pub limit: usize,
}

/// The result of an import.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreImported {
    /// The number of entries that were written.
    pub written: usize,
    /// The number of entries that were removed.
    pub removed: usize,
}

/// The store refuses a step.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreFault {
    /// A key is too long.
    #[error("a key has at most {MAX_KEY_BYTES} bytes, and this one has {0}")]
    Key(usize),
    /// A value is too long.
    #[error("a value has at most {MAX_VALUE_BYTES} bytes, and this one has {0}")]
    Value(usize),
    /// The quota would be exceeded.
    #[error("the store would have {needed} bytes, and its quota is {quota} (`plugins.*.store`)")]
    Full {
        /// The memory of the store with the change, in bytes.
        needed: usize,
        /// The quota, in bytes.
        quota: usize,
    },
    /// It cannot be saved.
    #[error("the store cannot be saved: {0}")]
    Failed(String),
}

impl StoreEntry {
    /// Checks the sizes of key and value.
    ///
    /// # Errors
    /// One is too long.
    pub fn check(&self) -> Result<(), StoreFault> {
        if self.key.len() > MAX_KEY_BYTES {
            return Err(StoreFault::Key(self.key.len()));
        }
        if self.value.len() > MAX_VALUE_BYTES {
            return Err(StoreFault::Value(self.value.len()));
        }
        Ok(())
    }

    /// The memory that the entry needs, as the quota counts it, in bytes.
    pub fn cost(&self) -> usize {
        cost(&self.key, &self.value)
    }
}

/// The memory that an entry needs, as the quota counts it, in bytes.
pub(super) fn cost(key: &str, value: &[u8]) -> usize {
    key.len() + value.len() + OVERHEAD_BYTES
}
