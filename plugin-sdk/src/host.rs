//! The imports, in this crate's types: in a component they go to the host, natively to the test
//! double. `topics`, `sessions`, `store` and `log` are written once, on top of these.

#[cfg(target_family = "wasm")]
pub(crate) use crate::component::imports::*;
#[cfg(not(target_family = "wasm"))]
pub(crate) use crate::testing::imports::*;

/// Why the store did not take a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StoreError {
    Full,
    NotANumber,
}
