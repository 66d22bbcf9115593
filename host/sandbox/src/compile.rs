//! Compiling components: in a child process with limits, whose result the server then loads.
//!
//! A component is somebody else's program, and compiling one can take any amount of memory and
//! time. So the server never compiles a file that has not been compiled within limits before:
//! [`child`] starts the compiler, [`worker`] is what runs in it, [`structure`] is its first look at
//! a file, and [`cache`] keeps what came of it, failures included, by the file's digest. The
//! compiler fills a cache of wasmtime's own; the server reads from it, which is the way to load
//! compiled code that needs no `unsafe`. Called by `sandbox`; decision 16 has the reasons.

pub(crate) mod cache;
mod child;
mod failure;
mod structure;
mod worker;

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::error::Error;
use cache::{CodeCache, Key, Known};

pub(crate) use failure::size;
pub use worker::{CompileTask, run_compile_task};

/// The command that compiles one component, and its limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompileCommand {
    /// The program, which answers to the arguments of [`CompileTask`].
    pub program: PathBuf,
    /// What is tried where the program cannot be found.
    pub fallback: Option<PathBuf>,
    /// Comes before the arguments of the task.
    pub subcommand: String,
    /// How much one compilation may take.
    pub limits: CompileLimits,
}

/// How much compiling one component may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CompileLimits {
    /// Bytes of memory of the compiler.
    pub memory: usize,
    /// CPU time, over all its threads.
    pub cpu: Duration,
    /// Time by the clock.
    pub time: Duration,
    /// Compilers that run at one time.
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
    /// How people know it.
    pub file: String,
    /// When it began.
    pub since: Instant,
}

/// Turns bytes into compiled components.
pub(crate) struct Compiler {
    engine: Engine,
    how: How,
    /// A std mutex: it is held while a list of a few is changed.
    under_way: Arc<Mutex<Vec<Compiling>>>,
    /// Threads of this process that read components and code at one time.
    threads: Semaphore,
}

enum How {
    /// For tests and tools, which trust their components.
    InProcess,
    Child {
        command: CompileCommand,
        cache: Arc<CodeCache>,
        permits: Semaphore,
    },
}

/// Lists a component as being compiled while it lives.
struct UnderWay {
    list: Arc<Mutex<Vec<Compiling>>>,
    entry: Compiling,
}

impl Compiler {
    /// Compiles in this process, without limits.
    pub(crate) fn in_process(engine: Engine) -> Self {
        Self::new(engine, How::InProcess)
    }

    /// Compiles by child processes; the engine reads the code of `cache`.
    pub(crate) fn by_children(engine: Engine, command: CompileCommand, cache: CodeCache) -> Self {
        let permits = Semaphore::new(command.limits.at_once.max(1));
        let how = How::Child { command, cache: Arc::new(cache), permits };
        Self::new(engine, how)
    }

    fn new(engine: Engine, how: How) -> Self {
        let threads = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        Self { engine, how, under_way: Arc::default(), threads: Semaphore::new(threads) }
    }

    /// Runs what is compiled.
    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// What is being compiled now, the longest first.
    pub(crate) fn under_way(&self) -> Vec<Compiling> {
        lock(&self.under_way).clone()
    }

    /// The compiled component. If the future is dropped, the compiler ends with it.
    pub(crate) async fn component(&self, file: &str, bytes: Arc<[u8]>) -> Result<Component, Error> {
        let How::Child { command, cache, permits } = &self.how else {
            let _under_way = UnderWay::begin(&self.under_way, file);
            return self.load(file, bytes).await;
        };
        let (engine, kept) = (self.engine.clone(), Arc::clone(cache));
        let (content, limits) = (Arc::clone(&bytes), command.limits);
        // Many components may come at once, and serving goes on meanwhile.
        let thread = self.threads.acquire().await.ok();
        let looked_up = blocking(file, move || {
            let key = Key::of(&engine, &content);
            Ok((key, kept.look_up(key, &limits)))
        });
        let (key, known) = looked_up.await?;
        drop(thread);
        let known = match known {
            Known::Nothing => {
                // The semaphore is never closed.
                let _permit = permits.acquire().await.ok();
                // The same file may lie in two bundles.
                match cache.look_up(key, &limits) {
                    Known::Nothing => {
                        let _under_way = UnderWay::begin(&self.under_way, file);
                        self.compile(command, cache, key, file, &bytes).await?
                    }
                    known => known,
                }
            }
            known => known,
        };
        match known {
            Known::Failed(failure) => Err(failure.error(file, &limits)),
            Known::Compiled | Known::Nothing => self.load(file, bytes).await,
        }
    }

    /// Has a child compile, and keeps what came of it.
    async fn compile(
        &self,
        command: &CompileCommand,
        cache: &Arc<CodeCache>,
        key: Key,
        file: &str,
        bytes: &[u8],
    ) -> Result<Known, Error> {
        let unable = |error: std::io::Error| Error::Compiler {
            file: file.to_owned(),
            text: error.to_string(),
        };
        let staging = cache.staging().map_err(unable)?;
        let answer = child::run(command, staging.path(), file, bytes).await.map_err(unable)?;
        let (cache, limits, file) = (Arc::clone(cache), command.limits, file.to_owned());
        let compiled_for = Key::engine(&self.engine);
        blocking(&file.clone(), move || match answer {
            Ok(engine) if engine != compiled_for => {
                let text = "it is of another version than the server; restart the server";
                Err(Error::Compiler { file, text: text.to_owned() })
            }
            Ok(_) => match cache.publish(key, &staging) {
                Ok(()) => Ok(Known::Compiled),
                Err(error) => Err(Error::Compiler { file, text: error.to_string() }),
            },
            Err(failure) => {
                cache.remember(key, &failure, &limits);
                Err(failure.error(&file, &limits))
            }
        })
        .await
    }

    /// Makes the component: of the code in the cache, or by compiling it in this process.
    async fn load(&self, file: &str, bytes: Arc<[u8]>) -> Result<Component, Error> {
        let (engine, name) = (self.engine.clone(), file.to_owned());
        let _thread = self.threads.acquire().await.ok();
        blocking(file, move || {
            Component::new(&engine, &bytes)
                .map_err(|error| Error::not_compiled(&name, &format!("{error:#}")))
        })
        .await
    }
}

impl UnderWay {
    fn begin(list: &Arc<Mutex<Vec<Compiling>>>, file: &str) -> Self {
        let entry = Compiling { file: file.to_owned(), since: Instant::now() };
        lock(list).push(entry.clone());
        Self { list: Arc::clone(list), entry }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut list = lock(&self.list);
        if let Some(at) = list.iter().position(|entry| *entry == self.entry) {
            list.remove(at);
        }
    }
}

fn lock(list: &Mutex<Vec<Compiling>>) -> MutexGuard<'_, Vec<Compiling>> {
    list.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs what takes a while on a thread for blocking work.
pub(crate) async fn blocking<T: Send + 'static>(
    file: &str,
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| {
        let text = format!("the compiler gave up: {error}");
        Err(Error::Invalid { file: file.to_owned(), text })
    })
}
