//! The plugin contract as Rust: what `bindgen!` makes of the WIT files.
//!
//! Parameters of hooks borrow (`Request<'_>`, `EventParam<'_>`), so that a call copies each string
//! once, into the guest. Nothing else of the crate's public face comes from here: the types that
//! callers see are our own, and valid by construction.

wasmtime::component::bindgen!({
    path: "../../plugin-sdk/wit",
    world: "plugin",
    ownership: Borrowing { duplicate_if_necessary: true },
    imports: { default: trappable },
    exports: { default: async },
});

pub(crate) use exports::jackfield::plugin::handler;
pub(crate) use jackfield::plugin::{log, sessions, store, topics, types};

/// The package whose interfaces make up the contract.
pub(crate) const PACKAGE: &str = "jackfield:plugin";
/// The version of the contract that this host speaks.
pub(crate) const VERSION: &str = "0.1.0";
