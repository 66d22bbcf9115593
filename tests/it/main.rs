//! The integration tests: one binary, because every further one would link everything again.
//! Real clients speak to a real server over real sockets.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on stops here and says where"
)]

mod abuse;
mod api;
mod assets;
mod bench;
mod browser;
mod circuit_breaker;
mod comeback;
mod commands;
mod compiling;
mod entrance;
mod faults;
mod forging;
mod hard;
mod http;
mod interop;
mod invariants;
mod keepalive;
mod languages;
mod measuring;
mod migrating;
mod nginx;
mod php;
mod pressure;
mod process;
mod publishing;
mod reload;
mod remote;
mod rpc;
mod slow;
mod starting;
mod tidy;
mod timers;
mod totals;
mod v1;
mod v2;
mod values;
