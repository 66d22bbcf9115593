//! The `jackfield` command, and the allocator that it runs with.

use std::process::ExitCode;

/// glibc's allocator keeps what a burst took: one block that is still in use holds all below it.
/// jemalloc's own threads give unused pages back to the operating system within seconds.
#[cfg(not(target_env = "msvc"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    jackfield::cli::run()
}
