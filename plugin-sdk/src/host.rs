//! The host's functions, in this crate's types: the component's imports, or natively the test
//! double. `topics`, `sessions`, `store` and `log` are built on them.

#[cfg(target_family = "wasm")]
pub(crate) use crate::component::imports::*;
#[cfg(not(target_family = "wasm"))]
pub(crate) use crate::testing::imports::*;
