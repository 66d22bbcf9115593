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
#[path = "../callgrind/baseline.rs"]
#[expect(dead_code, reason = "`make instructions` measures and judges; here are its tests alone")]
mod baseline;
mod bench;
mod browser;
mod build;
mod circuit_breaker;
mod client;
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
mod peer;
mod php;
mod pressure;
mod process;
mod publishing;
mod reload;
mod remote;
mod rpc;
mod server;
mod site;
mod slow;
mod soak;
mod starting;
mod tidy;
mod timers;
mod totals;
mod v1;
mod v2;
mod values;
