//! Child's side of the compiler: sets its own limits, reads one component, compiles it into its
//! folder, and replies in one line.
//!
//! The limits are the process's own (`setrlimit`), so that no component can exceed them. No code of
//! the component runs here.

use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::time::Duration;

use rustix::process::{Resource, Rlimit};
use serde::{Deserialize, Serialize};
use wasmtime::component::Component;
use wasmtime::{Cache, CacheConfig, Engine};

use super::cache::Key;
use super::error::CompileError;
use super::structure;
use crate::byte_size::byte_size;
use crate::engine;

/// Arguments of one compiler process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompileTask {
    /// An empty folder for the compiled code.
    pub folder: PathBuf,
    /// Size of the component on stdin, in bytes.
    pub bytes: usize,
    /// Memory limit in bytes.
    pub memory: usize,
    /// CPU time limit.
    pub cpu: Duration,
}

/// Reply on stdout.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct CompileReply {
    /// Hash of the engine.
    pub(super) engine: u64,
    /// The error, if there is no code.
    pub(super) failure: Option<CompileError>,
}

/// Compiled code of one component, held in memory while the plugin runs.
const MAX_CODE_BYTES: usize = 512 << 20;
/// Niceness of the compiler.
const NICENESS: i32 = 10;
/// CPU seconds beyond the limit until the process is killed.
const CPU_GRACE_SECONDS: u64 = 5;
/// Text of the engine's error for a failed allocation, which has no type.
const OUT_OF_MEMORY: &str = "os error 12";

/// Compiles the component on stdin, and replies on stdout. Ends when its parent ends.
pub fn run_compile_task(task: &CompileTask) -> io::Result<()> {
    // The engine's configuration depends on the limits inherited from the server.
    let config = engine::config();
    limit(task)?;
    let mut bytes = vec![0; task.bytes];
    io::stdin().read_exact(&mut bytes)?;
    follow_parent()?;
    let answer = match compile(config, &task.folder, &bytes) {
        Ok(engine) => CompileReply { engine, failure: None },
        Err(failure) => CompileReply { engine: 0, failure: Some(failure) },
    };
    let mut stdout = io::stdout().lock();
    serde_json::to_writer(&mut stdout, &answer)?;
    stdout.flush()
}

fn limit(task: &CompileTask) -> io::Result<()> {
    let cpu = task.cpu.as_secs().max(1);
    // A limit on data, unlike one on address space, is hardly affected by threads.
    set(Resource::Data, task.memory as u64, task.memory as u64)?;
    set(Resource::Cpu, cpu, cpu + CPU_GRACE_SECONDS)?;
    set(Resource::Fsize, MAX_CODE_BYTES as u64, MAX_CODE_BYTES as u64)?;
    set(Resource::Core, 0, 0)?;
    rustix::process::nice(NICENESS)?;
    Ok(())
}

/// Lowers a limit, unless it is already lower.
fn set(resource: Resource, current: u64, maximum: u64) -> io::Result<()> {
    let before = rustix::process::getrlimit(resource);
    let lower = |limit: Option<u64>, than: u64| Some(limit.map_or(than, |limit| limit.min(than)));
    let maximum = lower(before.maximum, maximum);
    let current = lower(before.current, current);
    Ok(rustix::process::setrlimit(resource, Rlimit { current, maximum })?)
}

/// Aborts when stdin closes: the server no longer waits for the reply.
fn follow_parent() -> io::Result<()> {
    let watch = || {
        let ended = io::copy(&mut io::stdin(), &mut io::sink());
        drop(ended);
        std::process::abort()
    };
    std::thread::Builder::new().spawn(watch).map(drop)
}

fn compile(
    mut config: wasmtime::Config,
    folder: &std::path::Path,
    bytes: &[u8],
) -> Result<u64, CompileError> {
    structure::check(bytes).map_err(CompileError::Structure)?;
    let internal = |error: wasmtime::Error| CompileError::Crashed(format!("{error:#}"));
    let mut into = CacheConfig::new();
    into.with_directory(folder);
    let cache = Cache::new(into).map_err(internal)?;
    config.cache(Some(cache.clone()));
    let engine = Engine::new(&config).map_err(internal)?;
    let component = Component::new(&engine, bytes).map_err(|error| {
        let text = format!("{error:#}");
        if text.contains(OUT_OF_MEMORY) {
            CompileError::Memory
        } else {
            CompileError::Invalid(text)
        }
    })?;
    let code = component.image_range();
    let length = (code.end as usize).saturating_sub(code.start as usize);
    if length > MAX_CODE_BYTES {
        let most = byte_size(MAX_CODE_BYTES);
        let text = format!("its code takes {length} bytes; at most {most} are run");
        return Err(CompileError::Structure(text));
    }
    if cache.cache_misses() == 0 {
        let text = format!("the code cannot be written to {}", folder.display());
        return Err(CompileError::Crashed(text));
    }
    Ok(Key::engine(&engine))
}
