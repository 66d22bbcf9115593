//! Errors of the store, as the imports report them.

/// An error of a write to the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StoreError {
    Full,
    NotANumber,
}
