//! A key-value store that survives instances, reloads and faults. Each plugin has its own, and its
//! next version inherits it. Writes of a hook that traps are undone.
//!
//! Values are serde types, stored as JSON; [`get_bytes`] and [`set_bytes`] store raw bytes.
//!
//! ```
//! use jackfield_plugin::store;
//!
//! store::set("acme/last", "hello")?;
//! assert_eq!(store::get::<String>("acme/last")?.as_deref(), Some("hello"));
//! assert_eq!(store::increment("acme/visits", 1)?, 1);
//! # Ok::<(), jackfield_plugin::Error>(())
//! ```

use std::time::Duration;

use serde::{Serialize, de::DeserializeOwned};

use crate::{Error, error::reason, host, store_error::StoreError};

/// Reads the value of a key.
///
/// # Errors
///
/// [`Error::Stored`], if it is no `T`.
pub fn get<T: DeserializeOwned>(key: &str) -> Result<Option<T>, Error> {
    host::store_get(key).map(|bytes| decode(key, &bytes)).transpose()
}

/// Stores a value without expiry.
///
/// # Errors
///
/// [`Error::StoreFull`]; [`Error::Encode`], if it cannot be serialized.
pub fn set<T: Serialize + ?Sized>(key: &str, value: &T) -> Result<(), Error> {
    set_bytes(key, encode(value)?, None)
}

/// Stores a value that expires after `time`, to the millisecond.
///
/// # Errors
///
/// [`Error::StoreFull`]; [`Error::Encode`], if it cannot be serialized.
pub fn set_for<T: Serialize + ?Sized>(key: &str, value: &T, time: Duration) -> Result<(), Error> {
    set_bytes(key, encode(value)?, Some(time))
}

/// Deletes a value; returns whether there was one.
pub fn delete(key: &str) -> bool {
    host::store_delete(key)
}

/// Adds `by` to a whole number, zero if the key has no value, and returns the sum. The key's expiry
/// is kept.
///
/// # Errors
///
/// [`Error::NotANumber`], if the value is no whole number; [`Error::StoreFull`].
pub fn increment(key: &str, by: i64) -> Result<i64, Error> {
    host::store_increment(key, by).map_err(|error| refused(key, error))
}

/// Increments a counter that expires `window` after its first increment, as for rate limits.
/// Returns the count.
///
/// # Errors
///
/// As [`increment`].
pub fn count_within(key: &str, window: Duration) -> Result<i64, Error> {
    let count = increment(key, 1)?;
    if count == 1 {
        // Another lane may increment meanwhile, so the expiry is set by compare-and-set.
        let mut current = get_bytes(key);
        while !compare_and_set(key, current.as_deref(), current.as_deref(), Some(window))? {
            current = get_bytes(key);
        }
    }
    Ok(count)
}

/// Replaces a value by the result of `change`, without losing concurrent writes of another lane:
/// `change` may be called more than once. `None` means no value. Returns the new value, which does
/// not expire.
///
/// # Errors
///
/// As [`get`] and [`set`].
pub fn update<T: Serialize + DeserializeOwned>(
    key: &str,
    change: impl FnMut(Option<T>) -> Option<T>,
) -> Result<Option<T>, Error> {
    replace(key, None, change)
}

/// As [`update`]; the new value expires after `time`.
///
/// # Errors
///
/// As [`get`] and [`set`].
pub fn update_for<T: Serialize + DeserializeOwned>(
    key: &str,
    time: Duration,
    change: impl FnMut(Option<T>) -> Option<T>,
) -> Result<Option<T>, Error> {
    replace(key, Some(time), change)
}

/// Lists keys that begin with the prefix, in order, with their values, `limit` at most.
///
/// # Errors
///
/// [`Error::Stored`], if a value is no `T`.
pub fn entries<T: DeserializeOwned>(prefix: &str, limit: u32) -> Result<Vec<(String, T)>, Error> {
    let entries = host::store_entries(prefix, limit).into_iter();
    entries.map(|(key, bytes)| decode(&key, &bytes).map(|value| (key, value))).collect()
}

/// Reads the raw bytes of a key.
pub fn get_bytes(key: &str) -> Option<Vec<u8>> {
    host::store_get(key)
}

/// Stores raw bytes; without `time` they do not expire.
///
/// # Errors
///
/// [`Error::StoreFull`].
pub fn set_bytes(key: &str, value: impl AsRef<[u8]>, time: Option<Duration>) -> Result<(), Error> {
    host::store_set(key, value.as_ref(), time.map(milliseconds))
        .map_err(|error| refused(key, error))
}

/// Replaces the value if it equals `expected`; `None` means no value, and a new value of `None`
/// deletes. Returns whether it did.
///
/// # Errors
///
/// [`Error::StoreFull`].
pub fn compare_and_set(
    key: &str,
    expected: Option<&[u8]>,
    value: Option<&[u8]>,
    time: Option<Duration>,
) -> Result<bool, Error> {
    host::store_compare_and_set(key, expected, value, time.map(milliseconds))
        .map_err(|error| refused(key, error))
}

fn replace<T: Serialize + DeserializeOwned>(
    key: &str,
    time: Option<Duration>,
    mut change: impl FnMut(Option<T>) -> Option<T>,
) -> Result<Option<T>, Error> {
    loop {
        let old = get_bytes(key);
        let new = change(old.as_deref().map(|bytes| decode(key, bytes)).transpose()?);
        let bytes = new.as_ref().map(encode).transpose()?;
        if compare_and_set(key, old.as_deref(), bytes.as_deref(), time)? {
            return Ok(new);
        }
    }
}

pub(crate) fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(value).map_err(|error| Error::Encode(reason(&error)))
}

pub(crate) fn decode<T: DeserializeOwned>(key: &str, bytes: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(bytes)
        .map_err(|error| Error::Stored { key: key.to_owned(), reason: reason(&error) })
}

fn refused(key: &str, error: StoreError) -> Error {
    let key = key.to_owned();
    match error {
        StoreError::Full => Error::StoreFull { key },
        StoreError::NotANumber => Error::NotANumber { key },
    }
}

/// At least one millisecond: zero means no expiry in other stores, and would never be intended.
fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_typed_values() {
        set("a", &vec![1, 2]).unwrap();
        assert_eq!(get::<Vec<u8>>("a"), Ok(Some(vec![1, 2])));
        assert_eq!(get::<Vec<u8>>("b"), Ok(None));
        let reason = "invalid type: sequence, expected a string".to_owned();
        assert_eq!(get::<String>("a"), Err(Error::Stored { key: "a".to_owned(), reason }));
        assert!(delete("a"));
        assert!(!delete("a"));
    }

    #[test]
    fn increments_numbers() {
        assert_eq!(increment("n", 2), Ok(2));
        assert_eq!(increment("n", -3), Ok(-1));
        assert_eq!(get::<i64>("n"), Ok(Some(-1)));
        set("n", "x").unwrap();
        assert_eq!(increment("n", 1), Err(Error::NotANumber { key: "n".to_owned() }));
    }

    #[test]
    fn updates_receive_the_current_value() {
        let append = |old: Option<Vec<u8>>| Some([old.unwrap_or_default(), vec![7]].concat());
        assert_eq!(update("list", append), Ok(Some(vec![7])));
        assert_eq!(update("list", append), Ok(Some(vec![7, 7])));
        assert_eq!(update::<Vec<u8>>("list", |_| None), Ok(None));
        assert_eq!(get_bytes("list"), None);
    }

    #[test]
    fn lists_entries_of_a_prefix_in_order() {
        for key in ["a/2", "b/1", "a/1", "a"] {
            set(key, key).unwrap();
        }
        let keys = |prefix, limit| {
            entries::<String>(prefix, limit).unwrap().into_iter().map(|(key, _)| key).collect()
        };
        let all: Vec<String> = keys("a/", 10);
        assert_eq!(all, ["a/1", "a/2"]);
        let one: Vec<String> = keys("a/", 1);
        assert_eq!(one, ["a/1"]);
    }

    #[test]
    fn rounds_a_zero_lifetime_up_to_a_millisecond() {
        assert_eq!(milliseconds(Duration::ZERO), 1);
        assert_eq!(milliseconds(Duration::from_secs(2)), 2_000);
        assert_eq!(milliseconds(Duration::MAX), u64::MAX);
    }
}
