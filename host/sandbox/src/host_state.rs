//! The host's side of one instance: what the engine and the imports of the plugin reach while it
//! runs. One is made with each instance and dies with it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use wasmtime::component::{HasData, ResourceTable};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use crate::audience::{Audience, Realm};
use crate::console::Console;
use crate::cpu::Meter;
use crate::effect::Effect;
use crate::fault::FaultKind;
use crate::last_words;
use crate::memory::{InstanceMemory, Memory};
use crate::policy::Limits;
use crate::store::SharedSpace;
use crate::store::journal::Journal;
use crate::throttle::Throttle;
use crate::wasi;

/// The data of one wasmtime store.
pub(crate) struct HostState {
    pub(crate) context: Arc<PluginContext>,
    pub(crate) memory: Memory,
    pub(crate) call: Call,
    pub(crate) meter: Arc<Meter>,
    pub(crate) journal: Journal,
    pub(crate) stdout: Console,
    pub(crate) stderr: Console,
    wasi: WasiCtx,
    resources: ResourceTable,
}

/// What all instances of one plugin share.
pub(crate) struct PluginContext {
    /// The name of the plugin, or its file while it has not been described.
    pub(crate) plugin: String,
    pub(crate) limits: Limits,
    pub(crate) audience: Arc<dyn Audience>,
    pub(crate) space: SharedSpace,
    /// What it shares with all other plugins.
    pub(crate) memory: InstanceMemory,
    /// A std mutex: it is held for a few additions.
    pub(crate) throttle: Mutex<Throttle>,
}

/// The call that runs, or the last one.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) realm: Realm,
    pub(crate) handler: String,
    pub(crate) topic: String,
    pub(crate) deadline: Instant,
    pub(crate) effects: Vec<Effect>,
    /// Bytes that the effects count for.
    pub(crate) output: usize,
}

/// Why the host stops a plugin: travels through the engine as the error of an import.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub(crate) struct HostTrap(pub(crate) FaultKind);

/// Things of the host that an instance may hold on to at once, timers mostly. They take the host's
/// memory, not the guest's.
pub(crate) const MAX_RESOURCES: usize = 1_000;

impl HostState {
    pub(crate) fn new(context: Arc<PluginContext>, meter: Arc<Meter>) -> Self {
        let (stdout, stderr) = (Console::default(), Console::default());
        let mut resources = ResourceTable::new();
        resources.set_max_capacity(MAX_RESOURCES);
        Self {
            memory: Memory::new(&context.limits, context.memory.clone()),
            call: Call {
                realm: Realm::default(),
                handler: String::new(),
                topic: String::new(),
                deadline: Instant::now(),
                effects: Vec::new(),
                output: 0,
            },
            meter,
            journal: Journal::new(Arc::clone(&context.space)),
            wasi: wasi::context(&stdout, &stderr),
            resources,
            context,
            stdout,
            stderr,
        }
    }

    /// Makes ready for a call that begins now, and says until when it may take.
    pub(crate) fn begin(
        &mut self,
        realm: Realm,
        handler: &str,
        topic: &str,
        now: Instant,
    ) -> Instant {
        let call = &mut self.call;
        call.realm = realm;
        call.handler.clear();
        call.handler.push_str(handler);
        call.topic.clear();
        call.topic.push_str(topic);
        call.effects.clear();
        call.output = 0;
        call.deadline = now + self.context.limits.deadline;
        call.deadline
    }

    /// Collects an effect, if the call may have one more.
    pub(crate) fn effect(&mut self, effect: Effect) -> wasmtime::Result<()> {
        let limits = &self.context.limits;
        let call = &mut self.call;
        call.output = call.output.saturating_add(effect.len());
        if call.output > limits.output {
            return Err(HostTrap(FaultKind::Output(limits.output)).into());
        }
        if call.effects.len() >= limits.effects {
            return Err(HostTrap(FaultKind::Effects(limits.effects)).into());
        }
        call.effects.push(effect);
        Ok(())
    }

    /// Writes what the call left on stdout and stderr to the log.
    pub(crate) fn drain_console(&mut self) {
        self.drain_stdout();
        if let Some((text, lost)) = self.stderr.take() {
            self.log_text(tracing::Level::WARN, &text, lost);
        }
    }

    /// The same for a call that failed, except that the end of stderr is returned for the line
    /// about the fault: that is where a panic leaves its message.
    pub(crate) fn last_words(&mut self) -> Option<String> {
        self.drain_stdout();
        let (text, lost) = self.stderr.take()?;
        let (logged, quoted) = last_words::split(&text);
        self.log_text(tracing::Level::WARN, logged, lost);
        last_words::in_one_line(quoted)
    }

    fn drain_stdout(&mut self) {
        if let Some((text, lost)) = self.stdout.take() {
            self.log_text(tracing::Level::INFO, &text, lost);
        }
    }
}

impl PluginContext {
    pub(crate) fn new(
        plugin: String,
        limits: Limits,
        audience: Arc<dyn Audience>,
        space: SharedSpace,
        memory: InstanceMemory,
    ) -> Self {
        let throttle = Mutex::new(Throttle::new(limits.log, Instant::now()));
        Self { plugin, limits, audience, space, memory, throttle }
    }

    /// Runs `f` on the throttle.
    pub(crate) fn throttle<T>(&self, f: impl FnOnce(&mut Throttle) -> T) -> T {
        f(&mut self.throttle.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl WasiView for HostState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.resources }
    }
}

impl HasData for HostState {
    type Data<'a> = &'a mut HostState;
}
