//! How the engine is set up, in the server and in the processes that compile for it: what they
//! agree on decides whether code of the one runs in the other.

use rustix::process::{Resource, getrlimit};
use wasmtime::Config;

/// Address space below which memories are not reserved ahead: for each, the engine would take
/// 4 GiB of it, and as much again while a plugin is replaced.
const AMPLE_ADDRESS_SPACE: u64 = 1 << 40;
/// What is reserved of a memory then, beyond what it has, so that it does not move at each growth.
const MODEST_GROWTH_BYTES: u64 = 1 << 20;
/// And unmapped behind it.
const MODEST_GUARD_BYTES: u64 = 64 << 10;

/// The engine's configuration. Everything that changes compiled code is in here.
pub(crate) fn config() -> Config {
    let mut config = Config::new();
    config.epoch_interruption(true);
    // Hooks are plain functions: what the engine keeps for concurrent ones costs a call half a
    // microsecond.
    config.concurrency_support(false);
    if address_space().is_some() {
        // Each access is then checked by an instruction of its own, which takes some per cent.
        config.memory_reservation(0);
        config.memory_reservation_for_growth(MODEST_GROWTH_BYTES);
        config.memory_guard_size(MODEST_GUARD_BYTES);
    }
    config
}

/// The process's limit of address space (`ulimit -v`), if it is one that matters.
pub(crate) fn address_space() -> Option<u64> {
    getrlimit(Resource::As).current.filter(|limit| *limit < AMPLE_ADDRESS_SPACE)
}
