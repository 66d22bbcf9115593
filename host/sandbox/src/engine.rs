//! Engine configuration, shared by the server and its compiler processes: code is compatible only
//! between equal configurations.

use rustix::process::{Resource, getrlimit};
use wasmtime::Config;

/// Address space limit below which memories are not reserved ahead: the engine would reserve 4 GiB
/// for each, twice while a plugin is replaced.
const AMPLE_ADDRESS_SPACE: u64 = 1 << 40;
/// Memory reserved for growth in that case, so that a memory does not move at each growth.
const MODEST_GROWTH_BYTES: u64 = 1 << 20;
/// Guard region after it.
const MODEST_GUARD_BYTES: u64 = 64 << 10;

/// The engine's configuration, with everything that changes compiled code.
pub(crate) fn config() -> Config {
    let mut config = Config::new();
    config.epoch_interruption(true);
    // Hooks are synchronous functions; support for concurrent ones costs half a microsecond per
    // call.
    config.concurrency_support(false);
    if address_space().is_some() {
        // Explicit bounds checks then cost a few per cent.
        config.memory_reservation(0);
        config.memory_reservation_for_growth(MODEST_GROWTH_BYTES);
        config.memory_guard_size(MODEST_GUARD_BYTES);
    }
    config
}

/// The process's address space limit (`ulimit -v`), if it is low.
pub(crate) fn address_space() -> Option<u64> {
    getrlimit(Resource::As).current.filter(|limit| *limit < AMPLE_ADDRESS_SPACE)
}
