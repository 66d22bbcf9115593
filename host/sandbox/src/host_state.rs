//! Host state of one instance: the data of its wasmtime store, reached by the engine and by
//! imports.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use wasmtime::component::{HasData, ResourceTable};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use crate::audience::{Audience, RealmId};
use crate::call_record::CallRecord;
use crate::console::Console;
use crate::cpu::Meter;
use crate::current_request::{CurrentRequest, Text};
use crate::effect::Effect;
use crate::fault::FaultKind;
use crate::log_rate_limit::LogRateLimit;
use crate::memory::{InstanceMemory, Memory};
use crate::outgoing::deferred::Later;
use crate::outgoing::tally::{NotAccepted, OutgoingKind, Permit};
use crate::outgoing::{OutgoingContext, ReplyTo};
use crate::policy::Limits;
use crate::probe::{Probe, ReplaySlot};
use crate::request::{EventTexts, HookRequest};
use crate::stderr_tail;
use crate::store::SharedSpace;
use crate::store::journal::Journal;
use crate::store::moment::{Behind, StoreMoment};
use crate::store_value::StoreValue;

/// The data of one wasmtime store.
pub(crate) struct HostState {
    pub(crate) context: Arc<PluginContext>,
    pub(crate) memory: Memory,
    pub(crate) call: Call,
    pub(crate) meter: Arc<Meter>,
    pub(crate) journal: Journal,
    /// The probe of the current call, if it is observed or replayed.
    pub(crate) probe: Option<Box<Probe>>,
    /// The journal of the plugin's own space, while a call is replayed.
    own_journal: Option<Journal>,
    pub(crate) stdout: Console,
    pub(crate) stderr: Console,
    wasi: WasiCtx,
    resources: ResourceTable,
}

/// Shared context of all instances of one plugin.
pub(crate) struct PluginContext {
    /// The plugin's name, or its file before it is described.
    pub(crate) name: String,
    /// The name for people, in the log and in faults: a version that does not serve has a note there.
    pub(crate) label: String,
    pub(crate) limits: Limits,
    pub(crate) audience: Arc<dyn Audience>,
    pub(crate) space: SharedSpace,
    /// The number of the layout that the plugin keeps there.
    pub(crate) schema: u32,
    /// Memory counter of all plugins.
    pub(crate) memory: InstanceMemory,
    pub(crate) outgoing: OutgoingContext,
    /// A std mutex, held for a few additions.
    pub(crate) log_rate_limit: Mutex<LogRateLimit>,
}

/// The current call, or the last one.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) realm: RealmId,
    pub(crate) request: CurrentRequest,
    pub(crate) deadline: Instant,
    /// How many calls of plugins have led to it.
    pub(crate) depth: u8,
    pub(crate) effects: Vec<Effect>,
    /// The most effects that it may have.
    pub(crate) max_effects: usize,
    /// Size of the effects, in bytes.
    pub(crate) output: usize,
    pub(crate) deferral: Deferral,
    /// Whether the hook may wait for answers of HTTP.
    pub(crate) may_wait: bool,
}

/// Whether the result of the call comes later.
#[derive(Debug, Default)]
pub(crate) enum Deferral {
    /// The call is no `on-call`.
    #[default]
    Impossible,
    Possible,
    Made(Later),
}

/// Trap raised by the host: passes through the engine as the error of an import.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub(crate) struct HostTrap(pub(crate) FaultKind);

/// Host resources of one instance, timers mostly. They use the host's memory, not the guest's.
pub(crate) const MAX_RESOURCES: usize = 1_000;

/// Random bytes that a plugin may request at once.
pub(crate) const MAX_RANDOM_BYTES: u64 = 64 << 10;

impl HostState {
    pub(crate) fn new(context: Arc<PluginContext>, meter: Arc<Meter>) -> Self {
        let (stdout, stderr) = (Console::default(), Console::default());
        let mut resources = ResourceTable::new();
        resources.set_max_capacity(MAX_RESOURCES);
        Self {
            memory: Memory::new(&context.limits, context.memory.clone()),
            call: Call {
                realm: RealmId::default(),
                request: CurrentRequest::default(),
                deadline: Instant::now(),
                depth: 0,
                effects: Vec::new(),
                max_effects: 0,
                output: 0,
                deferral: Deferral::default(),
                may_wait: false,
            },
            meter,
            journal: Journal::new(Arc::clone(&context.space), context.schema),
            probe: None,
            own_journal: None,
            wasi: wasi_context(&stdout, &stderr),
            resources,
            context,
            stdout,
            stderr,
        }
    }

    /// Resets the state for a hook that begins now. Returns its deadline.
    pub(crate) fn begin(
        &mut self,
        request: &HookRequest<'_>,
        event: EventTexts<'_>,
        now: Instant,
    ) -> Instant {
        self.call.request.begin(request, event);
        self.call.depth = request.depth;
        self.reset(request.realm, now)
    }

    /// The hook that has begun is the replay of a recorded call: it gets the recorded answers, and a
    /// store that has what the recorded call saw.
    /// `store` is the whole store as it was, behind what the recorded call saw.
    pub(crate) fn begin_replay(
        &mut self,
        record: &CallRecord,
        store: Option<&StoreMoment>,
        slot: &ReplaySlot,
    ) {
        let space = SharedSpace::default();
        {
            let mut space = space.lock();
            space.set_quota(self.context.limits.store);
            let values = record.answers.store.values.iter();
            let present = values.filter_map(|(key, value)| Some((key.clone(), value.as_ref()?)));
            let entry = |(key, value): (String, &StoreValue)| (key, value.0.clone().into(), None);
            space.restore(present.map(entry), Instant::now());
            if let Some(room) = record.answers.store.room {
                space.leave(room);
            }
        }
        let schema = self.context.schema;
        let overlay = match store {
            None => Journal::new(space, schema),
            Some(store) => {
                let behind = Behind::new(store, &record.answers.store, &mut space.lock());
                Journal::over(space, schema, behind)
            }
        };
        self.own_journal = Some(std::mem::replace(&mut self.journal, overlay));
        self.probe = Some(Probe::replay(record, slot, store.is_some()));
    }

    /// Restores the plugin's own store after a replayed call.
    pub(crate) fn end_replay(&mut self) {
        if let Some(own) = self.own_journal.take() {
            self.journal = own;
        }
    }

    /// Resets the state for a call that is no hook, of a handler or of none.
    pub(crate) fn begin_outside(&mut self, handler: &str) -> Instant {
        self.call.request.begin_outside(handler);
        self.call.depth = 0;
        self.reset(RealmId::default(), Instant::now())
    }

    fn reset(&mut self, realm: RealmId, now: Instant) -> Instant {
        let call = &mut self.call;
        call.realm = realm;
        call.effects.clear();
        call.max_effects = self.context.limits.effects;
        call.output = 0;
        call.deferral = Deferral::Impossible;
        call.may_wait = false;
        call.deadline = now + self.context.limits.deadline;
        call.deadline
    }

    /// The hook that receives the answer to an effect of this one; none outside of hooks.
    pub(crate) fn reply_to(&self) -> Option<ReplyTo> {
        let request = &self.call.request;
        request.is_hook().then(|| ReplyTo {
            plugin: self.context.name.clone(),
            handler: request.text(Text::Handler).to_owned(),
            topic: request.text(Text::Topic).to_owned(),
            digest: self.context.outgoing.digest.clone(),
        })
    }

    /// A place among the effects of a kind that wait, unless the operator denies the effect. A
    /// refusal is counted.
    pub(crate) fn permit(
        &mut self,
        kind: OutgoingKind,
        denied: Option<String>,
        limit: usize,
    ) -> Result<Permit, NotAccepted> {
        let tally = &self.context.outgoing.tally;
        let now = || tally.permit(kind, limit).ok_or(NotAccepted::Busy);
        let answer = match (&mut self.probe, denied) {
            (Some(probe), denied) => probe.permit(kind, denied, now),
            (None, Some(denied)) => Err(NotAccepted::Denied(denied)),
            (None, None) => now(),
        };
        if matches!(answer, Err(NotAccepted::Denied(_))) {
            tally.refuse(kind);
        }
        answer
    }

    /// Collects an effect, within the limits.
    pub(crate) fn effect(&mut self, effect: Effect) -> wasmtime::Result<()> {
        self.count_output(effect.len())?;
        let call = &mut self.call;
        if call.effects.len() >= call.max_effects {
            return Err(HostTrap(FaultKind::Effects(call.max_effects)).into());
        }
        call.effects.push(effect);
        Ok(())
    }

    /// Counts bytes that leave the plugin, within the limit.
    pub(crate) fn count_output(&mut self, bytes: usize) -> Result<(), HostTrap> {
        let limit = self.context.limits.output;
        self.call.output = self.call.output.saturating_add(bytes);
        if self.call.output > limit { Err(HostTrap(FaultKind::Output(limit))) } else { Ok(()) }
    }

    /// Logs the call's stdout and stderr.
    pub(crate) fn drain_console(&mut self) {
        self.drain_stdout();
        if let Some((text, lost)) = self.stderr.take() {
            self.log_text(tracing::Level::WARN, &text, lost);
        }
    }

    /// Logs the output of a failed call. The end of stderr, where a panic leaves its message, is
    /// returned instead.
    pub(crate) fn stderr_tail(&mut self) -> Option<String> {
        self.drain_stdout();
        let (text, lost) = self.stderr.take()?;
        let (logged, quoted) = stderr_tail::split(&text);
        self.log_text(tracing::Level::WARN, logged, lost);
        stderr_tail::in_one_line(quoted)
    }

    fn drain_stdout(&mut self) {
        if let Some((text, lost)) = self.stdout.take() {
            self.log_text(tracing::Level::INFO, &text, lost);
        }
    }
}

impl Deferral {
    /// Takes the later result of a call that has ended.
    pub(crate) fn take(&mut self) -> Option<Later> {
        match std::mem::take(self) {
            Self::Made(later) => Some(later),
            Self::Impossible | Self::Possible => None,
        }
    }
}

impl PluginContext {
    pub(crate) fn new(
        (name, note): (String, &'static str),
        limits: Limits,
        audience: Arc<dyn Audience>,
        (space, schema): (SharedSpace, u32),
        memory: InstanceMemory,
        outgoing: OutgoingContext,
    ) -> Self {
        let log_rate_limit = Mutex::new(LogRateLimit::new(limits.log, Instant::now()));
        let label = format!("{name}{note}");
        Self { name, label, limits, audience, space, schema, memory, outgoing, log_rate_limit }
    }

    /// Runs `f` on the rate limit.
    pub(crate) fn log_rate_limit<T>(&self, f: impl FnOnce(&mut LogRateLimit) -> T) -> T {
        f(&mut self.log_rate_limit.lock().unwrap_or_else(PoisonError::into_inner))
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

/// WASI of one instance: nothing of the outside world but its two streams.
fn wasi_context(stdout: &Console, stderr: &Console) -> WasiCtx {
    WasiCtx::builder()
        .stdout(stdout.clone())
        .stderr(stderr.clone())
        .max_random_size(MAX_RANDOM_BYTES)
        .allow_tcp(false)
        .allow_udp(false)
        .allow_ip_name_lookup(false)
        .build()
}
