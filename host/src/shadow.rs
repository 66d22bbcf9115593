//! Shadows: new versions that see the calls of the version in service, behind its back.
//!
//! The sandbox shows the set of shadows each call that has ended (observer pattern). A call of a
//! plugin with a shadow goes into the shadow's bounded queue; a [`worker`] thread runs it again in the
//! shadow and adds the result to its [`report`]. A full queue leaves calls out: nothing waits for a
//! shadow. Effects are compared and never performed.
//!
//! A shadow is a file `NAME.shadow.wasm` beside `NAME.wasm`, or a component that the operator has
//! named ([`crate::versions::Candidate`]), which has precedence. [`Shadows::run`] follows both after
//! each reload. See decision 40.

mod report;
mod worker;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use arc_swap::ArcSwap;
use jackfield_sandbox::{
    CallObserver, CallRecord, Hook, HookRequest, Observation, Plugin, PluginVersion, StoreMoment,
};
use jackfield_text::Untrusted;
use tokio::sync::Notify;
use tokio::sync::mpsc::{self, Sender};
use tokio::task::JoinSet;
use tracing::{error, info, warn};

use crate::generation::{Generation, PluginEntry};
use crate::log::DIAGNOSIS;
use crate::reload::Reloader;
use crate::signatures::OlderRelease;
use crate::site::Component;
use crate::versions::{CanaryEnd, Candidate, Role};

pub(crate) use report::{Costs, ShadowReport};

/// The maximum number of shadows. Each has a thread.
pub(crate) const MAX_SHADOWS: usize = 16;
/// The maximum number of calls in a shadow's queue.
const MAX_QUEUED_CALLS: usize = 256;
/// The maximum size of these calls, in bytes.
const MAX_QUEUED_BYTES: usize = 8 << 20;

/// The shadows of a server.
pub(crate) struct Shadows {
    reloader: Arc<Reloader>,
    set: Arc<ShadowSet>,
    /// Shadows that cannot be loaded.
    failed: Mutex<BTreeMap<String, FailedShadow>>,
    /// As long as there are shadows.
    observation: Mutex<Option<Observation>>,
    /// Held while the set is changed.
    turn: tokio::sync::Mutex<()>,
    changed: Notify,
}

/// The running shadows by plugin, as calls see them.
#[derive(Default)]
struct ShadowSet(ArcSwap<BTreeMap<String, Arc<Shadow>>>);

/// A running shadow.
pub(crate) struct Shadow {
    pub(crate) wanted: WantedShadow,
    plugin: Plugin,
    pub(crate) since: SystemTime,
    /// Set for a release that is older than one that has served.
    pub(crate) older: Option<OlderRelease>,
    queue: Sender<Job>,
    shared: Arc<Shared>,
}

/// A component that is to be a shadow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WantedShadow {
    /// SHA-256 of the component, in hexadecimal.
    pub(crate) digest: String,
    /// The file that it was read from.
    pub(crate) source: String,
    pub(crate) is_file_of_site: bool,
    /// The digest of the version in service.
    pub(crate) beside: String,
}

/// A shadow that cannot be loaded.
#[derive(Clone, Debug)]
pub(crate) struct FailedShadow {
    pub(crate) wanted: WantedShadow,
    pub(crate) reason: String,
}

/// A call that is to be run again.
struct Job {
    record: Arc<CallRecord>,
    /// The store as of the beginning of the call.
    store: StoreMoment,
    bytes: usize,
}

/// What a shadow shares with its worker.
#[derive(Default)]
struct Shared {
    /// A std mutex of the worker and of the operator's questions. No call takes it: the worker may
    /// have to wait for a processor while it has it.
    report: Mutex<ShadowReport>,
    /// Calls that were left out, as the queue was full.
    missed: AtomicU64,
    queued_bytes: AtomicUsize,
    is_ended: AtomicBool,
}

impl Shadows {
    pub(crate) fn new(reloader: Arc<Reloader>) -> Self {
        Self {
            reloader,
            set: Arc::default(),
            failed: Mutex::default(),
            observation: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
            changed: Notify::new(),
        }
    }

    /// The site or the candidates have changed.
    pub(crate) fn notify(&self) {
        self.changed.notify_one();
    }

    /// Follows the site and the candidates, forever.
    pub(crate) async fn run(&self) {
        loop {
            self.follow().await;
            self.changed.notified().await;
        }
    }

    /// The shadow of a plugin, if it runs.
    pub(crate) fn of(&self, plugin: &str) -> Option<Arc<Shadow>> {
        self.set.0.load().get(plugin).cloned()
    }

    /// The shadow of a plugin that cannot be loaded.
    pub(crate) fn failed(&self, plugin: &str) -> Option<FailedShadow> {
        lock(&self.failed).get(plugin).cloned()
    }

    /// The shadow that a plugin is to have, and its component.
    pub(crate) fn wanted(&self, entry: &PluginEntry) -> Option<(WantedShadow, Component)> {
        let versions = self.reloader.versions();
        let generations = self.reloader.generations();
        let name = &entry.manifest().name;
        let beside = entry.digest().hex().to_string();
        if let Some(candidate) = versions.candidate(name).filter(|it| it.role == Role::Shadow) {
            if candidate.digest == beside {
                return None;
            }
            let component = versions.component(&candidate.digest)?;
            let (digest, source) = (candidate.digest, candidate.source);
            return Some((
                WantedShadow { digest, source, is_file_of_site: false, beside },
                component,
            ));
        }
        let generation = generations.current();
        let file = generation.shadow_of(entry)?;
        let digest = file.hash.hex().to_string();
        if digest == beside || versions.stopped_shadow(name).as_ref() == Some(&digest) {
            return None;
        }
        let (component, source) = (file.component(), file.path.clone());
        Some((WantedShadow { digest, source, is_file_of_site: true, beside }, component))
    }

    /// Starts and ends shadows until those run that are wanted.
    pub(crate) async fn follow(&self) {
        let _turn = self.turn.lock().await;
        let generations = self.reloader.generations();
        let generation = Arc::clone(&generations.current());
        let before = self.set.0.load_full();
        let mut next = BTreeMap::new();
        let mut failed = BTreeMap::new();
        let (mut loaded, mut loading) = (Vec::new(), JoinSet::new());
        for entry in generation.plugins() {
            let name = &entry.manifest().name;
            self.end_deployed(entry).await;
            let Some((wanted, component)) = self.wanted(entry) else { continue };
            if entry.is_disabled() {
                continue;
            }
            if let Some(shadow) = before.get(name).filter(|it| it.wanted == wanted) {
                next.insert(name.clone(), Arc::clone(shadow));
                continue;
            }
            let failure = self.failed(name).filter(|it| it.wanted == wanted);
            if let Some(failure) = failure {
                failed.insert(name.clone(), failure);
                continue;
            }
            // The same component beside another version need not be loaded again.
            let known = before.get(name).filter(|it| it.wanted.digest == wanted.digest);
            match known {
                Some(shadow) => {
                    let plugin = (shadow.plugin.clone(), shadow.older.clone());
                    loaded.push((name.clone(), wanted, Ok(plugin)));
                }
                None if next.len() + loaded.len() + loading.len() >= MAX_SHADOWS => {
                    let reason = format!("there are {MAX_SHADOWS} shadows already");
                    loaded.push((name.clone(), wanted, Err(reason)));
                }
                // All at once: the compiler bounds how many it compiles at a time.
                None => {
                    let (reloader, name) = (Arc::clone(&self.reloader), name.clone());
                    loading.spawn(async move {
                        let plugin = load(&reloader, &name, &wanted, &component).await;
                        (name, wanted, plugin)
                    });
                }
            }
        }
        while let Some(ended) = loading.join_next().await {
            match ended {
                Ok(ended) => loaded.push(ended),
                Err(failure) => {
                    error!(name: "shadow.load_failed", "the load of a shadow failed: {failure}");
                }
            }
        }
        for (name, wanted, plugin) in loaded {
            let source = Untrusted::new(&wanted.source).to_string();
            let shown = Untrusted::new(&name).to_string();
            let started = plugin.and_then(|(plugin, older)| {
                if let Some(older) = &older {
                    older.warn(&shown, Role::Shadow.label());
                }
                Shadow::start(wanted.clone(), plugin, older)
            });
            match started {
                Ok(shadow) => {
                    info!(name: "shadow.started", "{source} is the shadow of the plugin {shown}");
                    next.insert(name, Arc::new(shadow));
                }
                Err(reason) => {
                    error!(
                        name: "shadow.refused",
                        target: DIAGNOSIS,
                        "{source} cannot be the shadow of the plugin {shown}: {reason}"
                    );
                    failed.insert(name, FailedShadow { wanted, reason });
                }
            }
        }
        tell_orphans(&generation);
        for (name, shadow) in &*before {
            if !next.get(name).is_some_and(|it| Arc::ptr_eq(it, shadow)) {
                shadow.shared.is_ended.store(true, Ordering::Relaxed);
            }
        }
        let are_any = !next.is_empty();
        self.set.0.store(Arc::new(next));
        *lock(&self.failed) = failed;
        let mut observation = lock(&self.observation);
        if !are_any {
            *observation = None;
        } else if observation.is_none() {
            let observer = Arc::clone(&self.set) as Arc<dyn CallObserver>;
            *observation = Some(self.reloader.observers().observe(observer));
        }
    }

    /// Ends a named shadow that has become the version in service.
    async fn end_deployed(&self, entry: &PluginEntry) {
        let versions = self.reloader.versions();
        let (name, digest) = (&entry.manifest().name, entry.digest().hex().to_string());
        let is_deployed = |it: &Candidate| it.role == Role::Shadow && it.digest == digest;
        if versions.candidate(name).is_some_and(|it| is_deployed(&it)) {
            versions.end_candidate(name, &digest, CanaryEnd::Promoted);
            versions.save().await;
        }
    }
}

/// Loads the component of a shadow, which has to be a version of the plugin.
async fn load(
    reloader: &Reloader,
    name: &str,
    wanted: &WantedShadow,
    component: &Component,
) -> Result<(Plugin, Option<OlderRelease>), String> {
    let loaded = reloader.load_apart(&wanted.source, component).await;
    let plugin = loaded.map_err(|problem| problem.to_string())?;
    let found = &plugin.manifest().name;
    if found != name {
        let found = Untrusted::new(found);
        return Err(format!("it is a version of the plugin `{found}`"));
    }
    let older = reloader.older_release(name, &wanted.source, component).await;
    Ok((plugin, older))
}

/// Warns of shadows' files without a plugin beside them.
fn tell_orphans(generation: &Generation) {
    for file in generation.orphaned_shadows() {
        let path = Untrusted::new(&file.path);
        warn!(name: "shadow.without_plugin", "{path} is no shadow: there is no plugin of this name beside it");
    }
}

impl Shadow {
    fn start(
        wanted: WantedShadow,
        plugin: Plugin,
        older: Option<OlderRelease>,
    ) -> Result<Self, String> {
        let (queue, receiver) = mpsc::channel(MAX_QUEUED_CALLS);
        let shared = Arc::<Shared>::default();
        worker::start(plugin.clone(), Arc::clone(&shared), receiver)
            .map_err(|error| format!("no thread for it: {error}"))?;
        Ok(Self { wanted, plugin, since: SystemTime::now(), older, queue, shared })
    }

    /// The text of the plugin's author.
    pub(crate) fn version(&self) -> &str {
        &self.plugin.manifest().version
    }

    /// The number of the store's layout.
    pub(crate) fn schema(&self) -> u32 {
        self.plugin.manifest().schema
    }

    /// Whether its memory is not state.
    pub(crate) fn is_stateless(&self) -> bool {
        self.plugin.manifest().is_stateless
    }

    /// The calls that wait in its queue.
    pub(crate) fn queued(&self) -> usize {
        self.queue.max_capacity() - self.queue.capacity()
    }

    /// Its counts now.
    pub(crate) fn report(&self) -> ShadowReport {
        let mut report = lock(&self.shared.report).clone();
        report.left_out.queue = self.shared.missed.load(Ordering::Relaxed);
        report
    }

    fn has_room(&self) -> bool {
        self.queue.capacity() > 0
            && self.shared.queued_bytes.load(Ordering::Relaxed) < MAX_QUEUED_BYTES
    }

    fn leave_out(&self) {
        self.shared.missed.fetch_add(1, Ordering::Relaxed);
    }
}

impl Shared {
    fn report(&self, change: impl FnOnce(&mut ShadowReport)) {
        change(&mut lock(&self.report));
    }

    fn taken(&self, job: &Job) {
        self.queued_bytes.fetch_sub(job.bytes, Ordering::Relaxed);
    }

    fn is_ended(&self) -> bool {
        self.is_ended.load(Ordering::Relaxed)
    }
}

impl CallObserver for ShadowSet {
    fn wants(&self, version: &PluginVersion, _: Hook, _: &HookRequest<'_>) -> bool {
        let shadows = self.0.load();
        // Not the calls of a canary.
        let shadow = shadows.get(&version.plugin).filter(|it| it.wanted.beside == version.digest);
        let Some(shadow) = shadow else { return false };
        if !shadow.has_room() {
            shadow.leave_out();
            return false;
        }
        true
    }

    fn observe(&self, _: &Arc<CallRecord>) {}

    fn needs_store(&self) -> bool {
        true
    }

    fn observe_with_store(&self, record: &Arc<CallRecord>, store: &StoreMoment) {
        let shadows = self.0.load();
        let Some(shadow) = shadows.get(&record.version.plugin) else { return };
        let bytes = record.size();
        shadow.shared.queued_bytes.fetch_add(bytes, Ordering::Relaxed);
        let job = Job { record: Arc::clone(record), store: store.clone(), bytes };
        if shadow.queue.try_send(job).is_err() {
            shadow.shared.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
            shadow.leave_out();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Each change is a few assignments that cannot fail.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
