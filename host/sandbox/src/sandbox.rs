//! The sandbox: engine, linker, stores and everything else that plugins share.

use std::fmt;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use jackfield_store::Engine as StoreEngine;
use sha2::{Digest as _, Sha256};
use wasmtime::component::{InstancePre, Linker};
use wasmtime::{Cache, CacheConfig, Engine};

use crate::audience::Audience;
use crate::compile::cache::CodeCache;
use crate::compile::{CompileCommand, Compiler, Compiling, blocking};
use crate::component::check_bytes;
use crate::contract::version::Version;
use crate::cpu::{Budget, Meter, Turns};
use crate::engine;
use crate::error::SandboxError;
use crate::exports::PluginPre;
use crate::handler_metrics::{PluginMetrics, SandboxMetrics};
use crate::host_state::{HostState, PluginContext};
use crate::imports;
use crate::instance::Instance;
use crate::interfaces::check_interfaces;
use crate::manifest::Manifest;
use crate::memory::InstanceMemory;
use crate::observer::CallObservers;
use crate::outgoing::OutgoingContext;
use crate::outgoing::policy::OutgoingPolicy;
use crate::outgoing::sender::HttpSender;
use crate::outgoing::tally::{Tallies, Tally};
use crate::plugin::Plugin;
use crate::plugin_runtime::PluginRuntime;
use crate::policy::{PluginPolicy, StateMode};
use crate::store::durable::Durable;
use crate::store::plugin_stores::PluginStores;
use crate::store::{SharedSpace, Spaces};
use crate::ticker::Ticker;
use crate::{denied, wasi};

/// Loads plugins, and keeps state that outlives them. Needs a tokio runtime with time.
pub struct Sandbox {
    compiler: Compiler,
    linker: Arc<Linker<HostState>>,
    ticker: Arc<Ticker>,
    spaces: Arc<Spaces>,
    memory: InstanceMemory,
    tallies: Tallies,
    turns: Turns,
    observers: Arc<CallObservers>,
    metrics: SandboxMetrics,
    sender: Option<Arc<dyn HttpSender>>,
}

/// Settings of a sandbox.
#[derive(Debug, Clone, Default)]
pub struct SandboxSettings {
    /// Cache directory of compiled plugins, created if missing; none disables the cache.
    pub cache: Option<PathBuf>,
    /// The compiler process; none compiles in this process without limits, for tests and tools with
    /// trusted plugins.
    pub compile: Option<CompileCommand>,
    /// Memory limit of all instances together, in bytes; none is no limit.
    pub instance_memory: Option<usize>,
    /// Requests and calls of all plugins that may wait for their answers; none is no limit.
    pub in_flight: Option<usize>,
}

/// What a plugin shares with others.
struct Resources<'a> {
    spaces: &'a Spaces,
    memory: &'a InstanceMemory,
    turns: &'a Turns,
    /// The end of the plugin's name in the log. One that serves has none.
    note: &'static str,
}

/// Memory limit of the instances of a version that does not serve, in bytes.
const MAX_APART_BYTES: usize = 256 << 20;

impl Sandbox {
    /// Makes a sandbox. A cache directory that cannot be used is a warning in the log: plugins are
    /// then compiled at each start.
    pub fn new(settings: SandboxSettings) -> Result<Self, SandboxError> {
        let SandboxSettings { cache, compile, instance_memory, in_flight } = settings;
        let compiler = match compile {
            Some(command) => {
                let kept = CodeCache::open(cache.as_deref()).map_err(|error| {
                    SandboxError::Engine { text: format!("no cache folder: {error}") }
                })?;
                let engine = new_engine(Some(kept.code()))?;
                Compiler::by_children(engine, command, kept)
            }
            None => Compiler::in_process(new_engine(cache)?),
        };
        let engine = compiler.engine();
        let mut linker = Linker::new(engine);
        wasi::link(&mut linker).map_err(engine_error)?;
        imports::link(&mut linker).map_err(engine_error)?;
        let ticker = Ticker::start(engine).map_err(|source| SandboxError::Ticker { source })?;
        Ok(Self {
            linker: Arc::new(linker),
            ticker: Arc::new(ticker),
            spaces: Arc::default(),
            memory: InstanceMemory::new(instance_memory),
            tallies: Tallies::new(in_flight.unwrap_or(usize::MAX)),
            turns: Turns::new(workers()),
            observers: Arc::default(),
            metrics: SandboxMetrics::default(),
            sender: None,
            compiler,
        })
    }

    /// Saves the stores of plugins with the engine, each in the mode of the plugin of this name. To
    /// be called before the first plugin is loaded.
    pub fn saved_by(
        self,
        engine: Box<dyn StoreEngine>,
        mode: impl Fn(&str) -> StateMode + Send + Sync + 'static,
    ) -> Result<Self, SandboxError> {
        let commits = self.metrics.store_commits();
        let spaces = Spaces::saved_by(engine, Box::new(mode), commits);
        let spaces = spaces.map_err(|source| SandboxError::Writer { source })?;
        Ok(Self { spaces: Arc::new(spaces), ..self })
    }

    /// Sends the requests that hooks wait for by this client. Without one, they fail.
    #[must_use]
    pub fn sending_by(self, sender: Arc<dyn HttpSender>) -> Self {
        Self { sender: Some(sender), ..self }
    }

    /// Loads a plugin: checks its version and its imports against the grant, compiles it or takes it
    /// from the cache, and calls `describe`. `file` is its name in messages.
    ///
    /// Plugins of the same name share one store, as versions of one plugin do: the host must
    /// prevent two different plugins of one name.
    pub async fn load(
        &self,
        file: &str,
        bytes: &[u8],
        policy: PluginPolicy,
        audience: Arc<dyn Audience>,
    ) -> Result<Plugin, SandboxError> {
        self.load_shared(file, bytes.into(), policy, audience).await
    }

    /// [`Sandbox::load`] without a copy of the component. Dropping the future stops the
    /// compilation.
    pub async fn load_shared(
        &self,
        file: &str,
        bytes: Arc<[u8]>,
        policy: PluginPolicy,
        audience: Arc<dyn Audience>,
    ) -> Result<Plugin, SandboxError> {
        let (spaces, memory, turns) = (&self.spaces, &self.memory, &self.turns);
        let resources = Resources { spaces, memory, turns, note: "" };
        self.load_with(file, bytes, policy, audience, resources).await
    }

    /// [`Sandbox::load_shared`] for versions that do not serve: with an empty store of its own, which
    /// is not saved, and with memory and CPU turns that take nothing from the versions in service.
    pub async fn load_apart(
        &self,
        file: &str,
        bytes: Arc<[u8]>,
        policy: PluginPolicy,
        audience: Arc<dyn Audience>,
    ) -> Result<Plugin, SandboxError> {
        let memory = InstanceMemory::new(Some(MAX_APART_BYTES));
        let (spaces, turns) = (&Spaces::default(), &Turns::new(1));
        let resources = Resources { spaces, memory: &memory, turns, note: " (not in service)" };
        self.load_with(file, bytes, policy, audience, resources).await
    }

    async fn load_with(
        &self,
        file: &str,
        bytes: Arc<[u8]>,
        policy: PluginPolicy,
        audience: Arc<dyn Audience>,
        resources: Resources<'_>,
    ) -> Result<Plugin, SandboxError> {
        let Resources { spaces, memory, turns, note } = resources;
        let (name, whole, grant) = (file.to_owned(), Arc::clone(&bytes), policy.grant);
        let checked = blocking(file, move || {
            check_bytes(&name, &whole)?;
            let digest = format!("{:x}", Sha256::digest(&whole));
            Ok((check_interfaces(&name, &whole, grant)?, digest))
        });
        let (version, digest) = checked.await?;
        let pre = self.compile(file, bytes, version).await?;
        let manifest = self.describe(file, &pre, &policy, &audience).await?;
        let name = manifest.name.clone();
        let space = spaces.of(&name, policy.limits.store).await;
        let space = space.map_err(|text| SandboxError::Store {
            file: file.to_owned(),
            plugin: name.clone(),
            text,
        })?;
        report_schema(&manifest, &space);
        let space = (space, manifest.schema);
        let memory = memory.for_plugin();
        // A version that does not serve takes nothing from the one that does.
        let serves = note.is_empty();
        let tally = if serves { self.tallies.of(&name) } else { Tally::apart() };
        let metrics =
            if serves { self.metrics.of(&name) } else { Arc::new(PluginMetrics::default()) };
        let sender = self.sender.clone().filter(|_| serves);
        let outgoing =
            OutgoingContext { policy: policy.outgoing, tally, digest: digest.clone(), sender };
        let name = (name, note);
        let context = PluginContext::new(name, policy.limits, audience, space, memory, outgoing);
        let (ticker, turns) = (Arc::clone(&self.ticker), turns.clone());
        let context = Arc::new(context);
        let recycle = policy.recycle;
        let observed = (Arc::clone(&self.observers), digest, metrics);
        let runtime = PluginRuntime::new(manifest, pre, ticker, context, turns, recycle, observed);
        Ok(Plugin::new(runtime))
    }

    /// The observers of calls.
    pub fn observers(&self) -> Arc<CallObservers> {
        Arc::clone(&self.observers)
    }

    /// Metrics of the plugins that serve.
    pub fn metrics(&self) -> SandboxMetrics {
        self.metrics.clone()
    }

    /// The stores of all plugins; `quota` is the size limit of one that is removed, in bytes.
    pub fn plugin_stores(
        &self,
        quota: impl Fn(&str) -> usize + Send + Sync + 'static,
    ) -> PluginStores {
        PluginStores::new(Arc::clone(&self.spaces), quota)
    }

    /// Memory counter of all instances.
    pub fn memory(&self) -> InstanceMemory {
        self.memory.clone()
    }

    /// Requests and calls of all plugins that wait for their answers, and their limit.
    pub fn in_flight(&self) -> (usize, usize) {
        self.tallies.total()
    }

    /// Components being compiled, the oldest first.
    pub fn compiling(&self) -> Vec<Compiling> {
        self.compiler.compiling()
    }

    /// Compiles a component and links its imports.
    async fn compile(
        &self,
        file: &str,
        bytes: Arc<[u8]>,
        version: Version,
    ) -> Result<PluginPre, SandboxError> {
        let component = self.compiler.component(file, bytes).await?;
        let (engine, linker) = (self.compiler.engine().clone(), Arc::clone(&self.linker));
        let name = file.to_owned();
        // Types can be large.
        blocking(file, move || {
            let mismatch = |e: wasmtime::Error| SandboxError::Mismatch {
                file: name.clone(),
                text: format!("{e:#}"),
            };
            let mut linker = Linker::clone(&linker);
            denied::link(&mut linker, &engine, &component).map_err(mismatch)?;
            let pre: InstancePre<HostState> =
                linker.instantiate_pre(&component).map_err(mismatch)?;
            PluginPre::new(version, pre).map_err(mismatch)
        })
        .await
    }

    /// Calls `describe` in a temporary instance, with an empty store, as the plugin's name is not
    /// known yet.
    async fn describe(
        &self,
        file: &str,
        pre: &PluginPre,
        policy: &PluginPolicy,
        audience: &Arc<dyn Audience>,
    ) -> Result<Manifest, SandboxError> {
        let limits = policy.limits.clone();
        let budget = Arc::new(Budget::new(limits.cpu_percent, Instant::now()));
        let meter = Arc::new(Meter::new(self.turns.clone(), budget));
        let context = Arc::new(PluginContext::new(
            (file.to_owned(), ""),
            limits,
            Arc::clone(audience),
            (SharedSpace::default(), 0),
            self.memory.clone(),
            OutgoingContext {
                policy: OutgoingPolicy::default(),
                tally: Tally::apart(),
                digest: String::new(),
                sender: None,
            },
        ));
        let failed =
            |fault| SandboxError::Describe { file: file.to_owned(), fault: Box::new(fault) };
        let made = Instance::new(pre, &self.ticker, &context, &meter).await;
        let mut instance = made.map_err(failed)?;
        let raw = instance.describe(&self.ticker).await.map_err(failed)?;
        Manifest::parse(raw).map_err(|text| SandboxError::Manifest { file: file.to_owned(), text })
    }
}

impl fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sandbox").finish_non_exhaustive()
    }
}

/// Tells the operator of a store that another layout was written to.
fn report_schema(manifest: &Manifest, space: &SharedSpace) {
    let earlier = space.durable.as_ref().and_then(Durable::schema);
    if let Some(earlier) = earlier.filter(|earlier| *earlier != manifest.schema) {
        tracing::warn!(
            name: "store.other_layout",
            target: "jackfield::plugin",
            plugin = manifest.name,
            "the plugin's store was last written with layout {earlier} (`schema`), and this version \
             has {}: it has to read both",
            manifest.schema
        );
    }
}

/// Number of worker threads of the runtime, or else of cores.
fn workers() -> usize {
    let runtime = tokio::runtime::Handle::try_current();
    let of_machine = || std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    runtime.map_or_else(|_| of_machine(), |runtime| runtime.metrics().num_workers())
}

/// An engine, with a cache in the directory if it can be used.
fn new_engine(cache: Option<PathBuf>) -> Result<Engine, SandboxError> {
    let mut config = engine::config();
    if let Some(directory) = cache {
        match open_cache(&directory) {
            Ok(cache) => drop(config.cache(Some(cache))),
            Err(text) => tracing::warn!(
                name: "compile.cache_unusable",
                directory = %directory.display(),
                "the cache of compiled plugins cannot be used, plugins are compiled at each \
                 start: {text}"
            ),
        }
    }
    Engine::new(&config).map_err(engine_error)
}

/// Opens the cache in the directory, after a test write: the cache itself would report a failure
/// only in the background.
fn open_cache(directory: &Path) -> Result<Cache, String> {
    let absolute = std::path::absolute(directory).map_err(|e| e.to_string())?;
    std::fs::create_dir_all(&absolute).map_err(|e| e.to_string())?;
    let probe = absolute.join(format!(".probe-{}", std::process::id()));
    std::fs::write(&probe, b"").map_err(|e| e.to_string())?;
    // A leftover probe is an empty file.
    let _ = std::fs::remove_file(&probe);
    let mut config = CacheConfig::new();
    config.with_directory(absolute);
    Cache::new(config).map_err(|e| format!("{e:#}"))
}

#[expect(clippy::needless_pass_by_value, reason = "the signature of `map_err`")]
fn engine_error(error: wasmtime::Error) -> SandboxError {
    SandboxError::Engine { text: format!("{error:#}") }
}
