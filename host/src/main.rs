//! The `jackfield` command, and its allocator.

use std::process::ExitCode;

/// jemalloc, because it returns unused pages to the operating system within seconds after a burst.
/// glibc's allocator keeps them: one block in use at the top of the heap retains everything below
/// it.
#[cfg(not(target_env = "msvc"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    jackfield::cli::run()
}
