//! Child's side of the compiler: sets its own limits, reads one component, compiles it into its
//! folder, and replies in one line.
//!
//! The limits are the process's own (`setrlimit`), so that no component can exceed them. No code of
//! the component runs here.

use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit};
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use wasmtime::component::Component;
use wasmtime::{Cache, CacheConfig, Engine};

use super::cache::Key;
use super::error::CompileError;
use super::structure;
use crate::byte_size::byte_size;
use crate::engine;
use crate::scheduling::{LOW_NICENESS, Priority};

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
    /// Whether to use only cores that no other process wants. If there are none, the process gives
    /// up, and can be started again without.
    pub is_idle: bool,
}

/// Reply on stdout.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct CompileReply {
    /// Hash of the engine.
    pub(super) engine: u64,
    /// The error, if there is no code.
    pub(super) failure: Option<CompileError>,
    /// Why the operating system refused to let the process use idle cores only.
    pub(super) priority_error: Option<String>,
}

/// Exit code of a process that has given up for lack of CPU time (`EX_TEMPFAIL` of sysexits.h).
pub(super) const STARVED_EXIT_CODE: i32 = 75;
/// The time over which the CPU time of an idle process is judged.
const STARVATION_WINDOW: Duration = Duration::from_secs(1);
/// The part of a core below which an idle process is starved: a process of [`LOW_NICENESS`] gets as
/// much of a saturated machine.
const STARVED_SHARE: u32 = 10;

/// Compiled code of one component, held in memory while the plugin runs.
const MAX_CODE_BYTES: usize = 512 << 20;
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
    let priority_error = if task.is_idle { begin_idling()? } else { None };
    let answer = match compile(config, &task.folder, &bytes) {
        Ok(engine) => CompileReply { engine, failure: None, priority_error },
        Err(failure) => CompileReply { engine: 0, failure: Some(failure), priority_error },
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
    rustix::process::nice(LOW_NICENESS)?;
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
    thread::Builder::new().name("parent-watch".to_owned()).spawn(watch).map(drop)
}

/// Makes this thread and the compiler's, which it starts later, idle ones. A thread of low priority
/// ends the process if they are starved. Returns the reason if the operating system refuses it.
fn begin_idling() -> io::Result<Option<String>> {
    let watch = || {
        let (mut began, mut used) = (Instant::now(), cpu_time());
        loop {
            thread::sleep(STARVATION_WINDOW);
            let (now, now_used) = (Instant::now(), cpu_time());
            if is_starved(now - began, now_used.saturating_sub(used)) {
                std::process::exit(STARVED_EXIT_CODE);
            }
            (began, used) = (now, now_used);
        }
    };
    thread::Builder::new().name("cpu-watch".to_owned()).spawn(watch)?;
    Ok(Priority::Idle.set().err())
}

/// Whether a process that computes got too little CPU time. Not so if the window is far too long:
/// the process was stopped, or the machine was suspended.
fn is_starved(passed: Duration, used: Duration) -> bool {
    passed < STARVATION_WINDOW * 2 && used < passed / STARVED_SHARE
}

/// CPU time that all threads of the process have used.
fn cpu_time() -> Duration {
    clock_gettime(ClockId::ProcessCPUTime).try_into().unwrap_or_default()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_starved_below_a_tenth_of_a_core() {
        let check = |passed: u64, used: u64, expected: bool| {
            let found = is_starved(Duration::from_millis(passed), Duration::from_millis(used));
            assert_eq!(found, expected, "{used} ms of {passed} ms");
        };
        check(1_000, 0, true);
        check(1_000, 99, true);
        check(1_000, 100, false);
        check(1_000, 4_000, false);
        check(1_500, 149, true);
        check(1_500, 150, false);
        // Stopped, or suspended.
        check(2_000, 0, false);
        check(3_600_000, 5, false);
    }
}
