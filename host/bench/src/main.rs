//! The `jackfield-bench` command, which `jackfield bench` runs.

use std::process::ExitCode;

fn main() -> ExitCode {
    jackfield_bench::cli::run()
}
