//! State that outlives instances, reloads and faults; each plugin has its own, and its next
//! version inherits it. What a hook wrote is taken back when the hook traps.
//!
//! Values are any serde type, kept as JSON; [`get_bytes`] and [`set_bytes`] keep them as they are.
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

use crate::{Error, error::reason, host, host::StoreError};

/// The value under a key, if there is one.
///
/// # Errors
///
/// [`Error::Stored`], if it is no `T`.
pub fn get<T: DeserializeOwned>(key: &str) -> Result<Option<T>, Error> {
    host::store_get(key).map(|bytes| decode(key, &bytes)).transpose()
}

/// Keeps a value for ever.
///
/// # Errors
///
/// [`Error::StoreFull`]; [`Error::Encode`], if it cannot be written as JSON.
pub fn set<T: Serialize + ?Sized>(key: &str, value: &T) -> Result<(), Error> {
    set_bytes(key, encode(value)?, None)
}

/// Keeps a value for some time, to the millisecond.
///
/// # Errors
///
/// [`Error::StoreFull`]; [`Error::Encode`], if it cannot be written as JSON.
pub fn set_for<T: Serialize + ?Sized>(key: &str, value: &T, time: Duration) -> Result<(), Error> {
    set_bytes(key, encode(value)?, Some(time))
}

/// Takes a value away. Whether there was any.
pub fn delete(key: &str) -> bool {
    host::store_delete(key)
}

/// Adds to the whole number under the key, zero if there is none, and returns the sum. It keeps
/// the key's time to live.
///
/// # Errors
///
/// [`Error::NotANumber`], if there is something else; [`Error::StoreFull`].
pub fn increment(key: &str, by: i64) -> Result<i64, Error> {
    host::store_increment(key, by).map_err(|error| refused(key, error))
}

/// Counts up, and starts again at one when `window` has passed since the first: how often did
/// something happen lately?
///
/// # Errors
///
/// As [`increment`].
pub fn count_within(key: &str, window: Duration) -> Result<i64, Error> {
    let count = increment(key, 1)?;
    if count == 1 {
        // Another lane may count meanwhile, so the number is only given its time to live as long
        // as it is the one that was read.
        let mut current = get_bytes(key);
        while !compare_and_set(key, current.as_deref(), current.as_deref(), Some(window))? {
            current = get_bytes(key);
        }
    }
    Ok(count)
}

/// Changes the value under a key (`None`: there is none, or there is to be none) without losing
/// what another lane writes meanwhile: `change` may be called more than once. Returns what is
/// there now, which is kept for ever.
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

/// As [`update`], and keeps the value for some time from now.
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

/// Keys that begin with the prefix, in order, with their values, `limit` at most.
///
/// # Errors
///
/// [`Error::Stored`], if one of them is no `T`.
pub fn entries<T: DeserializeOwned>(prefix: &str, limit: u32) -> Result<Vec<(String, T)>, Error> {
    let entries = host::store_entries(prefix, limit).into_iter();
    entries.map(|(key, bytes)| decode(&key, &bytes).map(|value| (key, value))).collect()
}

/// The value under a key, as it is.
pub fn get_bytes(key: &str) -> Option<Vec<u8>> {
    host::store_get(key)
}

/// Keeps a value as it is; no `time` is for ever.
///
/// # Errors
///
/// [`Error::StoreFull`].
pub fn set_bytes(key: &str, value: impl AsRef<[u8]>, time: Option<Duration>) -> Result<(), Error> {
    host::store_set(key, value.as_ref(), time.map(milliseconds))
        .map_err(|error| refused(key, error))
}

/// Replaces the value if it is `expected` (`None`: if there is no value); a new value of `None`
/// deletes. Whether it did.
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

fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(value).map_err(|error| Error::Encode(reason(&error)))
}

fn decode<T: DeserializeOwned>(key: &str, bytes: &[u8]) -> Result<T, Error> {
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

/// At least one: no time at all would be for ever in other stores, and is nothing anybody wants.
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
