//! The sandbox with real components: what it promises about guests that behave and guests that do
//! not. All in one binary, because each further one links wasmtime again.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests may be blunt"
)]

mod access;
mod apart;
mod behave;
mod circuit_breaker;
mod compile;
mod contain;
mod cpu;
mod fetch;
mod fuzz;
mod guests;
mod keep;
mod load;
mod log;
mod memory;
mod passage;
mod presence;
mod recycle;
mod stage;
mod versions;
