//! The child's side: sets its own limits, reads one component, compiles it into a folder of its
//! own, answers in one line.
//!
//! The limits are the process's own (`setrlimit`), so nothing that a component does to the compiler
//! reaches past them. No code of the component runs here.

use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::time::Duration;

use rustix::process::{Resource, Rlimit};
use serde::{Deserialize, Serialize};
use wasmtime::component::Component;
use wasmtime::{Cache, CacheConfig, Engine};

use super::cache::Key;
use super::failure::{Failure, size};
use super::structure;
use crate::engine;

/// What one compiler process is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompileTask {
    /// An empty folder for the compiled code.
    pub folder: PathBuf,
    /// Bytes of the component, which comes on stdin.
    pub bytes: usize,
    /// Bytes of memory that the process may take.
    pub memory: usize,
    /// CPU time that it may take.
    pub cpu: Duration,
}

/// What the process answers on stdout.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Answer {
    /// For which engine it compiled.
    pub(super) engine: u64,
    /// Why there is no code, if there is none.
    pub(super) failure: Option<Failure>,
}

/// Compiled code of one component. It is held in memory wherever the plugin runs.
const MAX_CODE_BYTES: usize = 512 << 20;
/// How much the process gives way to the server.
const NICENESS: i32 = 10;
/// CPU seconds past its limit after which a process is killed that ignores being told.
const CPU_GRACE: u64 = 5;
/// By what the engine's error says that an allocation failed; it has no type for it.
const OUT_OF_MEMORY: &str = "os error 12";

/// Compiles the component on stdin, and answers on stdout. Ends the process when the one that
/// started it ends.
///
/// # Errors
/// When stdin or stdout fail, or the limits cannot be set.
pub fn run_compile_task(task: &CompileTask) -> io::Result<()> {
    // The engine goes by the limits that the server has as well.
    let config = engine::config();
    limit(task)?;
    let mut bytes = vec![0; task.bytes];
    io::stdin().read_exact(&mut bytes)?;
    follow_parent()?;
    let answer = match compile(config, &task.folder, &bytes) {
        Ok(engine) => Answer { engine, failure: None },
        Err(failure) => Answer { engine: 0, failure: Some(failure) },
    };
    let mut stdout = io::stdout().lock();
    serde_json::to_writer(&mut stdout, &answer)?;
    stdout.flush()
}

fn limit(task: &CompileTask) -> io::Result<()> {
    let cpu = task.cpu.as_secs().max(1);
    // Of what is allocated, unlike of address space, each thread takes little by itself.
    set(Resource::Data, task.memory as u64, task.memory as u64)?;
    set(Resource::Cpu, cpu, cpu + CPU_GRACE)?;
    set(Resource::Fsize, MAX_CODE_BYTES as u64, MAX_CODE_BYTES as u64)?;
    set(Resource::Core, 0, 0)?;
    rustix::process::nice(NICENESS)?;
    Ok(())
}

/// Lowers a limit; one that is lower already stays.
fn set(resource: Resource, current: u64, maximum: u64) -> io::Result<()> {
    let before = rustix::process::getrlimit(resource);
    let lower = |limit: Option<u64>, than: u64| Some(limit.map_or(than, |limit| limit.min(than)));
    let maximum = lower(before.maximum, maximum);
    let current = lower(before.current, current);
    Ok(rustix::process::setrlimit(resource, Rlimit { current, maximum })?)
}

/// stdin stays open for as long as the server wants the answer: when it closes, nobody does.
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
) -> Result<u64, Failure> {
    structure::check(bytes).map_err(Failure::Structure)?;
    let internal = |error: wasmtime::Error| Failure::Crashed(format!("{error:#}"));
    let mut into = CacheConfig::new();
    into.with_directory(folder);
    let cache = Cache::new(into).map_err(internal)?;
    config.cache(Some(cache.clone()));
    let engine = Engine::new(&config).map_err(internal)?;
    let component = Component::new(&engine, bytes).map_err(|error| {
        let text = format!("{error:#}");
        if text.contains(OUT_OF_MEMORY) { Failure::Memory } else { Failure::Invalid(text) }
    })?;
    let code = component.image_range();
    let length = (code.end as usize).saturating_sub(code.start as usize);
    if length > MAX_CODE_BYTES {
        let most = size(MAX_CODE_BYTES);
        let text = format!("its code takes {length} bytes; at most {most} are run");
        return Err(Failure::Structure(text));
    }
    if cache.cache_misses() == 0 {
        let text = format!("the code cannot be written to {}", folder.display());
        return Err(Failure::Crashed(text));
    }
    Ok(Key::engine(&engine))
}
