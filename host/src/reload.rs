//! Hot reload: one task turns each settled change of the site into a snapshot, prepares the next
//! generation from it in the background, and swaps one pointer.
//!
//! If a reload fails, the running generation stays in service. The problems are logged in full and
//! shown by `GET /health`. No other code commits generations, so reloads never overlap. Started by
//! `server`; `dispatch` reads the generations, [`history`] keeps the results.

mod canaries;
mod changes;
mod history;
mod outcome;
mod reading;
mod report;
mod settings_changes;
mod state;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use jackfield_config::{Config, Plugins};
use jackfield_sandbox::{Audience, Compiling, Sandbox, SandboxMetrics};
use tokio::sync::{Mutex, Notify, watch};
use tracing::debug;

use crate::generation::{
    BuildContext, CurrentGeneration, DurableHistories, Generation, Loads, PluginEntry, Problem,
    RouteAccess, build, routes_alone,
};
use crate::signatures::HighestNumbers;
use crate::site::{ContentHash, Site, Snapshot};
use crate::versions::{NewVersions, Versions};
use crate::watch::Watch;

pub(crate) use changes::{Names, PluginChange, ReloadChanges, ServedVersion};
pub(crate) use history::{ReloadCause, ReloadRecord, ReloadResult, ReloadTicket};
pub(crate) use state::ReloadState;

use canaries::Canaries;
use history::{History, Outcome, Requested};
use reading::read;
use report::report;
use settings_changes::SettingsChanges;

/// The time for which a reload waits for plugins before it serves the changes that do not need
/// them.
const MAX_PLUGIN_WAIT: Duration = Duration::from_secs(1);

/// Keeps the served generation up to date with the site.
pub(crate) struct Reloader {
    site: Site,
    context: Arc<BuildContext>,
    generations: Arc<CurrentGeneration>,
    state: ArcSwap<ReloadState>,
    /// A tokio mutex: the reload task holds it while it waits for changes.
    watch: Arc<Mutex<Watch>>,
    forced: Notify,
    changes: SettingsChanges,
    history: History,
    versions: Arc<Versions>,
    canaries: Canaries,
}

/// A snapshot that is being prepared for service.
struct Preparation {
    snapshot: Snapshot,
    began: Instant,
    /// The time at which the loaded plugins are served without the rest; none after that, until one
    /// more is loaded.
    partial_at: Option<Instant>,
}

/// Problems of the routing files at the start.
struct BrokenRoutes {
    problems: Vec<Problem>,
    /// The time since which there are problems. They are reported after [`MAX_PLUGIN_WAIT`], even
    /// if plugins are still being loaded.
    since: Instant,
}

/// The result of reading the site again.
enum Reading {
    /// It has changed, and has to be prepared.
    Changed(Snapshot),
    /// It is unchanged since the last reading.
    Unchanged,
    /// It is equal to the served generation again.
    Served(Snapshot),
    /// It cannot be read; the problem has been reported.
    Unreadable,
}

impl Reloader {
    /// Creates a reloader of a site that has not been read yet.
    pub(crate) fn new(
        site: Site,
        config: Config,
        sandbox: Sandbox,
        audience: Arc<dyn Audience>,
        versions: Arc<Versions>,
        highest: Option<Arc<HighestNumbers>>,
        durable: DurableHistories,
    ) -> Self {
        let generations = Arc::new(CurrentGeneration::default());
        Self {
            watch: Arc::new(Mutex::new(Watch::new(site.clone(), config.watch))),
            site,
            context: Arc::new(BuildContext {
                sandbox,
                access: ArcSwap::from_pointee(RouteAccess::of(&config)),
                plugins: ArcSwap::from_pointee(config.plugins),
                audience,
                highest,
                durable,
            }),
            state: ArcSwap::from_pointee(ReloadState::serving(&generations.current())),
            generations,
            forced: Notify::new(),
            changes: SettingsChanges::default(),
            history: History::new(),
            versions,
            canaries: Canaries::default(),
        }
    }

    /// Returns the served generation, now and after each reload.
    pub(crate) fn generations(&self) -> Arc<CurrentGeneration> {
        Arc::clone(&self.generations)
    }

    /// Returns the versions of the site's plugins.
    pub(crate) fn versions(&self) -> &Versions {
        &self.versions
    }

    /// Returns the result of the last reload.
    pub(crate) fn state(&self) -> Arc<ReloadState> {
        self.state.load_full()
    }

    /// Requests a reload. Unchanged content makes no new generation, but its plugins that failed to
    /// load are loaded again.
    pub(crate) fn trigger(&self, cause: ReloadCause) -> ReloadTicket {
        let ticket = self.history.request(cause);
        self.forced.notify_one();
        ticket
    }

    /// Waits for the result of a requested reload: until it has a problem, or serves all of the
    /// site. None if the history no longer has the result, because many reloads followed.
    pub(crate) async fn answer(&self, ticket: ReloadTicket) -> Option<Arc<ReloadRecord>> {
        self.history.answer(ticket).await
    }

    /// Changes whenever a reload has ended.
    pub(crate) fn reloads(&self) -> watch::Receiver<VecDeque<Arc<ReloadRecord>>> {
        self.history.subscribe()
    }

    /// The last reloads, the newest first.
    pub(crate) fn history(&self) -> Vec<Arc<ReloadRecord>> {
        self.history.records()
    }

    /// The number of reloads with each result.
    pub(crate) fn counts(&self) -> impl Iterator<Item = (ReloadResult, u64)> {
        self.history.counts()
    }

    /// The metrics of plugins.
    pub(crate) fn plugin_metrics(&self) -> SandboxMetrics {
        self.context.sandbox.metrics()
    }

    /// The settings of plugins.
    pub(crate) fn plugin_settings(&self) -> Arc<Plugins> {
        self.context.plugins.load_full()
    }

    /// Requests and calls of all plugins that wait for their answers.
    pub(crate) fn in_flight(&self) -> usize {
        self.context.sandbox.in_flight().0
    }

    /// Returns the components that are being compiled, the one that takes longest first.
    pub(crate) fn compiling(&self) -> Vec<Compiling> {
        self.context.sandbox.compiling()
    }

    /// Starts to watch the site, and serves its first generation, which has all plugins. Changes
    /// during the start are taken into account: a plugin that is removed is not waited for.
    ///
    /// # Errors
    /// Every problem of the site, with its file and line: there is no earlier generation that could
    /// stay in service. Problems of the routing files are returned without the plugins'
    /// when plugins take longer than [`MAX_PLUGIN_WAIT`] to load.
    pub(crate) async fn start(&self) -> Result<(), Vec<String>> {
        let began = Instant::now();
        let mut loads = Loads::new(Arc::clone(&self.context));
        let read = async || self.read().await.map_err(|error| vec![error]);
        let mut snapshot = read().await?;
        loads.follow(&snapshot, None);
        let mut broken_routes = BrokenRoutes::of(&snapshot, began);
        while loads.is_loading() {
            tokio::select! {
                () = loads.next() => {}
                () = self.settled() => {
                    snapshot = read().await?;
                    loads.follow(&snapshot, None);
                    let since = broken_routes.map_or_else(Instant::now, |it| it.since);
                    broken_routes = BrokenRoutes::of(&snapshot, since);
                }
                () = at(broken_routes.as_ref().map(|it| it.since + MAX_PLUGIN_WAIT)) => break,
            }
        }
        if loads.is_loading()
            && let Some(broken) = broken_routes
        {
            return Err(texts(&broken.problems));
        }
        let generation = build(&snapshot, None, &loads).await;
        let generation = generation.map(|it| it.without(&self.versions.disabled()));
        let generation = generation.map_err(|problems| {
            let mut problems = texts(&problems);
            problems.extend(self.versions.pin_notes());
            problems
        })?;
        self.raise_numbers(&generation).await.map_err(|problem| vec![problem.to_string()])?;
        let (old, new) = self.commit(generation, began);
        let cause = ReloadCause::Start.label();
        let versions = self.versions.record(&new, &snapshot, cause, began.elapsed());
        self.history.add(Outcome {
            cause: ReloadCause::Start,
            result: ReloadResult::Ok,
            generation: new.number(),
            took: began.elapsed(),
            problems: &[],
            loading: &[],
            requested: None,
            changes: Some(ReloadChanges::between(&old, &new)),
        });
        self.versions.keep(versions);
        Ok(())
    }

    /// Reloads after every change and every [`Reloader::trigger`], forever. Calls `committed` with
    /// the old and the new generation after each swap.
    ///
    /// Another change interrupts the wait for plugins, and nothing else.
    pub(crate) async fn run<F>(&self, committed: F)
    where
        F: Fn(Arc<Generation>, Arc<Generation>),
    {
        let mut loads = Loads::new(Arc::clone(&self.context));
        let mut tried = Some(self.generations.current().hash());
        let mut under_way: Option<Preparation> = None;
        // The triggered reload that is pending.
        let mut requested: Option<Requested> = None;
        // Whether there are policies of plugins that no generation has yet.
        let mut has_policies = false;
        loop {
            let partial_at = under_way.as_ref().and_then(|it| it.partial_at);
            let (mut is_changed, mut are_new) = (false, false);
            tokio::select! {
                () = self.forced.notified() => {
                    requested = self.history.take_up(requested);
                    is_changed = true;
                }
                () = self.changes.noticed() => {
                    are_new = self.commit_settings(&committed);
                    is_changed = are_new;
                }
                () = self.settled() => is_changed = true,
                () = loads.next() => {}
                () = at(partial_at) => {}
            }
            if is_changed {
                if requested.is_some() {
                    loads.forget_failures();
                }
                if are_new {
                    loads.forget();
                    // The same files make another generation.
                    (has_policies, tried) = (true, None);
                }
                match self.read_again(requested, has_policies, &mut tried).await {
                    Reading::Changed(snapshot) => {
                        let partial_at =
                            partial_at.or_else(|| Some(Instant::now() + MAX_PLUGIN_WAIT));
                        loads.follow(&snapshot, Some(&self.generations.current()));
                        under_way =
                            Some(Preparation { snapshot, began: Instant::now(), partial_at });
                    }
                    Reading::Unchanged => {}
                    Reading::Served(snapshot) => {
                        self.versions.end_outdated();
                        self.versions.keep(NewVersions::default());
                        loads.follow(&snapshot, Some(&self.generations.current()));
                        under_way = None;
                    }
                    Reading::Unreadable => {
                        self.commit_changes(&committed);
                        (under_way, requested) = (None, None);
                    }
                }
            }
            let Some(preparation) = &mut under_way else { continue };
            let is_whole = !loads.is_loading();
            if !is_whole && preparation.partial_at.is_some_and(|at| Instant::now() < at) {
                continue;
            }
            if !is_whole && preparation.partial_at.is_none() {
                // More may follow shortly.
                preparation.partial_at = Some(Instant::now() + MAX_PLUGIN_WAIT);
                continue;
            }
            preparation.partial_at = None;
            let built = self.reload(preparation, &loads).await;
            has_policies &= built.is_err() || !is_whole;
            match built {
                Ok(Some((old, new))) => {
                    let is_partial = !new.loading().is_empty();
                    let result = if is_partial { ReloadResult::Partial } else { ReloadResult::Ok };
                    let changes = ReloadChanges::between(&old, &new);
                    committed(old, Arc::clone(&new));
                    let Preparation { snapshot, began, .. } = preparation;
                    let cause = requested.map_or(ReloadCause::Change, |it| it.cause).label();
                    let versions = self.versions.record(&new, snapshot, cause, began.elapsed());
                    let answered = if is_whole { requested } else { None };
                    self.ended((result, changes), *began, &new, requested, answered);
                    self.versions.keep(versions);
                }
                Ok(None) if is_whole => self.unchanged(preparation, requested),
                Ok(None) => self.versions.keep(NewVersions::default()),
                Err(problems) => {
                    self.commit_changes(&committed);
                    self.failed(&problems, preparation.began, requested);
                }
            }
            if is_whole {
                (under_way, requested) = (None, None);
            }
        }
    }

    async fn settled(&self) {
        self.watch.lock().await.settled().await;
    }

    /// Reads the site, with the pinned versions of its plugins.
    async fn read(&self) -> Result<Snapshot, String> {
        let snapshot = read(&self.site, &self.watch).await?;
        Ok(self.versions.apply(snapshot))
    }

    /// Reads the site. `tried` is the hash of the last prepared snapshot, even if it failed: the
    /// same snapshot would fail again, unless a reload is `requested`.
    async fn read_again(
        &self,
        requested: Option<Requested>,
        has_policies: bool,
        tried: &mut Option<ContentHash>,
    ) -> Reading {
        let began = Instant::now();
        let snapshot = match self.read().await {
            Ok(snapshot) => snapshot,
            Err(problem) => {
                *tried = None;
                self.failed(&[Problem::Unreadable(problem)], began, requested);
                self.watch.lock().await.look_again();
                return Reading::Unreadable;
            }
        };
        let hash = snapshot.hash();
        let before = tried.replace(hash);
        if requested.is_some() || has_policies {
            return Reading::Changed(snapshot);
        }
        if before == Some(hash) {
            debug!(%hash, "no served content has changed");
            return Reading::Unchanged;
        }
        let current = self.generations.current();
        if current.serves(hash) {
            self.recovered(&current, began, None);
            return Reading::Served(snapshot);
        }
        Reading::Changed(snapshot)
    }

    /// Builds and commits a generation with the plugins loaded so far. Returns the old and the new
    /// generation, if there is a new one.
    async fn reload(
        &self,
        preparation: &Preparation,
        loads: &Loads,
    ) -> Result<Option<(Arc<Generation>, Arc<Generation>)>, Vec<Problem>> {
        let current = self.generations.current();
        let next = build(&preparation.snapshot, Some(&current), loads).await?;
        let next = next.without(&self.versions.disabled());
        self.raise_numbers(&next).await.map_err(|problem| vec![problem])?;
        // From here on nothing fails: the ends of canaries are final.
        let next = self.with_canaries(next, &current).await;
        // Without an effect: the content is the same, or all changes depend on plugins that are still
        // being loaded.
        let is_served = current.serves(preparation.snapshot.hash());
        if (is_served || !next.loading().is_empty()) && next.is_same(&current) {
            return Ok(None);
        }
        Ok(Some(self.commit(next, preparation.began)))
    }

    /// Records the releases of signed plugins before they serve, where downgrades are refused.
    async fn raise_numbers(&self, next: &Generation) -> Result<(), Problem> {
        let Some(highest) = &self.context.highest else { return Ok(()) };
        let signed = next.plugins().iter().filter_map(PluginEntry::signed);
        let raised = highest.raise(signed).await;
        raised.map_err(|error| Problem::Unreadable(error.to_string()))
    }

    /// Puts the next generation into service. Returns the old and the new generation.
    fn commit(&self, next: Generation, began: Instant) -> (Arc<Generation>, Arc<Generation>) {
        let next = Arc::new(next);
        let old = self.generations.commit(Arc::clone(&next));
        self.state.store(Arc::new(ReloadState::serving(&next)));
        report(&next, began);
        (old, next)
    }
}

impl BrokenRoutes {
    fn of(snapshot: &Snapshot, since: Instant) -> Option<Self> {
        let problems = routes_alone(snapshot).err()?;
        Some(Self { problems, since })
    }
}

/// Waits until the moment; forever for `None`.
async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment.into()).await,
        None => std::future::pending().await,
    }
}

fn texts(problems: &[Problem]) -> Vec<String> {
    problems.iter().map(ToString::to_string).collect()
}

#[cfg(test)]
mod tests;
