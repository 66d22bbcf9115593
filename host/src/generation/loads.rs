//! Loading of plugins: one task for each component that is not in use yet.
//!
//! A task outlives the preparation that started it. It is aborted only if its file is no longer
//! part of the site. A site that changes constantly therefore still gets its slow plugins, and a
//! change waits only for its own files. See decision 17.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jackfield_config::Plugins;
use jackfield_sandbox::{
    Compiling, Grant, Imports, NoSubscribers, Plugin, PluginPolicy, SandboxError,
};
use jackfield_text::Untrusted;
use tokio::task::{AbortHandle, Id, JoinError, JoinSet};
use tokio::time::{Interval, MissedTickBehavior, interval};
use tracing::info;

use crate::signatures::{Approval, SignatureError, Signed, approve};
use crate::site::{ContentHash, PluginFile, Snapshot};

use super::Generation;
use super::build_context::BuildContext;
use super::durable::DurableHistories;
use super::problem::Problem;
use super::route_access::RouteAccess;

/// The interval of checks for slow compilers.
const TICK: Duration = Duration::from_secs(1);
/// The age at which a compiler is logged first; then again each time its age has doubled.
const LOGGED_AFTER: Duration = Duration::from_secs(5);

/// The plugins that are being loaded, and loaded ones that are not in use yet.
pub(crate) struct Loads {
    context: Arc<BuildContext>,
    by_file: HashMap<Key, Load>,
    tasks: JoinSet<Result<Checked, Problem>>,
    tick: Interval,
    progress: Progress,
}

/// All that decides about a component.
#[derive(PartialEq, Eq, Hash)]
struct Key {
    /// The displayed path.
    path: String,
    content: ContentHash,
    signature: ContentHash,
    is_pinned: bool,
}

enum Load {
    Running(AbortHandle),
    Ended(Result<Checked, Problem>),
}

/// A plugin that may serve.
#[derive(Clone)]
pub(crate) struct Checked {
    pub(crate) plugin: Plugin,
    /// Its signature, if the settings need one.
    pub(crate) signed: Option<Signed>,
}

/// The state of a component.
pub(super) enum Loaded {
    Plugin(Checked),
    Broken(Problem),
    NotYet,
}

impl Loads {
    /// Creates an empty set of loads. Requires a tokio runtime.
    pub(crate) fn new(context: Arc<BuildContext>) -> Self {
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (by_file, tasks, progress) = (HashMap::new(), JoinSet::new(), Progress::default());
        Self { context, by_file, tasks, tick, progress }
    }

    /// Loads the components of the snapshot that the generation does not run, verifies the
    /// signatures of all, and aborts all others.
    pub(crate) fn follow(&mut self, snapshot: &Snapshot, current: Option<&Generation>) {
        let settings = self.settings();
        let mut before = std::mem::take(&mut self.by_file);
        for file in snapshot.plugins() {
            let running = current.and_then(|it| it.running(file));
            let running = running.filter(|it| it.has_policy_of(&settings));
            if running.is_some() && settings.verify.is_empty() {
                continue;
            }
            let key = Key::of(file);
            let load = before.remove(&key).unwrap_or_else(|| {
                let (file, context) = (file.clone(), Arc::clone(&self.context));
                let running = running.map(|running| running.plugin.clone());
                Load::Running(
                    self.tasks.spawn(async move { check(&file, running, &context).await }),
                )
            });
            self.by_file.insert(key, load);
        }
        for load in before.into_values() {
            if let Load::Running(task) = load {
                task.abort();
            }
        }
    }

    /// Removes everything, as the settings of plugins have changed.
    pub(crate) fn forget(&mut self) {
        self.tasks.abort_all();
        self.by_file.clear();
    }

    /// Removes failures, so that these components are loaded again.
    pub(crate) fn forget_failures(&mut self) {
        self.by_file.retain(|_, load| !matches!(load, Load::Ended(Err(_))));
    }

    /// Returns whether anything is being loaded.
    pub(crate) fn is_loading(&self) -> bool {
        self.by_file.values().any(|load| matches!(load, Load::Running(_)))
    }

    /// Returns the access by the settings.
    pub(super) fn access(&self) -> Arc<RouteAccess> {
        self.context.access.load_full()
    }

    /// Returns whether the histories of topics can be saved.
    pub(super) fn durable(&self) -> DurableHistories {
        self.context.durable
    }

    /// Returns the settings of plugins.
    pub(super) fn settings(&self) -> Arc<Plugins> {
        self.context.plugins.load_full()
    }

    /// Waits until another plugin has been loaded; forever if none is being loaded. Logs slow
    /// compilers. Cancel-safe: it may be dropped and called again.
    pub(crate) async fn next(&mut self) {
        while self.is_loading() {
            tokio::select! {
                Some(ended) = self.tasks.join_next_with_id() => if self.take(ended) {
                    return;
                },
                _ = self.tick.tick() => {
                    let compiling = self.context.sandbox.compiling();
                    self.progress.tell(&compiling, Instant::now());
                }
            }
        }
        std::future::pending::<()>().await;
    }

    /// Returns the state of a component of the snapshot.
    pub(super) fn of(&self, file: &PluginFile, current: Option<&Generation>) -> Loaded {
        let settings = self.settings();
        if let Some(running) = current.and_then(|it| it.running(file))
            && running.has_policy_of(&settings)
            && settings.verify.is_empty()
        {
            return Loaded::Plugin(Checked { plugin: running.plugin.clone(), signed: None });
        }
        match self.by_file.get(&Key::of(file)) {
            Some(Load::Ended(Ok(checked))) => Loaded::Plugin(checked.clone()),
            Some(Load::Ended(Err(problem))) => Loaded::Broken(problem.clone()),
            Some(Load::Running(_)) | None => Loaded::NotYet,
        }
    }

    /// Stores the result of a task. Returns false if it is no longer needed.
    fn take(&mut self, ended: Result<(Id, Result<Checked, Problem>), JoinError>) -> bool {
        let id = ended.as_ref().map_or_else(JoinError::id, |(id, _)| *id);
        let is_it = |load: &Load| matches!(load, Load::Running(task) if task.id() == id);
        let Some((Key { path: file, .. }, load)) =
            self.by_file.iter_mut().find(|(_, load)| is_it(load))
        else {
            return false;
        };
        *load = Load::Ended(match ended {
            Ok((_, result)) => result,
            Err(error) => Err(Problem::plugin(file, format!("loading was aborted: {error}"))),
        });
        true
    }
}

impl Key {
    fn of(file: &PluginFile) -> Self {
        Self {
            path: file.path.clone(),
            content: file.hash,
            signature: file.signature.hash(),
            is_pinned: file.is_pinned,
        }
    }
}

/// Loads a component with the policy of its plugin, if the settings accept its signature.
///
/// # Errors
/// The problem of the file.
pub(crate) async fn load(file: &PluginFile, context: &BuildContext) -> Result<Plugin, Problem> {
    check(file, None, context).await.map(|checked| checked.plugin)
}

/// Verifies the signature of a component, and loads it unless it is `running`.
async fn check(
    file: &PluginFile,
    running: Option<Plugin>,
    context: &BuildContext,
) -> Result<Checked, Problem> {
    let approval = approved(file, context).await?;
    let plugin = match running {
        Some(plugin) => plugin,
        None => load_with_policy(file, context)
            .await
            .map_err(|error| Problem::sandbox(&file.path, &error))?,
    };
    let admitted = approval.admit(plugin.manifest(), context.highest.as_deref());
    admitted.map_err(|error| refused(file, &error))?;
    Ok(Checked { plugin, signed: approval.signed() })
}

/// Returns the verified signature of a component, if the settings need one.
///
/// # Errors
/// The problem of the file.
pub(crate) async fn signed(
    file: &PluginFile,
    context: &BuildContext,
) -> Result<Option<Signed>, Problem> {
    approved(file, context).await.map(Approval::signed)
}

/// Verifies the bytes in memory, which are those that are compiled.
async fn approved(file: &PluginFile, context: &BuildContext) -> Result<Approval, Problem> {
    let plugins = context.plugins.load_full();
    if plugins.verify.is_empty() {
        return Ok(Approval::NotNeeded);
    }
    // A large component is hashed for many milliseconds.
    let owned = file.clone();
    let verifying = tokio::task::spawn_blocking(move || approve(&owned, &plugins.verify)).await;
    let verified = verifying.map_err(|error| {
        Problem::plugin(&file.path, format!("verifying its signature was aborted: {error}"))
    })?;
    verified.map_err(|error| refused(file, &error))
}

/// The problem of a signature. That of a kept version is not that of the file that it replaces.
fn refused(file: &PluginFile, error: &SignatureError) -> Problem {
    let message = if file.is_pinned {
        let digest = file.hash.hex();
        format!("the kept version sha256:{digest}, which serves instead of this file, {error}")
    } else {
        error.to_string()
    };
    Problem::plugin(&file.path, message)
}

async fn load_with_policy(
    file: &PluginFile,
    context: &BuildContext,
) -> Result<Plugin, SandboxError> {
    let BuildContext { sandbox, plugins, audience, .. } = context;
    let load = |policy| {
        sandbox.load_shared(&file.path, Arc::clone(&file.bytes), policy, Arc::clone(audience))
    };
    with_policy(file, &plugins.load_full(), load).await
}

/// Loads a component that does not serve: it has an empty store, limits of its own, and no
/// subscribers to query.
///
/// # Errors
/// The problem of the file.
pub(crate) async fn load_apart(
    file: &PluginFile,
    context: &BuildContext,
) -> Result<Plugin, Problem> {
    let approval = approved(file, context).await?;
    let load = |policy| {
        let audience = Arc::new(NoSubscribers);
        context.sandbox.load_apart(&file.path, Arc::clone(&file.bytes), policy, audience)
    };
    let loaded = with_policy(file, &context.plugins.load_full(), load).await;
    let plugin = loaded.map_err(|error| Problem::sandbox(&file.path, &error))?;
    let admitted = approval.admit(plugin.manifest(), context.highest.as_deref());
    admitted.map_err(|error| refused(file, &error))?;
    Ok(plugin)
}

async fn with_policy<F>(
    file: &PluginFile,
    plugins: &Plugins,
    load: impl Fn(PluginPolicy) -> F,
) -> Result<Plugin, SandboxError>
where
    F: Future<Output = Result<Plugin, SandboxError>>,
{
    // The policy depends on the name, which only the plugin itself knows. `describe` therefore runs
    // with all imports allowed, as none has an effect at that time.
    let first = PluginPolicy { grant: Grant::ALL, ..plugins.default.clone() };
    let plugin = load(first.clone()).await?;
    let name = plugin.manifest().name.clone();
    let policy = plugins.policy(&name);
    let needed = Imports::read(&file.path, &file.bytes)?.grant;
    if !needed.is_within(policy.grant) {
        let refused = load(policy.clone()).await;
        return refused.map_err(|error| error.with_grant_help(&name, policy.grant));
    }
    let is_first = PluginPolicy { grant: Grant::ALL, ..policy.clone() } == first;
    if is_first { Ok(plugin) } else { load(policy.clone()).await }
}

/// The age of each compiler at which it is logged next.
#[derive(Default)]
struct Progress {
    due: HashMap<(String, Instant), Duration>,
}

impl Progress {
    fn tell(&mut self, compiling: &[Compiling], now: Instant) {
        for text in self.due(compiling, now) {
            info!(name: "compile.slow", "{text}");
        }
    }

    fn due(&mut self, compiling: &[Compiling], now: Instant) -> Vec<String> {
        let mut before = std::mem::take(&mut self.due);
        let mut texts = Vec::new();
        for Compiling { file, since } in compiling {
            let took = now.saturating_duration_since(*since);
            let mut due = before.remove(&(file.clone(), *since)).unwrap_or(LOGGED_AFTER);
            if took >= due {
                let file = Untrusted::new(file);
                texts.push(format!("still compiling {file}, {} s", took.as_secs()));
                due = took * 2;
            }
            self.due.insert((file.clone(), *since), due);
        }
        texts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs_running_compilers_with_backoff() {
        let (mut progress, since) = (Progress::default(), Instant::now());
        let compiling = [Compiling { file: "a.wasm".to_owned(), since }];
        let mut at = |seconds, expect: &[&str]| {
            let now = since + Duration::from_secs(seconds);
            assert_eq!(progress.due(&compiling, now), expect, "{seconds}");
        };
        at(4, &[]);
        at(5, &["still compiling a.wasm, 5 s"]);
        at(9, &[]);
        at(11, &["still compiling a.wasm, 11 s"]);
        at(21, &[]);
        at(22, &["still compiling a.wasm, 22 s"]);
        let later = [Compiling { file: "a.wasm".to_owned(), since: since + LOGGED_AFTER }];
        assert_eq!(progress.due(&later, since + LOGGED_AFTER * 2), ["still compiling a.wasm, 5 s"]);
        assert_eq!(progress.due.len(), 1);
    }
}
