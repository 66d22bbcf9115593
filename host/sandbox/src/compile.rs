//! Compiler: compiles components in a child process with limits, and loads the result.
//!
//! Compiling an untrusted component can take any amount of memory and time, so the server never
//! compiles one itself unless it has been compiled within limits before: [`child`] starts the
//! compiler process, [`worker`] runs in it, [`structure`] is a cheap check of a file, and [`cache`]
//! keeps results, errors included, by the file's hash. The compiler fills a wasmtime cache, from
//! which the server loads code without `unsafe`. Called by `sandbox`; decision 16 has the reasons.

pub(crate) mod cache;
mod child;
mod error;
mod structure;
mod worker;

use std::io;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::sync::Semaphore;
use tracing::info;
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::error::SandboxError;
use cache::{CacheLookup, CodeCache, Key};
use child::{CompileJob, CompileOutcome};
use error::CompileError;

pub use worker::{CompileTask, run_compile_task};

/// The command that compiles one component, and its limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompileCommand {
    /// The program, which answers to the arguments of [`CompileTask`].
    pub program: PathBuf,
    /// Used where the program cannot be found.
    pub fallback: Option<PathBuf>,
    /// Precedes the arguments of the task.
    pub subcommand: String,
    /// The variables of its environment. It has no others, as those of the server may be secrets.
    pub environment: Vec<(String, String)>,
    /// Limits of one compilation.
    pub limits: CompileLimits,
}

/// Limits of one compilation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CompileLimits {
    /// Memory of the compiler, in bytes.
    pub memory: usize,
    /// CPU time, over all its threads.
    pub cpu: Duration,
    /// Wall time.
    pub time: Duration,
    /// Compilers that run at a time.
    pub at_once: usize,
}

impl Default for CompileLimits {
    fn default() -> Self {
        Self {
            memory: 2 << 30,
            cpu: Duration::from_mins(2),
            time: Duration::from_mins(5),
            at_once: 2,
        }
    }
}

/// A component that is being compiled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compiling {
    /// The file's name in messages.
    pub file: String,
    /// Start time.
    pub since: Instant,
}

/// Compiles components.
pub(crate) struct Compiler {
    engine: Engine,
    mode: Mode,
    /// A std mutex, held while a short list changes.
    compiling: Arc<Mutex<Vec<Compiling>>>,
    /// Bounds the threads of this process that hash components and load code.
    threads: Semaphore,
}

enum Mode {
    /// In this process, for tests and tools with trusted components.
    InProcess,
    Child(Box<Children>),
}

/// Compiles in child processes.
struct Children {
    command: CompileCommand,
    cache: Arc<CodeCache>,
    /// Bounds the processes that run at a time.
    permits: Semaphore,
    /// When compilers may wait for idle cores again, after one got none. A std mutex, held for one
    /// look.
    busy_until: Mutex<Option<Instant>>,
}

/// How long compilers do not wait for idle cores after one got none. Each wait costs a second, and
/// the compiler's work.
const BUSY_TIME: Duration = Duration::from_mins(1);

/// Guard that lists a component as being compiled.
struct CompilingGuard {
    list: Arc<Mutex<Vec<Compiling>>>,
    entry: Compiling,
}

impl Compiler {
    /// Compiles in this process, without limits.
    pub(crate) fn in_process(engine: Engine) -> Self {
        Self::new(engine, Mode::InProcess)
    }

    /// Compiles in child processes; the engine loads code from `cache`.
    pub(crate) fn by_children(engine: Engine, command: CompileCommand, cache: CodeCache) -> Self {
        let permits = Semaphore::new(command.limits.at_once.max(1));
        let (cache, busy_until) = (Arc::new(cache), Mutex::new(None));
        let children = Children { command, cache, permits, busy_until };
        Self::new(engine, Mode::Child(Box::new(children)))
    }

    fn new(engine: Engine, mode: Mode) -> Self {
        let threads = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        Self { engine, mode, compiling: Arc::default(), threads: Semaphore::new(threads) }
    }

    /// The engine for compiled components.
    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Components being compiled, the oldest first.
    pub(crate) fn compiling(&self) -> Vec<Compiling> {
        lock(&self.compiling).clone()
    }

    /// Compiles a component. Dropping the future kills the compiler.
    pub(crate) async fn component(
        &self,
        file: &str,
        bytes: Arc<[u8]>,
    ) -> Result<Component, SandboxError> {
        let Mode::Child(children) = &self.mode else {
            let _compiling = CompilingGuard::begin(&self.compiling, file);
            return self.load(file, bytes).await;
        };
        let Children { command, cache, permits, .. } = &**children;
        let (engine, kept) = (self.engine.clone(), Arc::clone(cache));
        let (content, limits) = (Arc::clone(&bytes), command.limits);
        // Many components may arrive at once while the server is serving.
        let thread = self.threads.acquire().await.ok();
        let looked_up = blocking(file, move || {
            let key = Key::of(&engine, &content);
            Ok((key, kept.look_up(key, &limits)))
        });
        let (key, lookup) = looked_up.await?;
        drop(thread);
        let lookup = match lookup {
            CacheLookup::Missing => {
                // The semaphore is never closed.
                let _permit = permits.acquire().await.ok();
                // The same file may be in two bundles.
                match cache.look_up(key, &limits) {
                    CacheLookup::Missing => {
                        let _compiling = CompilingGuard::begin(&self.compiling, file);
                        self.compile(children, key, file, &bytes).await?
                    }
                    lookup => lookup,
                }
            }
            lookup => lookup,
        };
        match lookup {
            CacheLookup::Failed(error) => Err(error.error(file, &limits)),
            CacheLookup::Compiled | CacheLookup::Missing => self.load(file, bytes).await,
        }
    }

    /// Compiles in a child process, and caches the result.
    async fn compile(
        &self,
        children: &Children,
        key: Key,
        file: &str,
        bytes: &[u8],
    ) -> Result<CacheLookup, SandboxError> {
        let (staging, answer) = children.run(file, bytes).await.map_err(|error| {
            SandboxError::Compiler { file: file.to_owned(), text: error.to_string() }
        })?;
        let (cache, file) = (Arc::clone(&children.cache), file.to_owned());
        let limits = children.command.limits;
        let compiled_for = Key::engine(&self.engine);
        blocking(&file.clone(), move || match answer {
            Ok(engine) if engine != compiled_for => {
                let text = "its version differs from the server's; restart the server";
                Err(SandboxError::Compiler { file, text: text.to_owned() })
            }
            Ok(_) => match cache.publish(key, &staging) {
                Ok(()) => Ok(CacheLookup::Compiled),
                Err(error) => Err(SandboxError::Compiler { file, text: error.to_string() }),
            },
            Err(error) => {
                cache.remember(key, &error, &limits);
                Err(error.error(&file, &limits))
            }
        })
        .await
    }

    /// Loads the component from the cached code, or compiles it in this process.
    async fn load(&self, file: &str, bytes: Arc<[u8]>) -> Result<Component, SandboxError> {
        let (engine, name) = (self.engine.clone(), file.to_owned());
        let _thread = self.threads.acquire().await.ok();
        blocking(file, move || {
            Component::new(&engine, &bytes)
                .map_err(|error| SandboxError::not_compiled(&name, &format!("{error:#}")))
        })
        .await
    }
}

impl Children {
    /// Compiles into a new folder. The process uses idle cores, so that it delays no other work. If
    /// there are none, another one with low priority takes its place.
    async fn run(
        &self,
        file: &str,
        bytes: &[u8],
    ) -> io::Result<(TempDir, Result<u64, CompileError>)> {
        let began = Instant::now();
        let deadline = began + self.command.limits.time;
        let mut is_idle = lock(&self.busy_until).is_none_or(|until| until <= began);
        loop {
            let staging = self.cache.staging()?;
            let job = CompileJob { file, bytes, folder: staging.path(), deadline, is_idle };
            let result = match child::run(&self.command, job).await? {
                CompileOutcome::Compiled(engine) => Ok(engine),
                CompileOutcome::Failed(error) => Err(error),
                CompileOutcome::Starved if is_idle => {
                    info!(
                        name: "compile.starved",
                        file,
                        "all cores are busy; {file} is compiled again with a higher priority"
                    );
                    *lock(&self.busy_until) = Some(Instant::now() + BUSY_TIME);
                    is_idle = false;
                    continue;
                }
                CompileOutcome::Starved => {
                    Err(CompileError::Crashed("it gave up for lack of CPU time".to_owned()))
                }
            };
            return Ok((staging, result));
        }
    }
}

impl CompilingGuard {
    fn begin(list: &Arc<Mutex<Vec<Compiling>>>, file: &str) -> Self {
        let entry = Compiling { file: file.to_owned(), since: Instant::now() };
        lock(list).push(entry.clone());
        Self { list: Arc::clone(list), entry }
    }
}

impl Drop for CompilingGuard {
    fn drop(&mut self) {
        let mut list = lock(&self.list);
        if let Some(at) = list.iter().position(|entry| *entry == self.entry) {
            list.remove(at);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs blocking work on a thread pool.
pub(crate) async fn blocking<T: Send + 'static>(
    file: &str,
    work: impl FnOnce() -> Result<T, SandboxError> + Send + 'static,
) -> Result<T, SandboxError> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| {
        let text = format!("the compiler panicked: {error}");
        Err(SandboxError::Invalid { file: file.to_owned(), text })
    })
}
