//! WASI for plugins: clocks, random numbers, and streams that end in the log.
//!
//! The Rust standard library also imports arguments, environment and a file system; those are
//! linked, and empty. Sockets are not linked here.

mod clocks;
mod random;

use wasmtime::component::{HasData, Linker, ResourceTable};
use wasmtime_wasi::WasiView;
use wasmtime_wasi::cli::{WasiCli, WasiCliView};
use wasmtime_wasi::filesystem::{WasiFilesystem, WasiFilesystemView};
use wasmtime_wasi::p2::bindings::clocks::{monotonic_clock, wall_clock};
use wasmtime_wasi::p2::bindings::random as rng;
use wasmtime_wasi::p2::bindings::{cli, filesystem};
use wasmtime_wasi_io::bindings::wasi::io;

use crate::host_state::HostState;

/// The interfaces that [`link`] links, without their versions.
pub(crate) const OFFERED: &[&str] = &[
    "wasi:cli/environment",
    "wasi:cli/exit",
    "wasi:cli/stderr",
    "wasi:cli/stdin",
    "wasi:cli/stdout",
    "wasi:cli/terminal-input",
    "wasi:cli/terminal-output",
    "wasi:cli/terminal-stderr",
    "wasi:cli/terminal-stdin",
    "wasi:cli/terminal-stdout",
    "wasi:clocks/monotonic-clock",
    "wasi:clocks/wall-clock",
    "wasi:filesystem/preopens",
    "wasi:filesystem/types",
    "wasi:io/error",
    "wasi:io/poll",
    "wasi:io/streams",
    "wasi:random/insecure",
    "wasi:random/insecure-seed",
    "wasi:random/random",
];

pub(crate) fn link(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    let l = linker;
    io::error::add_to_linker::<HostState, Io>(l, |guest| guest.ctx().table)?;
    io::poll::add_to_linker::<HostState, Io>(l, |guest| guest.ctx().table)?;
    io::streams::add_to_linker::<HostState, Io>(l, |guest| guest.ctx().table)?;
    monotonic_clock::add_to_linker::<HostState, HostState>(l, |guest| guest)?;
    wall_clock::add_to_linker::<HostState, HostState>(l, |guest| guest)?;
    rng::random::add_to_linker::<HostState, HostState>(l, |guest| guest)?;
    rng::insecure::add_to_linker::<HostState, HostState>(l, |guest| guest)?;
    rng::insecure_seed::add_to_linker::<HostState, HostState>(l, |guest| guest)?;
    cli::environment::add_to_linker::<HostState, WasiCli>(l, HostState::cli)?;
    cli::exit::add_to_linker::<HostState, WasiCli>(l, HostState::cli)?;
    cli::stdin::add_to_linker::<HostState, WasiCli>(l, HostState::cli)?;
    cli::stdout::add_to_linker::<HostState, WasiCli>(l, HostState::cli)?;
    cli::stderr::add_to_linker::<HostState, WasiCli>(l, HostState::cli)?;
    cli::terminal_input::add_to_linker::<HostState, WasiCli>(l, HostState::cli)?;
    cli::terminal_output::add_to_linker::<HostState, WasiCli>(l, HostState::cli)?;
    cli::terminal_stdin::add_to_linker::<HostState, WasiCli>(l, HostState::cli)?;
    cli::terminal_stdout::add_to_linker::<HostState, WasiCli>(l, HostState::cli)?;
    cli::terminal_stderr::add_to_linker::<HostState, WasiCli>(l, HostState::cli)?;
    filesystem::types::add_to_linker::<HostState, WasiFilesystem>(l, HostState::filesystem)?;
    filesystem::preopens::add_to_linker::<HostState, WasiFilesystem>(l, HostState::filesystem)?;
    Ok(())
}

/// Data of `wasi:io`: the resource table.
struct Io;

impl HasData for Io {
    type Data<'a> = &'a mut ResourceTable;
}
